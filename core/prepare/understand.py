"""From a piece of a file to the example in it."""

import difflib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import xxhash

from ..errors import DataError, InputError, TieError
from ..examples.comparisons import numbered_choice
from ..examples.dialects import Dialect, read_dialect, recognise
from ..examples.exports import Unfolded, unfold
from ..examples.prompt_template import read_with_template
from ..untrusted import quote
from .batch import Batch, Done
from .plan import Plan
from .read import parse
from .request import PrepareRequest
from .row import Place, Row, row_id
from .tally import note
from .wording import counted

READ_AS = {
    "repeated_key": "a key stands twice in the record; the last one counts",
    "unescaped_quotes": "quotes inside a field are not escaped; read as they stand",
}
"""What readers settle by a rule of theirs, and a person should know."""
NAME_THEM = "Say what they are with `columns`."
LEFT_OUT = "left_out"
"""The flag of rows of which something is not carried over."""


class Understand:
    """The first step: rows of pieces; what is no record, or in no known dialect, goes to the ledger."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._dialects: dict[tuple[str, ...], Dialect | None] = {}

    def __call__(self, batch: Batch, done: Done) -> list[Row]:
        """The rows of a batch."""
        file = self._plan.files[batch.file]
        rows = []
        for number, piece in enumerate(batch.pieces, start=batch.first):
            found = parse(file, piece)
            digest = xxhash.xxh3_64_intdigest(found.raw)
            place = Place(str(file.path), found.line, row_id(number, digest))
            if found.record is None:
                done.entries.drop(place, found.problem or "invalid_json", found.raw, matched=found.reason)
                if found.reason is not None:
                    note(done.tally.unparsed, found.reason, place)
            elif (row := self._read(place, found.record, done)) is not None:
                row.number, row.digest = number, digest
                if found.flag is not None:
                    done.entries.flag(place, found.flag, READ_AS[found.flag], found.raw)
                rows.append(row)
        return rows

    def _read(self, place: Place, record: dict[str, Any], done: Done) -> Row | None:
        template = self._plan.prompt_template
        unfolded = None
        try:
            dialect, unfolded = self._dialect(record)
            plain = record if unfolded is None else unfolded.record
            if dialect is not None and dialect.name == "comparison" and (choice := numbered_choice(plain)) is not None:
                done.tally.choices[place.source, choice] += 1
            if template is not None:
                example = read_with_template(record, dialect, template)
            elif dialect is not None:
                example = read_dialect(plain, dialect)
            else:
                raise DataError(_unknown(record, unfolded), NAME_THEM)
        except TieError as error:
            done.entries.drop(place, error.code, record, matched=error.problem)
            return None
        except DataError as error:
            note(done.tally.unreadable, error.problem, place)
            done.tally.next_steps[error.next_step] += 1
            done.entries.drop(place, "not_an_example", record, matched=error.problem)
            return None
        finally:
            done.tally.names.update(record.keys() if unfolded is None else {**record, **unfolded.record}.keys())
        label = dialect.label if dialect else "prompt_template"
        if unfolded is not None:
            label = f"{unfolded.kind}: {label}"
            if unfolded.left_out:
                self._say_left_out(place, unfolded, done)
        done.tally.shapes[label] += 1
        if example.fields:
            fields = example.fields
            if dialect is not None and dialect.name == "comparison":
                fields = _unseen(fields, dialect)
            done.tally.unused.update(map(str, fields))
        return Row(place, record, plain, example, self._off(place, done))

    def _off(self, place: Place, done: Done) -> frozenset[str]:
        if place.row_id in self._plan.restored_rows:
            done.tally.restored[place.row_id] += 1
        return self._plan.rules_off(place.row_id)

    def _say_left_out(self, place: Place, unfolded: Unfolded, done: Done) -> None:
        done.tally.left_out.update(unfolded.left_out.keys())
        done.entries.flag(place, LEFT_OUT, ", ".join(f"{kind} {count}" for kind, count in unfolded.left_out.items()))

    def _dialect(self, record: dict[str, Any]) -> tuple[Dialect | None, Unfolded | None]:
        """The dialect, and the plain record that it is that of where the record is an export.

        Remembered for records of plain fields: those with the same fields filled are of one dialect, and no export.
        """
        columns = self._plan.request.columns
        for value in record.values():
            if isinstance(value, (list, dict)) or (isinstance(value, str) and _may_be_json(value)):
                as_it_stands = columns or self._plan.prompt_template is not None
                unfolded = None if as_it_stands else unfold(record)
                return recognise(record if unfolded is None else unfolded.record, columns), unfolded
        key = tuple(name for name, value in record.items() if value is not None)
        if key not in self._dialects:
            self._dialects[key] = recognise(record, columns)
        return self._dialects[key], None


def _unseen(fields: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Fields without those that say which of two answers is better: the pair is what they say."""
    return {field: value for field, value in fields.items() if dialect.parts.get(field) != "better"}


def _may_be_json(text: str) -> bool:
    """Whether a text may be that of a list or an object, as JSON or as Python or numpy print one."""
    return text.lstrip().startswith(("[", "{", "array("))


def _unknown(record: Mapping[str, Any], unfolded: Unfolded | None) -> str:
    """Why a record is of no dialect: what it has is unknown, or what is known is empty."""
    if unfolded is not None:
        return f"{unfolded.kind}: {_unknown(unfolded.record, None)}"
    empty = [name for name, value in record.items() if value is None or value == []]
    nothing = f"; nothing in {_listed(empty)}" if empty else ""
    return f"no known fields among {_listed(record)}{nothing}"


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(quote(str(name), 40) for name in islice(names, 8)) or "none"


def check_names(request: PrepareRequest, names: Mapping[str, int], template_fields: frozenset[str], rows: int) -> None:
    """Every column that the request names must be in the first `rows` rows, so that a slip does not cost a long run.

    Raises:
        InputError: One is not; the nearest names that are there are offered.
    """
    if not names:
        return
    wanted = {"stratify_by": request.stratify_by, "group_by": request.group_by}
    missing = [(argument, name) for argument, name in wanted.items() if name and name not in names]
    for field, role in (request.columns or {}).items():
        if field not in names and role not in names:
            missing.append(("columns", field))
    missing += [("prompt_template", name) for name in sorted(template_fields) if name not in names]
    if missing:
        problems = " ".join(f"{argument}: there is no field {quote(name)}." for argument, name in missing)
        problems += f" So say the first {counted(rows, 'row')}; if it comes later, put rows with it first."
        fields = ", ".join(quote(name, 40) for name in list(names)[:20])
        raise InputError(problems, f"{_nearest(missing[0][1], names)}The fields are {fields}.")


def _nearest(name: str, names: Mapping[str, int]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"Did you mean {quote(near[0], 40)}? " if near else ""
