"""How long hosted jobs take, learned from those that ended here: no provider says it beforehand."""

from collections.abc import Iterator
from statistics import median

from ..runs import index
from ..runs.record import RunFolder
from ..settings import Settings
from .memory import Hosted, read_memory

UNKNOWN = "no job of this provider has ended here yet, and none tells beforehand; jobs also wait for each other there"


def expected_seconds(host: str, tokens: int | None, settings: Settings) -> tuple[float | None, str]:
    """From a job's creation to its end, its waiting there included, and what that rests on.

    Args:
        host: Where the job would run.
        tokens: To be trained, all epochs together; None when nobody counts them.
        settings: Whose runs are looked at.
    """
    if tokens is None:
        return None, "such jobs do not go by tokens"
    ended = list(_ended(host, settings))
    if not ended:
        return None, UNKNOWN
    pace = median(took_s / trained for took_s, trained in ended)
    jobs = "one earlier job" if len(ended) == 1 else f"the median of {len(ended)} earlier jobs"
    return tokens * pace, f"{jobs} at {host}: {pace * 1e6:,.0f} seconds a million tokens"


def _ended(host: str, settings: Settings) -> Iterator[tuple[float, int]]:
    """Seconds and trained tokens of each job; one that several runs watched counts once."""
    known: dict[str | None, Hosted] = {}
    for pointer in index.pointers(settings):
        memory = read_memory(RunFolder(path=pointer.run_dir)) if pointer.mode == "openai" else None
        if memory is not None and memory.host == host:
            known.setdefault(memory.job_id, memory)
    for one in known.values():
        if one.took_s and one.trained_tokens:
            yield one.took_s, one.trained_tokens
