"""Examples as records of the format that was asked for."""

from collections.abc import Mapping
from itertools import pairwise

from ..checks import Check
from ..examples.convert import losses, to_record
from ..examples.types import ChatExample, CompletionExample, Example, Format
from .batch import Done
from .ledger import Ledger
from .plan import Plan
from .row import Row
from .tool_calls import look_at_calls
from .wording import counted

CALLERS = ("assistant", "tool")  # after whom a tool may reply


class Convert:
    """The step: one record a row in the target format; what the format cannot hold is counted."""

    def __init__(self, plan: Plan) -> None:
        self._format: Format = plan.request.format
        self._tables = {str(file.path) for file in plan.files if file.kind in ("parquet", "arrow")}

    def __call__(self, rows: list[Row], done: Done) -> list[Row]:
        """The rows that go on."""
        return [row for row in rows if self._converts(row, done)]

    def _converts(self, row: Row, done: Done) -> bool:
        if self._format != "completion" and _is_bare_text(row.example):
            done.entries.drop(row.place, "no_prompt", row.record)
            return False
        row.prepared = to_record(row.example, self._format)
        row.lost = losses(row.example, self._format)
        if row.lost:
            done.tally.losses.update(row.lost)
        look_at_calls(row, done, typed=row.place.source in self._tables)
        if odd := _odd_order(row.example):
            done.entries.flag(row.place, "role_order", odd)
        return True


def conversion_checks(ledger: Ledger, lost: Mapping[str, int], format: str) -> list[Check]:
    """Whether the conversations are in order, and what the format could not hold."""
    odd = ledger.flagged["role_order"]
    order = Check(
        name="Role Order",
        status="warn" if odd else "pass",
        details=f"{counted(odd, 'conversation')} not alternating between user and assistant"
        if odd
        else "every conversation alternates and ends in an answer",
        count=odd,
        next_step="Read the rows flagged role_order in ledger.jsonl." if odd else None,
    )
    if not lost:
        return [order]
    ordered = sorted(lost.items(), key=lambda one: -one[1])
    sentences = "; ".join(f"{sentence} ({counted(count, 'row')})" for sentence, count in ordered)
    loss = Check(
        name="Conversion",
        status="warn",
        details=f"{format} cannot hold everything: {sentences}",
        count=ordered[0][1],
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
    if roles == ["user", "assistant"] and example.rejected is None:
        return None
    if example.rejected is not None and roles[example.rejected.after : example.rejected.after + 1] == ["user"]:
        return "the two answers of a pair are to different questions"
    if "system" in roles[1:]:
        return "a system message after the start"
    talk = [role for role in roles if role in ("user", "assistant")]
    if "tool" in roles and any(one == "tool" and before not in CALLERS for before, one in pairwise(["", *roles])):
        return "a tool's reply that follows no turn of the assistant"
    if talk[0] != "user":
        return "begins with an answer"
    if talk[-1] != "assistant":
        return "ends without an answer"
    if "tool" not in roles and any(a == b for a, b in pairwise(talk)):
        return "two turns of one role in a row"
    return None
