"""The gated unit of Llama's feed-forward layer; the backward pass keeps its two inputs alone."""

from typing import Any

import torch
from torch.autograd import Function
from torch.nn import functional


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """silu(gate) * up, element by element."""
    return SwiGLU.apply(gate, up)


class SwiGLU(Function):
    """Shazeer 2020, arXiv 2002.05202; the gradient by hand."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *dys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        (dy,) = dys
        gate, up = ctx.saved_tensors
        d_up = functional.silu(gate).mul_(dy)
        return torch.ops.aten.silu_backward(dy * up, gate), d_up
