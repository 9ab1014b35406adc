"""Root-mean-square normalisation whose backward pass keeps its input and one number a token."""

from typing import Any

import torch
from torch.autograd import Function
from torch.nn import functional


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, over the last dimension of x (tokens, size)."""
    return RMSNorm.apply(x, weight, eps)


class RMSNorm(Function):
    """Zhang and Sennrich 2019, arXiv 1910.07467, equation 4; the gradient by hand."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        return functional.rms_norm(x, x.shape[-1:], weight.to(x.dtype), eps)

    @staticmethod
    def backward(ctx: Any, *dys: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (dy,) = dys
        x, weight = ctx.saved_tensors
        exact = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=exact)
        scale = (norm.square() / x.shape[-1] + ctx.eps).rsqrt()
        scale_x = scale.to(x.dtype)
        d_weight = (dy * x * scale_x).sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, d_weight, None
        dx = dy * weight.to(x.dtype)
        along = (dx * x).sum(-1, keepdim=True, dtype=exact)  # what the gradient would change of the norm itself
        dx.mul_(scale_x).addcmul_(x, (along * scale.pow(3) / x.shape[-1]).to(x.dtype), value=-1)
        return dx, d_weight, None
