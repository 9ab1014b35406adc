"""The base that a QLoRA adapter was trained on: its linear layers went through 4-bit NF4 and back."""

from typing import TYPE_CHECKING, Any

from .. import extras

if TYPE_CHECKING:
    import torch


def compute_as_in_training(model: Any) -> None:
    """Let 4-bit layers multiply in the asked-for number format, as they did while the adapter learned.

    Out of training, bitsandbytes multiplies in bfloat16 on processors that can, whatever was asked for.
    """
    layers = extras.require("bitsandbytes.nn", "Asking the base of a QLoRA training")
    for module in model.modules():
        if isinstance(module, layers.Linear4bit):
            module.training = True


def through_nf4(weight: "torch.Tensor") -> "torch.Tensor":
    """What is left of a weight after NF4 with double quantisation (arXiv 2305.14314), as bitsandbytes stores it; fp32.

    Block sizes are bitsandbytes' own for loading a model: 64 numbers, and 256 of their scales.
    """
    functional = extras.require("bitsandbytes.functional", "Merging into the base of a QLoRA training")
    packed, state = functional.quantize_4bit(weight.float(), blocksize=64, compress_statistics=True, quant_type="nf4")
    return functional.dequantize_4bit(packed, state).float()
