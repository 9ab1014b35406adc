"""Several processes that train one model; with a single process everything here is its own answer.

Every process has the whole model (unless it is sharded), reads its own share of each step's batches, and averages the
gradients with the others once a step. All collective calls have to be made by every process at the same place.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from datasets import Dataset
from torch import distributed
from torch.utils.data import Sampler

from ..errors import FinetunerError
from ..examples.mask import NOT_TRAINED

RANK, LOCAL_RANK, WORLD_SIZE = "RANK", "LOCAL_RANK", "WORLD_SIZE"  # what torchrun sets for each process
BUCKET_NUMBERS = 8_000_000  # gradients that travel together: small ones are slow on their own, all at once take memory

Found = TypeVar("Found")


def rank() -> int:
    """This process's number; 0 is the one that writes."""
    return int(os.environ.get(RANK, "0"))


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ.get(WORLD_SIZE, "1"))


def join() -> None:
    """Become one of the processes that torchrun started: on a GPU of its own, or on the processor."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ[LOCAL_RANK]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")


def leave() -> None:
    """The end of what `join` began."""
    distributed.destroy_process_group()


def total(values: Sequence[float], device: torch.device) -> list[float]:
    """Each value summed over all processes."""
    if not distributed.is_initialized():
        return list(values)
    summed = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(summed)
    return summed.tolist()


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether it is so in any process."""
    return total([float(flag)], device)[0] > 0


def gathered(value: Found) -> list[Found]:
    """Every process's value, in the order of their numbers."""
    if not distributed.is_initialized():
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def by_the_first(work: Callable[[], Found]) -> Found:
    """What the first process's work comes to; the others wait for it instead of working.

    Raises:
        FinetunerError: In every process, when the first one's work raised it.
    """
    if not distributed.is_initialized():
        return work()
    answer: list[Any] = [None, None]
    if rank() == 0:
        try:
            answer[0] = work()
        except FinetunerError as error:
            answer[1] = error
    distributed.broadcast_object_list(answer)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes; one that a process lacks counts as zero there."""
    if not distributed.is_initialized():
        return
    bucket: list[torch.Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        if bucket and (_size(bucket) > BUCKET_NUMBERS or bucket[0].dtype != parameter.grad.dtype):
            _average(bucket)
            bucket = []
        bucket.append(parameter.grad)
    if bucket:
        _average(bucket)


def _size(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _average(tensors: list[torch.Tensor]) -> None:
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= world_size()
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


class Evened(Sampler[int]):
    """An order that is as long for every process: filled up with the filler row, which `without_fillers` drops again.

    Repeating rows instead, as accelerate does, would train some of them twice and count their loss twice.
    """

    def __init__(self, order: Any, batch_size: int) -> None:
        self.order = order
        self.multiple = batch_size * world_size()

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop at the beginning of each epoch."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-len(self.order) // self.multiple) * self.multiple

    def __iter__(self) -> Iterator[int]:
        yield from self.order
        for _ in range(len(self) - len(self.order)):
            yield len(self.order)


def evened(rows: Dataset, batch_size: int, order_of: Callable[[list[int]], Any]) -> Any:
    """The order of the rows of `with_filler` that `order_of` makes of their lengths, as long for every process."""
    lengths = [len(ids) for ids in rows["input_ids"]]
    return order_of(lengths) if world_size() == 1 else Evened(order_of(lengths[:-1]), batch_size)


def with_filler(rows: Dataset) -> Dataset:
    """The rows, and after them one that stands for none: a copy of the shortest, which trains nothing.

    It belongs to no row of the file. A process that has nothing else computes it only where others wait for that.
    """
    if world_size() == 1:
        return rows
    lengths = [len(ids) for ids in rows["input_ids"]]
    shortest = lengths.index(min(lengths))
    nothing = {"labels": [NOT_TRAINED] * lengths[shortest], "rows": []}
    return rows.add_item({**rows[shortest], **nothing}, new_fingerprint="filled")


def without_fillers(sequences: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The real ones of a batch; of fillers alone one: a batch without rows, which does not count."""
    return [one for one in sequences if one["rows"]] or sequences[:1]
