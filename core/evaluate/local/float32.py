"""Exact numbers of 16-bit weights on a processor: everything is computed in float32, each weight widened when used."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ...models.machine import multiplies_float32_well

KEPT = 1 << 28  # numbers of widened weights, 1 GB: a small model is widened once, of a large one a part
SIXTEEN_BITS = (torch.bfloat16, torch.float16)
WIDENED_AT_ONCE = 1 << 25  # numbers, 128 MB: an output layer can be twenty times as large


@contextmanager
def computed_in_float32(model: Any) -> Iterator[None]:
    """On a processor that does so quickly, let the model compute in float32, whatever its weights are stored in.

    In bfloat16 a text's likelihood hangs on what shares its batch: mean losses move by one part in a thousand, in
    float32 by one in ten million. Memory: the weights stay as they are, and up to 1 GB of them is held in float32
    besides; weights that no linear layer holds, such as the experts of a layer in one tensor, only while they are used.
    """
    if model.device.type != "cpu" or not multiplies_float32_well():
        yield
        return
    with _Float32():
        yield


class _Float32(TorchFunctionMode):
    """Sees every 16-bit number as float32."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[torch.Tensor, list[torch.Tensor]] = {}
        self._room = KEPT

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is functional.linear:
            return self._linear(*args, **(kwargs or {}))
        if func is functional.embedding:
            return func(*args, **(kwargs or {})).float()
        if func is torch.Tensor.__getitem__ or func.__name__ == "__get__":
            return _widened(func(*args, **(kwargs or {})))  # of what is asked for alone: .device widens no weight
        widened = {name: _widened(value) for name, value in (kwargs or {}).items()}
        return _widened(func(*map(_widened, args), **widened))  # what is made in 16 bits may be written to in place

    def _linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """As functional.linear."""
        parts = [_product(_widened(x), part) for part in self._parts(weight)]
        out = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        return out if bias is None else out.add_(_widened(bias))

    def _parts(self, weight: torch.Tensor) -> Iterable[torch.Tensor]:
        """A weight's rows, widened."""
        if weight.dtype == torch.float32:
            return [weight]
        if weight not in self._kept and weight.numel() <= self._room:
            self._kept[weight] = [weight.float()]
            self._room -= weight.numel()
        if weight in self._kept:
            return self._kept[weight]
        return (part.float() for part in weight.split(max(1, WIDENED_AT_ONCE // weight.shape[1])))


def _product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """By oneDNN where torch has it: MKL, which it would ask by itself, is half as fast on AMD's processors."""
    if not torch.backends.mkldnn.is_available():
        return functional.linear(x, weight)
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


def _widened(value: Any) -> Any:
    """Tensors, and what names a number format, as if there were no 16 bits."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in SIXTEEN_BITS else value
    if type(value) in (list, tuple):
        return type(value)(map(_widened, value))
    return torch.float32 if isinstance(value, torch.dtype) and value in SIXTEEN_BITS else value
