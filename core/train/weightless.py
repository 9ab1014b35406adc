"""A model without numbers, on which the training code really runs, to count the memory that it would take."""

import contextlib
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ..errors import ModelError
from ..settings import Settings

CUDA_BLOCK = 512  # bytes that the GPU's allocator rounds up to
BOOLEAN_INDEX = torch.ops.aten.index.Tensor
INDEX_PUTS = (
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
)
VALUE = torch.ops.aten._local_scalar_dense.default


def weightless_base(folder: Path, dtype: str | None, nf4: bool, settings: Settings) -> PreTrainedModel:
    """The model that config.json describes, with shapes alone (device meta).

    Args:
        folder: Holds config.json; no weights are looked at.
        dtype: Number format of the weights; None: the configuration's.
        nf4: Linear layers as stand-ins for 4-bit ones.
        settings: Whether the model may bring code of its own.

    Raises:
        ModelError: The configuration describes no model that this transformers version knows.
    """
    trust = settings.trust_remote_code
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
        with torch.device("meta"):
            options = {"dtype": getattr(torch, dtype)} if dtype else {}
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The model in '{folder}' is of a kind that the installed transformers does not know.",
            "Upgrade transformers, or use another model.",
        ) from error
    if nf4:
        _shrink(model)
    return model


class Nf4Linear(nn.Linear):
    """Stands for a 4-bit layer: as in bitsandbytes, each use unpacks the whole weight, and nothing unpacked is kept."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return _Unpacked.apply(input, self.weight, self.bias)


class _Unpacked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.weight = weight
        return nn.functional.linear(inputs.to(weight.dtype), torch.empty_like(weight), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0].to(ctx.weight.dtype) @ torch.empty_like(ctx.weight), None, None


def _shrink(model: PreTrainedModel) -> None:
    head = model.get_output_embeddings()
    for module in model.modules():
        if type(module) is nn.Linear and module is not head:
            module.__class__ = Nf4Linear


class Counter(TorchDispatchMode):
    """Counts the bytes of all storages that computing makes, as long as they live.

    Tensors of floating-point numbers are fake: they have a shape, a format and a device, and no numbers. Those of
    integers and booleans (tokens, labels, masks) are small and real, so code that branches on them works.

    Attributes:
        live: Bytes at present.
        peak: The most that there were at once.
    """

    def __init__(self, fake: FakeTensorMode, device: str) -> None:
        super().__init__()
        self.fake = fake
        self.block = CUDA_BLOCK if device == "cuda" else 1
        self.live = self.peak = 0
        self._known: dict[int, int] = {}

    def ignore(self, tensor: torch.Tensor) -> None:
        """Do not count this one; its memory is known otherwise."""
        self._known[tensor.untyped_storage()._cdata] = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_iter((args, kwargs)) if isinstance(x, torch.Tensor)]
        if func is VALUE and isinstance(tensors[0], FakeTensor):
            return 1.0  # a number of the model itself, which nobody knows
        if not tensors:
            made = self._created(func, args, kwargs)
        elif not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            made = self._real(func, args, kwargs)
        else:
            made = func(*(_with_places(args) if func in (BOOLEAN_INDEX, *INDEX_PUTS) else args), **kwargs)
        for tensor in tree_iter(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor)
        return made

    def _created(self, func: Any, args: Any, kwargs: Any) -> Any:
        with self.fake:
            made = func(*args, **kwargs)
        if isinstance(made, torch.Tensor) and not made.dtype.is_floating_point:
            return func(*args, **_at_home(kwargs))
        return made

    def _real(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Integers stay real; where they become fractions, their numbers are dropped."""
        made = func(*args, **_at_home(kwargs))
        return tree_map(self._without_numbers, made)

    def _without_numbers(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype.is_floating_point and value.dim():
            with self.fake:
                return torch.empty_like(value, device=self.device_of_model)
        return value

    device_of_model = "cpu"

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = -(-storage.nbytes() // self.block) * self.block
        self._known[key] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.live -= self._known.pop(key, 0)


def _at_home(kwargs: dict[str, Any]) -> dict[str, Any]:
    return kwargs | {"device": torch.device("cpu")} if kwargs.get("device") is not None else kwargs


def _with_places(args: Any) -> Any:
    """The same with masks among the indices replaced by the places that they mark: how many is known only really."""
    places: list[Any] = []
    for index in args[1]:
        mask = isinstance(index, torch.Tensor) and index.dtype is torch.bool and not isinstance(index, FakeTensor)
        places += index.nonzero().unbind(1) if mask else [index]
    return (args[0], places, *args[2:])


def without_numbers(model: nn.Module, device: str) -> Counter:
    """Turn every weight of a meta model into a fake one on this device; trained ones become float32, as in training.

    Returns:
        What counts while code runs on the model.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    counter = Counter(fake, device)
    counter.device_of_model = device
    made: dict[int, torch.Tensor] = {}

    def fresh(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in made:
            with fake:
                dtype = torch.float32 if tensor.requires_grad else tensor.dtype
                one = torch.empty(tensor.shape, dtype=dtype, device=device)
            trained = tensor.requires_grad
            made[id(tensor)] = nn.Parameter(one, trained) if isinstance(tensor, nn.Parameter) else one
            counter.ignore(made[id(tensor)])
        return made[id(tensor)]

    for module in model.modules():
        for kept in (module._parameters, module._buffers):
            for name, tensor in kept.items():
                if tensor is not None:
                    kept[name] = fresh(tensor)  # pyright: ignore[reportArgumentType]
    return counter


@contextlib.contextmanager
def counting(counter: Counter, dtype: str | None, device: str) -> Iterator[None]:
    """Count what runs inside, with the arithmetic of a training in this number format."""
    with counter, torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
        yield
