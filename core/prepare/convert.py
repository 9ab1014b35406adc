"""Examples as records of the format that was asked for."""

import itertools
from collections import Counter

from ..checks import Check
from ..examples.convert import losses, to_record
from ..examples.types import ChatExample, CompletionExample, Example
from .job import Job
from .row import Row
from .wording import counted


class Convert:
    """The step: one record a row in the target format; what the format cannot hold is counted."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._losses: Counter[str] = Counter()
        self._odd_roles = 0

    def __call__(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if self._converts(row)]

    def _converts(self, row: Row) -> bool:
        format = self._job.request.format
        if format != "completion" and _is_bare_text(row.example):
            self._job.ledger.drop(row.place, "no_prompt", row.record)
            return False
        row.prepared = to_record(row.example, format)
        self._losses.update(losses(row.example, format))
        if odd := _odd_order(row.example):
            self._odd_roles += 1
            self._job.ledger.flag(row.place, "role_order", odd)
        return True

    def checks(self) -> list[Check]:
        """Whether the conversations are in order, and what the format could not hold."""
        order = Check(
            name="Role Order",
            status="warn" if self._odd_roles else "pass",
            details=f"{counted(self._odd_roles, 'conversation')} not alternating between user and assistant"
            if self._odd_roles
            else "every conversation alternates and ends in an answer",
            count=self._odd_roles,
            next_step="Read the rows flagged role_order in ledger.jsonl." if self._odd_roles else None,
        )
        if not self._losses:
            return [order]
        lost = "; ".join(f"{sentence} ({counted(count, 'row')})" for sentence, count in self._losses.most_common())
        format = self._job.request.format
        loss = Check(
            name="Conversion",
            status="warn",
            details=f"{format} cannot hold everything: {lost}",
            count=max(self._losses.values()),
            next_step="Choose format: openai, which holds all of it.",
        )
        return [order, loss]


def _is_bare_text(example: Example) -> bool:
    return isinstance(example, CompletionExample) and not example.prompt.strip()


def _odd_order(example: Example) -> str | None:
    """What is unusual about the order of roles; None when nothing is."""
    if not isinstance(example, ChatExample):
        return None
    roles = [message.role for message in example.messages]
    if "system" in roles[1:]:
        return "a system message after the start"
    talk = [role for role in roles if role in ("user", "assistant")]
    if talk[0] != "user":
        return "begins with an answer"
    if talk[-1] != "assistant":
        return "ends without an answer"
    if "tool" not in roles and any(a == b for a, b in itertools.pairwise(talk)):
        return "two turns of one role in a row"
    return None
