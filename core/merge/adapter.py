"""An adapter folder: what kind it is, how strong each of its layers is, and which tensors it holds."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from .checkpoint import Tensor, all_finite, read_header

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
WHOLE_MODEL = "MODEL"
"""Stands for the kind of an adapter where a whole model is taken as one."""

PREFIX = "base_model.model."
PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Values of init_lora_weights that leave the base alone; pissa, olora, corda and loftq change it first."""

INEXACT: Mapping[str, str] = {
    "use_dora": "DoRA scales the merged weight's columns",
    "lora_bias": "its LoRA layers have biases",
    "target_parameters": "it targets bare parameters",
    "ensure_weight_tying": "it keeps tied layers tied",
    "layer_replication": "it repeats layers",
    "use_qalora": "QALoRA pools its input",
    "use_bdlora": "its matrices are block-diagonal",
    "alora_invocation_tokens": "it is active only after certain tokens (aLoRA)",
    "kasa_config": "KaSA changes the base's weights first",
    "monteclora_config": "its weights are random variables",
    "arrow_config": "it routes between experts",
    "megatron_config": "its layers are Megatron's",
}
"""Settings under which a layer is not simply W + scale * B @ A, with the reason in words."""


@dataclass(frozen=True)
class Adapter:
    """One adapter, its tensors not loaded."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @classmethod
    def open(cls, folder: Path) -> "Adapter":
        """Read an adapter's configuration and the header of its weights.

        Raises:
            ModelError: The configuration or the weights are missing, damaged or pickled.
        """
        try:
            config = json.loads((folder / CONFIG).read_bytes())
        except (OSError, ValueError) as error:
            raise ModelError(f"'{folder / CONFIG}' cannot be read.", "Save the adapter again.") from error
        if not (folder / WEIGHTS).is_file():
            raise ModelError(
                f"'{folder}' holds no {WEIGHTS}.", "Save the adapter as safetensors; pickled weights are refused."
            )
        return cls(folder, config, read_header(folder / WEIGHTS))

    @property
    def base_name(self) -> str | None:
        """The base model that the adapter names as its own."""
        return self.config.get("base_model_name_or_path") or None

    @property
    def is_model(self) -> bool:
        """Whether this is a whole model, whose every weight takes the base's place."""
        return self.config.get("peft_type") == WHOLE_MODEL

    def inexact_because(self) -> str | None:
        """Why this adapter is not a plain sum W + scale * B @ A; None when it is."""
        if self.is_model:
            return None
        if (kind := self.config.get("peft_type")) != "LORA":
            return f"it is a {kind} adapter"
        if (start := self.config.get("init_lora_weights", True)) not in PLAIN_STARTS:
            return f"it was started with {start}, which changes the base's weights first"
        return next((reason for setting, reason in INEXACT.items() if self.config.get(setting)), None)

    def scale(self, module: str) -> float:
        """The factor before B @ A in a module: alpha / r, or alpha / sqrt(r) for rsLoRA (arXiv 2312.03732)."""
        rank = _pattern(self.config.get("rank_pattern"), module, self.config["r"])
        alpha = _pattern(self.config.get("alpha_pattern"), module, self.config["lora_alpha"])
        return alpha / math.sqrt(rank) if self.config.get("use_rslora") else alpha / rank

    def token_ids(self, module: str) -> tuple[int, ...]:
        """The tokens whose rows in a module's weight it trains, in the order of its tensor's rows."""
        trained = self.config.get("trainable_token_indices") or ()
        if isinstance(trained, Mapping):
            trained = next((ids for name, ids in trained.items() if f".{module}".endswith(f".{name}")), ())
        return tuple(trained)

    def load(self, name: str, first: int = 0, last: int | None = None) -> "torch.Tensor":
        """One tensor, or its rows from `first` up to before `last`.

        Raises:
            ModelError: It holds numbers that are not finite.
        """
        tensor = self.tensors[name].read(first, last)
        if not all_finite(tensor):
            raise ModelError(
                f"The adapter's tensor {name} holds NaN or infinity: its training diverged.",
                "Merge an earlier checkpoint, or train again with a lower learning_rate.",
            )
        return tensor


def _pattern(patterns: Mapping[str, float] | None, module: str, default: float) -> float:
    """The first pattern that matches the module's name or its end, as peft matches them."""
    found = (value for key, value in (patterns or {}).items() if re.match(rf"(.*\.)?({key})$", module))
    return next(found, default)
