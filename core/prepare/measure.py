"""How long the rows are, by field and as a whole."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import Check
from ..examples.dialects import read_record
from ..examples.types import ChatExample, Example, Format
from .batch import Done
from .faults import FAULTS
from .plan import Plan
from .request import PrepareRequest
from .result import Histogram, TokenStatistics
from .row import Row
from .store import Store
from .tally import note
from .trained import Trained, look, tokens_by_field
from .trained_checks import columns
from .wording import counted

PREFIX = "tokens:"
ROW = "row"
ORDER = (
    *("system", "instruction", "input", "output", "history", "prompt", "completion"),
    *("user", "human", "assistant", "gpt", "tool", "observation", "function_call", "chosen", "rejected", ROW),
)
BARS = 30  # of the histogram


class Measure:
    """Counts the tokens of every row's fields: one column a field, of the count plus one; 0 where a row has none.

    With a model also what training would make of each row, in the columns of `trained_checks.columns`.
    """

    def __init__(self, plan: Plan) -> None:
        self._tokens, self._limit = plan.tokens, plan.cut_at
        self._format: Format = plan.request.format

    def __call__(self, rows: list[Row], done: Done) -> None:
        """Add the columns, and flags for the rows that training would not take whole."""
        if self._tokens.chat is None:
            whole = self._add_fields(self._counted(rows), done)
            done.columns[PREFIX + ROW] = whole + 1
        else:
            examples = [_as_read(row, self._format) for row in rows]
            found = look(examples, self._tokens.chat, self._limit)
            self._add_fields(self._seen(rows, examples, found), done)
            done.columns |= columns(found)
            whole = done.columns[PREFIX + ROW] - 1
            _flag_faults(rows, found, done)
        self._flag_long(rows, whole, done)

    def _counted(self, rows: Sequence[Row]) -> list[dict[str, int]]:
        """The tokens of each field of each row, every field by itself."""
        fields = [fields_of(row.prepared, self._format) for row in rows]
        counts = iter(self._tokens.count_many([text for one in fields for text in one.values()]))
        return [{name: next(counts) for name in one} for one in fields]

    def _seen(self, rows: Sequence[Row], examples: Sequence[Example], found: Sequence[Trained]) -> list[dict[str, int]]:
        """The same from what training sees, so that a text is not tokenised twice; it does not see rejected answers."""
        unseen = [bool(example.rejected or one.refused) for example, one in zip(examples, found, strict=True)]
        others = iter(self._counted([row for row, alone in zip(rows, unseen, strict=True) if alone]))
        return [
            next(others) if alone else tokens_by_field(example, one, self._format)
            for example, one, alone in zip(examples, found, unseen, strict=True)
        ]

    def _add_fields(self, counts: Sequence[dict[str, int]], done: Done) -> NDArray[np.int32]:
        """Add a column for each field; gives back the sum of each row."""
        fields: dict[str, list[int]] = {}
        for at, one in enumerate(counts):
            for name, count in one.items():
                if name not in fields:
                    fields[name] = [0] * len(counts)
                fields[name][at] = count + 1
        done.columns |= {PREFIX + name: np.array(column, dtype=np.int32) for name, column in fields.items()}
        return np.array([sum(one.values()) for one in counts], dtype=np.int32)

    def _flag_long(self, rows: list[Row], whole: NDArray[np.int32], done: Done) -> None:
        if self._limit is not None:
            about = "" if self._tokens.chat else "about "
            for at in np.flatnonzero(whole > self._limit).tolist():
                done.entries.flag(rows[at].place, "too_long", f"{about}{whole[at]} tokens of {self._limit}")


def _flag_faults(rows: Sequence[Row], found: Sequence[Trained], done: Done) -> None:
    for row, one in zip(rows, found, strict=True):
        if one.refused:
            note(done.tally.refused, one.refused, row.place)
            done.entries.flag(row.place, "template_refused", one.refused)
        for fault in one.faults:
            done.entries.flag(row.place, fault, FAULTS[fault])


def _as_read(row: Row, format: Format) -> Example:
    """The row as training will read it from the written file; in OpenAI's format a conversation stays what it is."""
    if format == "openai" and isinstance(row.example, ChatExample):
        return row.example
    return read_record(row.prepared)


def fields_of(record: Mapping[str, Any], format: Format) -> dict[str, str]:
    """The texts of a prepared record by field, or by role in conversations; several of one role are joined."""
    if format in ("openai", "sharegpt"):
        return _said(record, format)
    if format == "completion":
        return {name: record[name] for name in ("prompt", "completion", "chosen", "rejected") if name in record}
    history = "\n".join(text for pair in record.get("history", ()) for text in pair)
    extra = {"system": record.get("system"), "history": history}
    own = {name: record[name] for name in ("instruction", "input", "output", "chosen", "rejected") if name in record}
    return own | {name: text for name, text in extra.items() if text}


def _said(record: Mapping[str, Any], format: Format) -> dict[str, str]:
    turns, role, content = ("messages", "role", "content") if format == "openai" else ("conversations", "from", "value")
    said: dict[str, list[str]] = {}
    for turn in record.get(turns) or record.get("prompt", ()):
        said.setdefault(turn[role], []).append(turn[content])
    for side in ("chosen", "rejected"):
        if side in record:
            answers = record[side] if isinstance(record[side], list) else [record[side]]
            said[side] = [answer[content] for answer in answers]
    return {name: texts[0] if len(texts) == 1 else "\n".join(texts) for name, texts in said.items()}


def statistics(store: Store) -> tuple[TokenStatistics, ...]:
    """Per field over the rows that are left, in the order of a conversation."""
    names = [name.removeprefix(PREFIX) for name in store.names(PREFIX)]
    names.sort(key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    found = ((name, _counts(store, name)) for name in names)
    return tuple(_statistics(name, counts) for name, counts in found if len(counts))


def _counts(store: Store, name: str) -> NDArray[np.int32]:
    counts = store.column(PREFIX + name)[store.kept]
    return counts[counts > 0] - 1


def _statistics(name: str, counts: NDArray[np.int32]) -> TokenStatistics:
    return TokenStatistics(
        field=name,
        min=int(counts.min()),
        max=int(counts.max()),
        mean=round(float(counts.mean()), 1),
        median=round(float(np.median(counts)), 1),
        p95=round(float(np.percentile(counts, 95)), 1),
    )


def lengths(store: Store) -> Histogram:
    """How many of the rows that are left have how many tokens; the last bar reaches from 99% of them to the longest."""
    counts = _counts(store, ROW)
    step = max(1, -(-(int(np.percentile(counts, 99)) + 1) // BARS))
    edges = np.arange(0, step * (BARS + 1), step)
    edges = edges[: np.searchsorted(edges, counts.max(), side="right") + 1]
    edges[-1] = max(int(edges[-1]), int(counts.max()) + 1)
    found, _ = np.histogram(counts, bins=edges)
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(found.tolist()))


def estimated_length_check(request: PrepareRequest, store: Store, label: str) -> Check:
    """Rows over max_length, when there is no model to count exactly."""
    limit = request.max_length
    if limit is None:
        return Check(name="Max Length", status="pass", details="no max_length asked for", count=None)
    over = int((_counts(store, ROW) > limit).sum())
    details = f"{counted(over, 'row')} above {limit:,} tokens, {label}"
    step = "Pass model_name for exact counts and what training would cut off." if over else None
    return Check(name="Max Length", status="warn" if over else "pass", details=details, count=over, next_step=step)
