"""A run's progress as MCP wants it: each number larger than the last, though every stage counts anew."""

from dataclasses import dataclass

from ..core.runs.record import Progress


@dataclass(frozen=True, slots=True)
class Notice:
    """One progress notification."""

    progress: float
    total: float | None
    message: str


class GrowingProgress:
    """Puts the stages of a run one after the other; what a stage itself counts stands in the message."""

    def __init__(self) -> None:
        self._last: Progress | None = None
        self._told = -1.0
        self._before = 0.0  # where this stage began in the numbers that are told

    def notice(self, now: Progress) -> Notice | None:
        """What to tell of this; None when nothing has moved."""
        last, self._last = self._last, now
        if last is not None and _is_new_stage(last, now):
            self._before = self._told + 1 - now.done
        number = self._before + now.done
        if number <= self._told:
            return None
        self._told = number
        return Notice(number, None if now.total is None else self._before + now.total, _message(now))


def _is_new_stage(last: Progress, now: Progress) -> bool:
    return now.done < last.done or (
        now.done == last.done == 0 and (now.message, now.total) != (last.message, last.total)
    )


def _message(now: Progress) -> str:
    if not now.unit:
        return now.message
    counted = f"{now.done:,.0f}" + (f" of {now.total:,.0f}" if now.total else "") + f" {now.unit}"
    return f"{now.message}: {counted}" if now.message else counted
