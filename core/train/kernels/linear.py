"""Linear layers with LoRA adapters that read the same input: one pass each, forward and backward."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from torch.autograd import Function
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Projection:
    """y = x W^T + bias + scale (x A^T) B^T."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    down: torch.Tensor | None
    """A, (rank, inputs); None without an adapter."""
    up: torch.Tensor | None
    """B, (outputs, rank)."""
    scale: float = 1.0

    @property
    def tensors(self) -> tuple[torch.Tensor | None, ...]:
        return self.weight, self.bias, self.down, self.up


def project(modules: Sequence[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What each of the modules makes of x (tokens, inputs), in x's number format."""
    found = [projection(module) for module in modules]
    known = [each for each in found if each is not None]
    if len(known) < len(found):  # quantised weights, dropout, DoRA: as they are
        with torch.autocast(x.device.type, dtype=x.dtype, enabled=x.dtype == torch.bfloat16):
            return tuple(module(x).to(x.dtype) for module in modules)
    return Projections.apply(x, [each.scale for each in known], *(t for each in known for t in each.tensors))


def projection(module: nn.Module) -> Projection | None:
    """The module's weights, when it is a plain linear layer with at most one plain LoRA adapter; else None."""
    if type(module) is nn.Linear:
        return Projection(module.weight, module.bias, None, None)
    if type(module) is not LoraLinear or type(module.base_layer) is not nn.Linear or module.merged:
        return None
    weight, bias = module.base_layer.weight, module.base_layer.bias
    active = [] if module.disable_adapters else [name for name in module.active_adapters if name in module.lora_A]
    if not active:
        return Projection(weight, bias, None, None)
    name = active[0]
    dropout = module.lora_dropout[name]
    drops = isinstance(dropout, nn.Dropout) and dropout.p > 0 and dropout.training
    down, up = module.lora_A[name], module.lora_B[name]
    if len(active) > 1 or drops or name in module.lora_variant or module.lora_bias.get(name):
        return None
    return Projection(weight, bias, down.weight, up.weight, module.scaling[name])  # pyright: ignore[reportArgumentType]


class Projections(Function):
    """Several linear layers of one input; the backward pass keeps the input and the rank-sized products."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, scales: Sequence[float], *tensors: torch.Tensor | None
    ) -> tuple[torch.Tensor, ...]:
        outputs, inner = [], []
        for scale, weight, bias, down, up in _each(scales, tensors):
            y = functional.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
            h = None
            if down is not None:
                h = functional.linear(x, down.to(x.dtype))
                y.addmm_(h, (up * scale).to(x.dtype).t())
            outputs.append(y)
            inner.append(h)
        ctx.scales = scales
        ctx.save_for_backward(x, *inner, *tensors)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *dys: torch.Tensor) -> tuple[Any, ...]:
        x, *rest = ctx.saved_tensors
        inner, tensors = rest[: len(dys)], rest[len(dys) :]
        wanted = ctx.needs_input_grad[2:]
        dx = None
        gradients: list[torch.Tensor | None] = []
        parts = zip(_each(ctx.scales, tensors), inner, dys, strict=True)
        for number, ((scale, weight, bias, down, up), h, dy) in enumerate(parts):
            weight_wanted, bias_wanted = wanted[4 * number], wanted[4 * number + 1]
            gradients.append((dy.t() @ x).to(weight.dtype) if weight_wanted else None)
            gradients.append(dy.sum(0).to(bias.dtype) if bias_wanted else None)
            dh = None
            if down is None:
                gradients += [None, None]
            else:
                dh = dy @ (up * scale).to(x.dtype)
                gradients += [(dh.t() @ x).to(down.dtype), (dy.t() @ h).to(up.dtype).mul_(scale)]
            if ctx.needs_input_grad[0]:
                weight = weight.to(x.dtype)
                dx = dy @ weight if dx is None else dx.addmm_(dy, weight)
                if dh is not None and down is not None:
                    dx.addmm_(dh, down.to(x.dtype))
        return dx, None, *gradients


def _each(scales: Sequence[float], tensors: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [(scale, *tensors[4 * number : 4 * number + 4]) for number, scale in enumerate(scales)]
