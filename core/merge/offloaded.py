"""A model too large for memory, asked all the same: each layer's weights are read from disk when their turn comes."""

import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import extras
from ..errors import ModelError
from ..settings import Settings
from .blend import factors
from .names import Names
from .plan import Plan

if TYPE_CHECKING:
    import torch

Factors = tuple["torch.Tensor", "torch.Tensor", bool]
"""Left, right, and whether the layer stores (in, out)."""


class Offloaded:
    """A model on disk, with LoRA updates beside its layers; memory: one layer, and the updates.

    peft cannot attach an adapter to such a model, so its few products are done here, layer by layer.
    """

    device = "cpu"

    def __init__(self, folder: Path, dtype: str, settings: Settings) -> None:
        self.model = _on_disk(folder, dtype, settings)
        self._enabled = True

    def attach(self, plan: Plan, weights: Sequence[float], names: Names) -> "Offloaded":
        """Put every update of a plan beside its layer."""
        modules: Mapping[str, Any] = dict(self.model.named_modules())
        for target, change in plan.changes.items():
            pairs = [
                (left * weights[number], right, update.transposed)
                for number, part in change.parts.items()
                for update in part.updates
                for left, right in [factors(part, update)]
            ]
            module = modules[names.loaded(target).removesuffix(".weight")]
            module.register_forward_hook(partial(self._add, pairs))
        return self

    def _add(self, pairs: Sequence[Factors], _: Any, inputs: Any, output: "torch.Tensor") -> "torch.Tensor":
        given = inputs[0].float()
        for left, right, in_by_out in pairs if self._enabled else ():
            change = given @ left @ right if in_by_out else given @ right.T @ left.T
            output = output + change.to(output.dtype)
        return output

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """The base alone."""
        self._enabled = False
        try:
            yield
        finally:
            self._enabled = True

    def __call__(self, **inputs: Any) -> Any:
        return self.model(**inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def _on_disk(folder: Path, dtype: str, settings: Settings) -> Any:
    torch = extras.require("torch", "Loading a model")
    transformers = extras.require("transformers", "Loading a model")
    scratch = tempfile.TemporaryDirectory(prefix="offloaded-")  # for weights that are converted on loading
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            device_map={"": "disk"},
            offload_folder=scratch.name,
            use_safetensors=True,
            trust_remote_code=settings.trust_remote_code,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"The model in '{folder}' cannot be read from disk: {str(error)[:200]}", "Merge it with verify false."
        ) from error
    weakref.finalize(model, scratch.cleanup)
    return model.eval()


def can_attach(plan: Plan) -> bool:
    """Whether a plan is nothing but products beside matrices."""
    parts = [part for change in plan.changes.values() for part in change.parts.values()]
    embedded = any("lora_embedding" in update.a for part in parts for update in part.updates)
    return bool(parts) and not embedded and not plan.unties and not any(part.is_own for part in parts)
