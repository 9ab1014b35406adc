"""bfloat16 weights in the order in which the processor's library reads them, for as long as a model answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn import functional

MOST_BYTES = 1 << 30  # of packed weights, which are a second copy
TOKENS = 32  # at once: what packing has in view; the same order serves any number


@contextmanager
def packed(model: nn.Module) -> Iterator[None]:
    """Let the linear layers of a model on a processor multiply with bfloat16 weights that are packed once.

    oneDNN packs them anew for each product, which for a few tokens takes as long as the product. The results are the
    same to the last bit. Memory: up to 1 GB; the layers beyond it go on as before. Elsewhere nothing changes.
    """
    layers, room = [], MOST_BYTES
    for layer in filter(_can_pack, model.modules()):
        if layer.weight.nbytes <= room:
            room -= layer.weight.nbytes
            vars(layer)["forward"] = _forward(layer)
            layers.append(layer)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _can_pack(layer: nn.Module) -> TypeGuard[nn.Linear]:
    return (
        type(layer) is nn.Linear
        and "forward" not in vars(layer)  # somebody else's, such as a layer that is kept on disk
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


@torch.no_grad()
def _forward(layer: nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    order: Any = torch.ops.mkldnn._reorder_linear_weight
    multiply: Any = torch.ops.mkldnn._linear_pointwise
    weight, bias = order(layer.weight, TOKENS), layer.bias

    def forward(x: torch.Tensor) -> torch.Tensor:
        if x.dtype != torch.bfloat16 or torch.is_grad_enabled():
            return functional.linear(x, layer.weight, bias)
        return multiply(x, weight, bias, "none", [], "")

    return forward
