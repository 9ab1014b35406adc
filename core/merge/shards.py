"""The merge itself: a block of rows at a time, in fp32; neither the model nor a weight file is ever in memory."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import files
from ..errors import ModelError
from ..processors import usable_processors
from .blend import Blend, Recipe
from .checkpoint import FLOATS, INDEX, SINGLE, Checkpoint
from .plan import Plan
from .tensor_file import Entry, TensorFile

OnBytes = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

WAITING = 4
"""Blocks per thread that may wait for their turn."""


@dataclass(frozen=True)
class Layout:
    """Which tensor goes into which file."""

    shards: tuple[tuple[Entry, ...], ...]

    @property
    def total_bytes(self) -> int:
        return sum(entry.bytes for shard in self.shards for entry in shard)

    def file_name(self, number: int) -> str:
        """Name of the shard with this number, from 0."""
        count = len(self.shards)
        return SINGLE if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def lay_out(base: Checkpoint, plan: Plan, dtype: str | None, max_shard_bytes: int) -> Layout:
    """Fill files in the base's order, none above the limit unless one tensor alone is.

    Args:
        base: The base model.
        plan: Its changes; a new output layer is one tensor more.
        dtype: Number format to store floating-point weights in; None keeps each tensor's own.
        max_shard_bytes: The limit.
    """
    shards: list[list[Entry]] = [[]]
    filled = 0
    for entry in _entries(base, plan, dtype):
        if shards[-1] and filled + entry.bytes > max_shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(entry)
        filled += entry.bytes
    return Layout(tuple(tuple(shard) for shard in shards))


def _entries(base: Checkpoint, plan: Plan, dtype: str | None) -> Iterator[Entry]:
    formats = {torch_name: stored for stored, torch_name in FLOATS.items()}
    for name in dict.fromkeys((*base.tensors, *plan.changes)):
        if name in plan.dropped:
            continue
        change = plan.changes.get(name)
        source = base.tensors[change.source if change else name]
        shape = change.shape if change else source.shape
        size = source.bytes // max(1, source.rows) * (shape[0] if shape else 1)
        stored = source.stored
        if dtype and source.is_float:
            stored, size = formats[dtype], size * _bits(dtype) // _bits(FLOATS[source.stored])
        yield Entry(name, stored, shape, size)


def _bits(dtype: str) -> int:
    return int(dtype.lstrip("bfloat"))


def write_merged(recipe: Recipe, plan: Plan, layout: Layout, folder: Path, on_bytes: OnBytes) -> None:
    """Write the merged weights into `folder`.

    Memory: a few blocks for each thread, and the adapter's tensors for one weight; with a strategy that prunes, that
    weight as often as there are adapters.

    Raises:
        ModelError: The adapter changes nothing, or holds numbers that are not finite.
        ExportError: A merged weight does not fit the number format.
    """
    progress = _Progress(layout.total_bytes, on_bytes)
    changes_anything = False
    for number, entries in enumerate(layout.shards):
        with TensorFile(folder / layout.file_name(number), entries) as file, _threads() as threads:
            work = _Queue(threads, progress)
            for entry in entries:
                change = plan.changes.get(entry.name)
                if recipe.copies(entry.name, change):
                    work.add(entry.bytes, file.copy, entry.name, recipe.base.tensors[entry.name])
                    continue
                blend = recipe.blend(entry.name, change)
                changes_anything = changes_anything or blend.differs()
                for first, last in blend.blocks():
                    share = entry.bytes * (last - first) // max(1, blend.rows_in_all)
                    work.add(share, _write_block, file, blend, first, last)
            work.finish()
    if not changes_anything:
        raise no_op()
    if len(layout.shards) > 1:
        _write_index(layout, folder)


def _write_block(file: TensorFile, blend: Blend, first: int, last: int) -> None:
    file.write(blend.name, first, blend.rows(first, last))


def _write_index(layout: Layout, folder: Path) -> None:
    weight_map = {entry.name: layout.file_name(n) for n, shard in enumerate(layout.shards) for entry in shard}
    index = {"metadata": {"total_size": layout.total_bytes}, "weight_map": weight_map}
    files.write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """A thread for each processor, each computing alone: a block is too small to be shared, and helpers that wait for
    a share of it spin meanwhile."""
    import torch

    own = torch.get_num_threads()
    torch.set_num_threads(1)
    with ThreadPoolExecutor(usable_processors(), initializer=torch.set_num_threads, initargs=(1,)) as threads:
        try:
            yield threads
        finally:
            threads.shutdown(cancel_futures=True)
            torch.set_num_threads(own)


@dataclass
class _Progress:
    total: int
    on_bytes: OnBytes
    done: int = 0

    def add(self, count: int) -> None:
        self.done += count
        self.on_bytes(self.done, self.total)


class _Queue:
    """Work for the threads, with a bound on what waits, since what waits holds memory."""

    def __init__(self, threads: ThreadPoolExecutor, progress: _Progress) -> None:
        self._threads, self._progress = threads, progress
        self._waiting: deque[tuple[int, Future[None]]] = deque()
        self._bound = WAITING * threads._max_workers

    def add(self, count: int, work: Callable[..., None], *arguments: object) -> None:
        if len(self._waiting) >= self._bound:
            self._settle()
        self._waiting.append((count, self._threads.submit(work, *arguments)))

    def finish(self) -> None:
        while self._waiting:
            self._settle()

    def _settle(self) -> None:
        count, future = self._waiting.popleft()
        future.result()
        self._progress.add(count)


def no_op() -> ModelError:
    """The error for an adapter whose merged model would be the base itself."""
    return ModelError(
        "No-op adapter: every one of its changes is zero, so the merged model would be the base itself.",
        "Check that this is the adapter that was trained (train's metrics show whether the loss moved), or train it.",
    )
