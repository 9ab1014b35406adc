"""From a model folder to a model in memory."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import extras
from ..errors import ModelError
from ..garbage import give_back_memory
from ..settings import Settings
from .machine import look

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OWN_BASE = "Use it with the base model that it was trained on (base_model_name_or_path in adapter_config.json)."
DAMAGED = "Check that the folder is complete (config.json, all safetensors files, tokenizer), or fetch it again."


def load_base(
    path: Path, *, dtype: str | None = None, nf4: bool = False, shards: int = 1, settings: Settings
) -> "PreTrainedModel":
    """The model in evaluation mode on this machine's device.

    Args:
        path: A folder from `local_path`.
        dtype: "bfloat16", "float16" or "float32"; None: what suits the machine.
        nf4: Linear layers as 4-bit NF4 with double quantisation (QLoRA).
        shards: Processes that each hold a part of every layer (FSDP2); each reads its part alone, and all must call.
        settings: Whether the model may bring code or pickled weights.

    Raises:
        ModelError: The folder cannot be loaded.
        MissingExtraError: torch, transformers or, with nf4, bitsandbytes is not installed.
    """
    torch = extras.require("torch", "Loading a model")
    transformers = extras.require("transformers", "Loading a model")
    from safetensors import SafetensorError

    # As the loss nears zero, gradients and Adam's averages become denormal numbers, on which a processor is many
    # times slower. Set before the first parallel region: its threads take the mode over from this one.
    torch.set_flush_denormal(True)
    machine = look()
    chosen = getattr(torch, dtype or machine.dtype)
    options: dict[str, Any] = {"quantization_config": _nf4(chosen)} if nf4 else {}
    options |= _sharded(shards) if shards > 1 else {"device_map": {"": machine.device}}
    try:
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            path,
            output_loading_info=True,
            dtype=chosen,
            use_safetensors=None if settings.trust_remote_code else True,
            trust_remote_code=settings.trust_remote_code,
            local_files_only=True,
            **options,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"The model in '{path}' cannot be loaded: {_first_line(error)}", DAMAGED) from error
    _refuse_random_weights(path, sorted(found["missing_keys"]))
    if nf4 and machine.device == "cpu":
        _let_go_of_wide_weights(model)
    return model.eval()


def _let_go_of_wide_weights(model: Any) -> None:
    """Give back the 16-bit weights that the 4-bit ones were made of: they are most of what loading takes.

    Tensors that still lie in the mapped file keep all of it, and the C library keeps what was freed.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.clone()
    give_back_memory()


def _refuse_random_weights(path: Path, missing: Sequence[str]) -> None:
    """transformers makes up the weights that the files lack, with no more than a warning in the log."""
    if missing:
        raise ModelError(
            f"The files in '{path}' lack {len(missing)} of the model's weights, e.g. {missing[0]}; these would be "
            "random numbers.",
            DAMAGED,
        )


def _sharded(processes: int) -> dict[str, Any]:
    from transformers.distributed.configuration_utils import DistributedConfig

    return {"distributed_config": DistributedConfig(fsdp_size=processes)}


def _nf4(compute_dtype: Any) -> Any:
    extras.require("bitsandbytes", "4-bit loading (technique qlora)")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def attach_adapter(model: Any, adapter_path: Path) -> "PeftModel":
    """The model with a trained adapter on it, in evaluation mode; `model.disable_adapter()` shows the base again.

    Raises:
        ModelError: The folder is no adapter, or one for another model.
        MissingExtraError: peft is not installed.
    """
    peft = extras.require("peft", "Loading an adapter")
    if not (adapter_path / "adapter_config.json").is_file():
        raise ModelError(f"'{adapter_path}' holds no adapter_config.json.", "Give the adapter folder that train wrote.")
    if not (adapter_path / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"'{adapter_path}' holds no adapter_model.safetensors.",
            "Adapters with pickled weights are refused; save it again as safetensors.",
        )
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of layers without weights: said below
            adapted = peft.PeftModel.from_pretrained(model, adapter_path, is_trainable=False)
        read = adapted.load_adapter(str(adapter_path), "default", is_trainable=False)  # again: only this one tells
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise ModelError(
            f"The adapter in '{adapter_path}' does not fit the model: {_first_line(error)}",
            OWN_BASE,
        ) from error
    _refuse_misfit(adapter_path, "has no place for", read.unexpected_keys)
    _refuse_misfit(adapter_path, "has layers that it lacks:", read.missing_keys)
    return adapted.eval()


def base_of(model: Any) -> Any:
    """The model below an adapter of peft; a model without one is that itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _refuse_misfit(adapter_path: Path, problem: str, tensors: Sequence[str]) -> None:
    """peft takes what fits of an adapter of a deeper model, and leaves layers of a deeper model as they are."""
    if names := [name.removeprefix("base_model.model.") for name in tensors if "lora_" in name]:
        raise ModelError(
            f"The adapter in '{adapter_path}' does not fit the model, which {problem} {len(names)} tensors, e.g. "
            f"{names[0]}.",
            OWN_BASE,
        )


def load_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """The transformers tokenizer of a model folder, for saving beside a result.

    Raises:
        ModelError: The folder holds none that can be loaded.
    """
    transformers = extras.require("transformers", "Loading a tokenizer")
    try:
        return transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The tokenizer in '{path}' cannot be loaded: {_first_line(error)}", DAMAGED) from error


def _first_line(error: Exception) -> str:
    """What went wrong; of torch's list of all that does not fit, its head and the first of them."""
    lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:300]
