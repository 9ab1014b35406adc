"""Several requests at once: few enough for any account, enough that waiting does not take the whole time."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

AT_ONCE = 4
T = TypeVar("T")
R = TypeVar("R")


def in_parallel(ask: Callable[[T], R], things: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Each thing with what was answered about it, in the order of the answers.

    What has not begun is given up when one request fails or the caller stops listening.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {pool.submit(ask, thing): thing for thing in things}
        try:
            for answered in as_completed(asked):
                yield asked[answered], answered.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
