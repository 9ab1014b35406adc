"""The classes of the data, if it has any: by a field that was named or found, or by short answers."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..checks import Check
from ..examples.types import answer_of
from ..personal.redact import redact_all
from .batch import Done
from .plan import Plan
from .request import PrepareRequest
from .result import Balance, Share
from .row import Row
from .store import Store
from .tally import Tally

FIELD_NAMES = (
    *("category", "label", "class", "topic", "intent", "subject", "task", "type", "domain", "difficulty", "level"),
    *("language", "lang", "source", "dataset", "split", "kto_tag"),
)
ANSWER = "answer"
PREFIX = "class:"
MAX_CLASSES = 100
MIN_ROWS_PER_CLASS = 3  # on average; with fewer it is no class but a value
MAX_LABEL_LETTERS = 40
MAX_LABEL_WORDS = 4
SHOWN = 20
IMBALANCE = 10  # largest class through smallest, from which a person should look


class Classes:
    """Notes the value of every field that may be a class: one column of digests a field, 0 where a row has none."""

    def __init__(self, plan: Plan) -> None:
        self._wanted = plan.request.stratify_by

    def __call__(self, rows: list[Row], done: Done) -> None:
        """Add the columns, and the labels behind the digests to the tally."""
        for at, row in enumerate(rows):
            for name, label in self._values(row).items():
                digest = xxhash.xxh3_64_intdigest(label.encode("utf-8", "surrogatepass")) or 1
                column = done.columns.get(PREFIX + name)
                if column is None:
                    column = done.columns[PREFIX + name] = np.zeros(len(rows), dtype=np.uint64)
                column[at] = digest
                done.tally.labels.setdefault(name, {}).setdefault(digest, label)

    def _values(self, row: Row) -> dict[str, str]:
        if self._wanted is not None:
            value = row.named(self._wanted)
            return {} if value is None else {self._wanted: _label(value)}
        values = {name: row.plain[name] for name in row.plain if _may_name_classes(str(name))}
        labels = {name: _label(value) for name, value in values.items() if isinstance(value, (str, int, bool))}
        answer = answer_of(row.example).strip()
        short = 0 < len(answer) <= MAX_LABEL_LETTERS and len(answer.split()) <= MAX_LABEL_WORDS
        return labels | ({ANSWER: answer} if short else {})


@lru_cache(maxsize=1024)
def _may_name_classes(field: str) -> bool:
    return field.lower() in FIELD_NAMES


def _label(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value)


def give_up(tally: Tally, store: Store, wanted: str | None) -> None:
    """Forget fields with so many values that they are no classes, so that they cost no memory."""
    for name in [name for name, labels in tally.labels.items() if len(labels) > MAX_CLASSES and name != wanted]:
        store.leave_out(PREFIX + name)
        tally.labels[name] = {}


def class_field(request: PrepareRequest, tally: Tally, store: Store) -> str | None:
    """The field whose values are the classes: the one that was asked for, else the likeliest; None without classes."""
    if request.stratify_by is not None:
        return request.stratify_by if PREFIX + request.stratify_by in store else None
    fields = [name.removeprefix(PREFIX) for name in store.names(PREFIX)]
    known = [name for name in fields if _is_class(store.column(PREFIX + name), tally.labels[name])]
    known.sort(key=lambda name: (name == ANSWER, FIELD_NAMES.index(name.lower()) if name != ANSWER else 0))
    return next(iter(known), None)


def _is_class(codes: NDArray[np.uint64], labels: dict[int, str]) -> bool:
    """At least two values, each in several rows on average, in nearly all rows."""
    filled = int(np.count_nonzero(codes))
    return len(labels) >= 2 and filled >= MIN_ROWS_PER_CLASS * len(labels) and filled >= 0.9 * len(codes)


def strata(field: str | None, store: Store) -> NDArray[np.uint64]:
    """For each row of the store a number for its class; the same for all when there are no classes."""
    return np.zeros(len(store), dtype=np.uint64) if field is None else store.column(PREFIX + field)


def balance(field: str | None, tally: Tally, store: Store, *, hide: bool) -> Balance | None:
    """How the rows that are left spread over the classes; None without classes."""
    if field is None:
        return None
    codes = store.column(PREFIX + field)[store.kept]
    values, counts = np.unique(codes[codes != 0], return_counts=True)
    if not len(values):
        return None
    order = np.lexsort((values, -counts))
    names = tally.labels[field]
    shares = [
        Share(label=_shown(names[int(values[i])], hide), examples=int(counts[i]), share=int(counts[i]) / len(codes))
        for i in order[:SHOWN]
    ]
    return Balance(
        field=field,
        classes=tuple(shares),
        classes_total=len(values),
        imbalance=int(counts.max()) / int(counts.min()),
    )


def _shown(label: str, hide: bool) -> str:
    return str(redact_all(label) if hide else label)[:80]


def balance_checks(found: Balance | None) -> Sequence[Check]:
    """Whether one class outweighs another by far."""
    if found is None:
        return []
    largest = found.classes[0]
    details = f"{found.classes_total} classes in `{found.field}`; the largest has {largest.share:.0%} of the rows"
    details += f", {found.imbalance:.1f} times the smallest" if found.classes_total > 1 else ""
    uneven = found.imbalance >= IMBALANCE
    step = "Add rows to the small classes, or accept that the model will favour the large ones." if uneven else None
    return [Check(name="Class Balance", status="warn" if uneven else "pass", details=details, next_step=step)]
