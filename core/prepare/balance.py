"""The classes of the data, if it has any: by a field that was named or found, or by short answers."""

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..checks import Check
from ..examples.types import answer_of
from .job import Job
from .personal import redact_all
from .result import Balance, Share
from .row import Row

FIELD_NAMES = (
    *("category", "label", "class", "topic", "intent", "subject", "task", "type", "domain", "difficulty", "level"),
    *("language", "lang", "source", "dataset", "split"),
)
ANSWER = "answer"
MAX_CLASSES = 100
MIN_ROWS_PER_CLASS = 3  # on average; with fewer it is no class but a value
MAX_LABEL_LETTERS = 40
MAX_LABEL_WORDS = 4
SHOWN = 20
IMBALANCE = 10  # largest class through smallest, from which a person should look
NO_CLASS = -1


class Classes:
    """The step: note the value of every field that may be a class; a field with too many values is given up."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._codes: dict[str, array[int]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._given_up: set[str] = set()
        self._rows = 0
        self._wanted = job.request.stratify_by

    def __call__(self, rows: list[Row]) -> list[Row]:
        for row in rows:
            self._note(self._values(row))
            self._rows += 1
        return rows

    def _values(self, row: Row) -> dict[str, str]:
        if self._wanted is not None:
            value = row.record.get(self._wanted)
            return {} if value is None else {self._wanted: _label(value)}
        values = {name: row.record[name] for name in row.record if str(name).lower() in FIELD_NAMES}
        answer = answer_of(row.example).strip()
        short = len(answer) <= MAX_LABEL_LETTERS and len(answer.split()) <= MAX_LABEL_WORDS
        labels = {name: _label(value) for name, value in values.items() if isinstance(value, (str, int, bool))}
        return labels | ({ANSWER: answer} if short and answer else {})

    def _note(self, values: dict[str, str]) -> None:
        for name, label in values.items():
            if name in self._given_up:
                continue
            codes = self._codes.setdefault(name, array("l"))
            codes.extend([NO_CLASS] * (self._rows - len(codes)))
            labels = self._labels.setdefault(name, {})
            codes.append(labels.setdefault(label, len(labels)))
            if len(labels) > MAX_CLASSES and name != self._wanted:
                self._given_up.add(name)
                del self._codes[name], self._labels[name]

    def strata(self) -> Sequence[int]:
        """For each row of the store the number of its class; the same number for all when there are no classes."""
        field = self._field()
        if field is None:
            return [NO_CLASS] * self._rows
        codes = self._codes[field]
        codes.extend([NO_CLASS] * (self._rows - len(codes)))
        return codes

    def _field(self) -> str | None:
        if self._wanted is not None:
            return self._wanted if self._wanted in self._codes else None
        known = [name for name in self._codes if self._is_class(name)]
        known.sort(key=lambda name: (name == ANSWER, FIELD_NAMES.index(name.lower()) if name != ANSWER else 0))
        return next(iter(known), None)

    def _is_class(self, name: str) -> bool:
        """At least two values, each in several rows on average, in nearly all rows."""
        codes, labels = self._codes[name], self._labels[name]
        filled = sum(code != NO_CLASS for code in codes)
        return len(labels) >= 2 and filled >= MIN_ROWS_PER_CLASS * len(labels) and filled >= 0.9 * self._rows

    def balance(self) -> Balance | None:
        """How the rows that are left spread over the classes; None without classes."""
        field = self._field()
        if field is None:
            return None
        codes, names = self.strata(), list(self._labels[field])
        counts = Counter(codes[index] for index in self._job.store.kept())
        counts.pop(NO_CLASS, None)
        total = self._job.store.kept_count
        if not counts:
            return None
        show = redact_all if self._job.request.pii in ("redact", "drop") else str
        shares = [Share(label=show(names[code])[:80], examples=n, share=n / total) for code, n in counts.most_common()]
        return Balance(
            field=field,
            classes=tuple(shares[:SHOWN]),
            classes_total=len(shares),
            imbalance=shares[0].examples / shares[-1].examples,
        )

    def checks(self) -> list[Check]:
        """Whether one class outweighs another by far."""
        found = self.balance()
        if found is None:
            return []
        largest = found.classes[0]
        details = f"{found.classes_total} classes in `{found.field}`; the largest has {largest.share:.0%} of the rows"
        details += f", {found.imbalance:.1f} times the smallest" if found.classes_total > 1 else ""
        uneven = found.imbalance >= IMBALANCE
        step = "Add rows to the small classes, or accept that the model will favour the large ones." if uneven else None
        return [Check(name="Class Balance", status="warn" if uneven else "pass", details=details, next_step=step)]


def _label(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value)
