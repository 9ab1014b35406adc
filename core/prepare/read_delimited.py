"""CSV and its relatives as records: the dialect is found by what makes the rows agree; a bad row is one bad row."""

import csv
import re
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..errors import DataError
from ..examples.dialects import ANSWER_FIELDS, CONTEXT_FIELDS, QUESTION_FIELDS, SYSTEM_FIELDS
from ..untrusted import quote
from .encoding import Encoding, Line, lines
from .row import Found, Piece

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", "\x1f": "unit separator"}
SAMPLE_ROWS = 200
MAX_RECORD_LINES = 2_000  # an opened quote that has not closed by then is a slip, not a long field
COMMON_NAMES = {*QUESTION_FIELDS, *ANSWER_FIELDS, *CONTEXT_FIELDS, *SYSTEM_FIELDS, "id", "category", "prompt", "text"}
csv.field_size_limit(1 << 30)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the fields of a file are set apart."""

    delimiter: str
    quote: str
    escape: str | None
    """Sign before a quote inside a quoted field; None where quotes are doubled."""
    header: bool
    names: tuple[str, ...] = ()
    """The columns."""

    @property
    def label(self) -> str:
        """The dialect for a person."""
        name = DELIMITERS.get(self.delimiter, repr(self.delimiter))
        escape = "backslash escapes" if self.escape else "doubled quotes"
        return f"{name}-delimited, quote {self.quote}, {escape}, {'with' if self.header else 'no'} header"


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    text: str
    """The record's lines; surrogates where bytes were not valid."""


def sniff(path: Path, encoding: Encoding, suffix: str) -> Dialect:
    """The dialect under which the most of the first rows have the same number of fields, more than one.

    Raises:
        DataError: No delimiter parts the rows into columns, and the file is no one-column list either.
    """
    sample = list(islice(lines(path, encoding), SAMPLE_ROWS * 5))
    candidates = [
        Dialect(delimiter, sign, escape, header=True)
        for delimiter in DELIMITERS
        for sign, escape in (('"', None), ('"', "\\"), ("'", None))
        if _is_in_use(sample, delimiter, sign, escape)
    ]
    best = max(candidates, key=lambda dialect: _agreement(sample, dialect, suffix))
    rows = _sample_rows(sample, best)
    if not rows:
        raise DataError(f"{quote(str(path), 200)} has no rows that can be read as CSV.", "Check how it was exported.")
    header = _has_header(rows)
    names = [cell.strip() for cell in rows[0]] if header else [f"column_{i + 1}" for i in range(len(rows[0]))]
    return Dialect(best.delimiter, best.quote, best.escape, header, tuple(names))


def _is_in_use(sample: list[Line], delimiter: str, sign: str, escape: str | None) -> bool:
    """Whether the sample shows an unusual quote around a field, or an escaped one; the usual quote needs no proof."""
    if escape:
        return any(f"{escape}{sign}".encode() in line.content for line in sample)
    apart = re.escape(delimiter).encode()
    quoted = re.compile(rb"(?:^|" + apart + rb")'[^']*'(?:" + apart + rb"|$)")
    return sign == '"' or any(quoted.search(line.content) for line in sample)


def _sample_rows(sample: list[Line], dialect: Dialect) -> list[list[str]]:
    parsed = (_cells(record.text, dialect) for record in _records(sample, dialect))
    return list(islice((cells for cells in parsed if cells), SAMPLE_ROWS))


def _agreement(sample: list[Line], dialect: Dialect, suffix: str) -> float:
    """How well a dialect explains the sample: the share of rows that agree, weighed by what is more usual."""
    records = list(islice(_records(sample, dialect), SAMPLE_ROWS))
    rows = [cells for record in records if (cells := _cells(record.text, dialect))]
    if not rows:
        return 0.0
    width = statistics.mode(len(cells) for cells in rows)
    agreeing = sum(len(cells) == width for cells in rows) / len(records)
    usual = 1.0 if dialect.quote == '"' and dialect.escape is None else 0.98
    expected = {",": ".csv", ";": ".csv", "\t": ".tsv"}.get(dialect.delimiter)
    named = 1.0 if expected == suffix or (dialect.delimiter == "\t" and suffix == ".tab") else 0.95
    header = 1.0 + 0.2 * any(_plain(cell) in COMMON_NAMES for cell in rows[0])
    return agreeing * usual * named * header * (1.0 if width > 1 else 0.1)


def _plain(cell: str) -> str:
    return cell.strip().lower().replace(" ", "_")


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names the columns: no numbers, nothing twice or empty, and unlike what is below it."""
    first, below = rows[0], rows[1:]
    names = [cell.strip() for cell in first]
    if not all(names) or len(set(names)) < len(names) or any(_is_number(name) for name in names):
        return False
    if any(_plain(name) in COMMON_NAMES for name in names):
        return True
    if not below:
        return False
    typical = statistics.median(len(cell) for row in below for cell in row)
    numeric_below = any(all(_is_number(row[i]) for row in below if len(row) > i) for i in range(len(first)))
    return numeric_below or (max(map(len, names)) <= 40 and statistics.mean(map(len, names)) < typical)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def delimited_pieces(path: Path, encoding: Encoding, dialect: Dialect) -> Iterator[Piece]:
    """The bytes of every record but the header."""
    to_skip = dialect.header
    for record in _records(lines(path, encoding), dialect):
        if not record.text.strip():
            continue
        if to_skip and _cells(record.text, dialect) is not None:
            to_skip = False
            continue
        yield Piece(record.line, record.text.encode("utf-8", "surrogateescape"))


def parse_delimited(piece: Piece, dialect: Dialect) -> Found:
    """One record, its values as text just as they stand; a row of another width is a bad row."""
    text, names = piece.raw.decode("utf-8", "surrogateescape"), dialect.names
    cells = _cells(text, dialect)
    if cells is None:
        return Found(piece.line, piece.raw, None, "undecodable" if _has_surrogates(text) else "broken_quotes")
    while len(cells) > len(names) and not cells[-1].strip():
        cells.pop()
    if len(cells) != len(names):
        return Found(piece.line, piece.raw, None, "wrong_column_count")
    return Found(piece.line, piece.raw, dict(zip(names, cells, strict=True)))


def _cells(text: str, dialect: Dialect) -> list[str] | None:
    """The fields of one record; None when it breaks the dialect, empty when it holds nothing."""
    if not text.strip():
        return []
    if _has_surrogates(text):
        return None
    reader = csv.reader(
        [text],
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        doublequote=dialect.escape is None,
        escapechar=dialect.escape,
        strict=True,
    )
    try:
        return next(reader, [])
    except csv.Error:
        return None


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text)


def _records(source: Iterable[Line], dialect: Dialect) -> Iterator[_Record]:
    """Lines put together until their quotes close; a quote that never closes spoils its own line only."""
    waiting: list[Line] = []  # lines to be looked at (again) before the source goes on
    source = iter(source)
    while (first := _next(waiting, source)) is not None:
        taken = [first]
        opened = _odd_quotes(first, dialect)
        while opened and len(taken) < MAX_RECORD_LINES and (line := _next(waiting, source)) is not None:
            taken.append(line)
            opened ^= _odd_quotes(line, dialect)
        if opened and len(taken) > 1:
            waiting[:0] = taken[1:]
            taken = taken[:1]
        yield _Record(first.number, "\n".join(line.content.decode("utf-8", "surrogateescape") for line in taken))


def _next(waiting: list[Line], source: Iterator[Line]) -> Line | None:
    return waiting.pop(0) if waiting else next(source, None)


def _odd_quotes(line: Line, dialect: Dialect) -> bool:
    count = line.content.count(dialect.quote.encode())
    if dialect.escape:
        count -= line.content.count((dialect.escape + dialect.quote).encode())
    return count % 2 == 1
