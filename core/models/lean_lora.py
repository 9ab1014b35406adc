"""LoRA layers of peft that do the same arithmetic in fewer passes over memory, for as long as a model answers."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional


@contextmanager
def lean_lora(model: nn.Module) -> Iterator[None]:
    """Let a model's plain LoRA layers add their part at less cost; the results are the same to the last bit.

    peft widens the input of each layer for itself, though those of one block share it, multiplies the product by the
    scaling and adds it in passes of their own. A layer whose adapter is switched off calls its base layer at once.
    Layers of other kinds (DoRA, several adapters at a time) stay as they are, and so do all where gradients flow.

    Which adapter counts is settled here: none is switched before this ends. No layer may change its input in place, and
    hooks on the two matrices of an adapter are not called.
    """
    widened = _Widened()
    layers: list[nn.Module] = [layer for layer in model.modules() if _is_plain(layer)]
    try:
        for layer in layers:
            vars(layer)["forward"] = _forward(layer, widened)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)
        widened.forget()


def _is_plain(layer: Any) -> bool:
    """Whether it is peft's LoRA of a linear layer, with one adapter or switched off, in evaluation mode."""
    peft = sys.modules.get("peft.tuners.lora.layer")  # a model without adapters needs no peft
    if peft is None or type(layer) is not peft.Linear or "forward" in vars(layer) or layer.training:
        return False
    if layer.disable_adapters:
        return not layer.merged
    names = layer.active_adapters
    return (
        not layer.merged
        and len(names) == 1
        and names[0] in layer.lora_A
        and names[0] not in layer.lora_variant
        and layer.lora_A[names[0]].bias is None
        and layer.lora_B[names[0]].bias is None
        and getattr(layer, "cast_input_dtype_enabled", True)
    )


class _Widened:
    """The last tensor that was asked for, in another format; the layers of one block ask for the same one."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._given: torch.Tensor | None = None
        self._found: torch.Tensor | None = None

    def of(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if x.dtype == dtype:
            return x
        if self._given is not x or self._found is None or self._found.dtype != dtype:
            self._given, self._found = x, x.to(dtype)
        return self._found


def _forward(layer: Any, widened: _Widened) -> Callable[..., torch.Tensor]:
    base, as_peft_does = layer.base_layer, layer.forward
    if layer.disable_adapters:
        return lambda x, *args, **more: as_peft_does(x, *args, **more) if args or more else base(x)
    (name,) = layer.active_adapters
    down, (up, scaling) = layer.lora_A[name].weight, _scaled(layer.lora_B[name].weight, layer.scaling[name])

    def forward(x: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        if args or more or torch.is_grad_enabled():
            return as_peft_does(x, *args, **more)
        result = base(x)
        added = functional.linear(functional.linear(widened.of(x, down.dtype), down), up)
        if scaling != 1:
            added *= scaling
        if torch.promote_types(result.dtype, added.dtype) != added.dtype:
            return (result + added).to(result.dtype)
        return added.add_(result).to(result.dtype)

    return forward


def _scaled(up: torch.Tensor, scaling: float) -> tuple[torch.Tensor, float]:
    """The matrix with the scaling in it, and what is left to scale: a power of two changes no digit of a product.

    Unless the numbers are too small for the format, which happens in float16 alone.
    """
    if scaling == 1 or math.frexp(scaling)[0] != 0.5 or up.dtype == torch.float16:
        return up, scaling
    return up.detach() * scaling, 1
