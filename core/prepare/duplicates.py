"""Equal rows: dropped, or kept together when they may stay."""

import orjson
import xxhash

from ..checks import Check
from ..examples.types import ChatExample, CompletionExample, Example, Message
from .job import Job
from .row import Row
from .wording import counted


class ExactDuplicates:
    """The step: of rows whose conversations are equal sign for sign the first is kept.

    Leftover fields such as an id do not count. It comes after redaction, since rows that differ in a redacted value
    only are the same row to a model; and it gives the rows that go on their index, since no later step drops one
    before all are read.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._first: dict[bytes, tuple[int, str]] = {}
        self._repeated = 0
        self._next = 0

    def __call__(self, rows: list[Row]) -> list[Row]:
        return [row for row in rows if self._keeps(row)]

    def _keeps(self, row: Row) -> bool:
        digest = xxhash.xxh3_128_digest(_content(row.example))
        first = self._first.setdefault(digest, (self._next, row.place.row_id))
        is_first = first[1] == row.place.row_id
        if not is_first and self._job.request.dedup != "off":
            self._job.ledger.drop(row.place, "duplicate", row.prepared, matched=first[1])
            return False
        if not is_first:
            self._repeated += 1
            self._job.store.links.append((first[0], self._next))
        row.index = self._next
        self._next += 1
        return True

    def checks(self) -> list[Check]:
        """Whether equal rows are left."""
        if not self._repeated:
            return []
        details = f"{counted(self._repeated, 'row')} equal to an earlier one, kept beside their twins (dedup: off)"
        return [
            Check(name="Duplicates", status="warn", details=details, count=self._repeated, next_step="Use dedup: near.")
        ]


def _content(example: Example) -> bytes:
    if isinstance(example, CompletionExample):
        return orjson.dumps((example.prompt, example.completion))
    return orjson.dumps(
        [(m.role, m.content, m.tool_calls) if m.tool_calls else (m.role, m.content) for m in example.messages]
    )


def question_digest(example: Example) -> int:
    """A 64-bit digest of what is asked, system messages aside; 0 when nothing is, as in plain text."""
    if isinstance(example, CompletionExample):
        return xxhash.xxh3_64_intdigest(example.prompt.strip().encode()) if example.prompt.strip() else 0
    return xxhash.xxh3_64_intdigest(orjson.dumps([(m.role, m.content.strip()) for m in _asked(example)]))


def _asked(example: ChatExample) -> list[Message]:
    last = max(i for i, message in enumerate(example.messages) if message.role == "assistant")
    return [message for message in example.messages[:last] if message.role != "system"]
