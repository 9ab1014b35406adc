"""The worker on all cores: what is given to it comes back in order, and never much of it is under way."""

import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Protocol, TypeVar

from ..garbage import collect_seldom
from ..processors import usable_processors
from .worker import Worker

MAX_PROCESSES = 16
AHEAD = 2  # portions under way for each process, so that none waits for the next
Item = TypeVar("Item")
Answer = TypeVar("Answer")

_worker: Worker | None = None  # of this process, when it is one of the pool's


class Crew(Protocol):
    """Who carries out the worker's work."""

    def map(self, do: Callable[[Worker, Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        """`do(worker, item)` for each item, in their order."""
        ...


class Alone:
    """This process by itself, for a little data."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def map(self, do: Callable[[Worker, Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        """See `Crew.map`."""
        return (do(self._worker, item) for item in items)


class Pool:
    """Processes that share the worker's memory where the system can fork, and have a copy of it elsewhere."""

    def __init__(self, worker: Worker, processes: int) -> None:
        self._processes = processes
        gc.freeze()  # what is shared with the parent stays shared
        method = "fork" if sys.platform == "linux" else "spawn"
        self._executor = ProcessPoolExecutor(
            processes, multiprocessing.get_context(method), initializer=_begin, initargs=(worker,)
        )
        self._executor.submit(_ready).result()  # fork now: libraries used later keep threads, which no fork survives

    def map(self, do: Callable[[Worker, Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        """See `Crew.map`.

        Raises:
            MemoryError: A process was killed, as the system does when memory runs out.
        """
        under_way: deque[Future[Any]] = deque()
        try:
            for item in items:
                under_way.append(self._executor.submit(_do, do, item))
                if len(under_way) >= AHEAD * self._processes:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BrokenProcessPool as error:
            raise MemoryError("a process that checks rows was killed") from error

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        gc.unfreeze()


def processes() -> int:
    """How many processes are worth having: the cores that this process may use."""
    return min(usable_processors(), MAX_PROCESSES)


def _begin(worker: Worker) -> None:
    """Take the worker, end with the parent whatever ends it, and leave stopping to it."""
    global _worker
    _worker = worker
    collect_seldom()
    os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # one core for each process
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True, name="follow-parent").start()


def _ready() -> bool:
    return _worker is not None


def _do(do: Callable[[Worker, Item], Answer], item: Item) -> Answer:
    assert _worker is not None
    return do(_worker, item)
