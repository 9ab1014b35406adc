"""The base that a QLoRA adapter was trained on: its linear layers went through 4-bit NF4 and back."""

from typing import TYPE_CHECKING

from .. import extras

if TYPE_CHECKING:
    import torch


def through_nf4(weight: "torch.Tensor") -> "torch.Tensor":
    """What is left of a weight after NF4 with double quantisation (arXiv 2305.14314), as bitsandbytes stores it; fp32.

    Block sizes are bitsandbytes' own for loading a model: 64 numbers, and 256 of their scales.
    """
    functional = extras.require("bitsandbytes.functional", "Merging into the base of a QLoRA training")
    packed, state = functional.quantize_4bit(weight.float(), blocksize=64, compress_statistics=True, quant_type="nf4")
    return functional.dequantize_4bit(packed, state).float()
