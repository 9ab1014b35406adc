"""From a record to the example in it."""

import difflib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import xxhash

from ..errors import DataError, InputError
from ..examples.dialects import Dialect, read_dialect, recognise
from ..untrusted import quote
from .job import Job
from .row import Found, Place, Row

NAMES_FROM_ROWS = 1_000  # rows after which a column that was named must have been seen


class Understanding:
    """Makes rows of what the readers found; what is no record, or in no known dialect, goes to the ledger.

    Attributes:
        bad: Rows that are no record, by the rule they break.
        unreadable: Reasons for which records could not be read as examples, with one place each.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._names: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.unreadable: dict[str, Place] = {}
        self.unreadable_count = 0
        self._dialects: dict[tuple[str, ...], Dialect | None] = {}

    def rows(self, source: str, found: Iterable[Found]) -> list[Row]:
        """The rows of one batch of what a reader found in a file."""
        return [row for one in found if (row := self._row(source, one)) is not None]

    def _row(self, source: str, found: Found) -> Row | None:
        self._job.rows_read += 1
        digest = xxhash.xxh3_64_hexdigest(found.raw)
        place = Place(source, found.line, f"{self._job.rows_read}-{digest}")
        if found.record is None:
            rule = found.problem or "invalid_json"
            self.bad[rule] += 1
            self._job.ledger.drop(place, rule, found.raw)
            return None
        if self._job.rows_read <= NAMES_FROM_ROWS:
            self._names.update(found.record.keys())
        return self._read(place, found.record)

    def _read(self, place: Place, record: dict[str, Any]) -> Row | None:
        try:
            dialect = self._dialect(record)
            if dialect is not None:
                row = Row(place, record, read_dialect(record, dialect), dialect.label)
                self._job.shapes[row.shape] += 1
                if self._job.rows_read <= NAMES_FROM_ROWS:
                    self._job.unused.update(map(str, row.example.fields))
                return row
            reason = f"no known fields among {', '.join(quote(str(name), 40) for name in list(record)[:8]) or 'none'}"
        except DataError as error:
            reason = error.problem
        self.unreadable_count += 1
        if len(self.unreadable) < 5:
            self.unreadable.setdefault(reason, place)
        self._job.ledger.drop(place, "not_an_example", record, matched=reason)
        return None

    def _dialect(self, record: dict[str, Any]) -> Dialect | None:
        """`recognise`, remembered for records of plain fields: those with the same fields filled are of one dialect."""
        columns = self._job.request.columns
        if any(isinstance(value, (list, dict)) or _may_be_json(value) for value in record.values()):
            return recognise(record, columns)
        key = tuple(name for name, value in record.items() if value is not None)
        if key not in self._dialects:
            self._dialects[key] = recognise(record, columns)
        return self._dialects[key]

    def check_names(self) -> None:
        """Every column that the request names must be in the data.

        Raises:
            InputError: One is not; the nearest names that are there are offered.
        """
        if not self._names:
            return
        request = self._job.request
        wanted = {"stratify_by": request.stratify_by, "group_by": request.group_by}
        missing = [(argument, name) for argument, name in wanted.items() if name and name not in self._names]
        for field, role in (request.columns or {}).items():
            if field not in self._names and role not in self._names:
                missing.append(("columns", field))
        if missing:
            problems = " ".join(f"{argument}: there is no field {quote(name)}." for argument, name in missing)
            fields = ", ".join(quote(name, 40) for name in list(self._names)[:20])
            raise InputError(problems, f"{self._nearest(missing[0][1])}The fields are {fields}.")

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._names, n=1, cutoff=0.5)
        return f"Did you mean {quote(near[0], 40)}? " if near else ""


def _may_be_json(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] in ("[", "{")
