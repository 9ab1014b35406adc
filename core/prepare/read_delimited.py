"""CSV and its relatives as records, their values as they stand.

Rows of another width are bad rows: a value is never moved to another column.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from ..errors import DataError
from ..examples.dialects import (
    ANSWER_FIELDS,
    CONTEXT_FIELDS,
    PART_WORDS,
    QUESTION_FIELDS,
    SYSTEM_FIELDS,
    TURN_FIELDS,
)
from ..examples.field_names import ANSWER_PAIRS, TEXT_FIELDS
from ..untrusted import quote
from .csv_dialect import SAMPLE_ROWS, best_dialect, plain
from .csv_records import Dialect, bounds, split, split_piece
from .csv_table import Cells, find_table
from .encoding import Encoding, beginning, chunks, lines_with_ends
from .row import Found, Piece

SAMPLE_BYTES = 1 << 17
COMMON_NAMES = frozenset(
    {
        *(*QUESTION_FIELDS, *ANSWER_FIELDS, *CONTEXT_FIELDS, *SYSTEM_FIELDS, *TURN_FIELDS, *TEXT_FIELDS),
        *(*chain(*ANSWER_PAIRS), *PART_WORDS, "id", "category", "prompt"),
    }
)
SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?[\r\n]*', re.IGNORECASE)  # how Excel is told the delimiter


def sniff(path: Path, encoding: Encoding, suffix: str, names: frozenset[str] = frozenset()) -> Dialect:
    """The dialect of a file, found from its first rows; a record with one of `names` in it is a header.

    Raises:
        DataError: It holds nothing but empty lines.
    """
    head = beginning(path, encoding, SAMPLE_BYTES)
    lines = list(lines_with_ends([head]))
    if len(head) == SAMPLE_BYTES and len(lines) > 1:
        lines.pop()  # it is cut
    said = SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    above = 1 if said else 0
    known = COMMON_NAMES | frozenset(map(plain, names))
    dialect = best_dialect(lines[above:], known, suffix, said[1].decode() if said else None)
    pieces = islice(bounds(enumerate(lines[above:], start=1 + above), dialect), SAMPLE_ROWS)
    records = [Cells(piece.line, cells) for piece in pieces if (cells := split_piece(piece, dialect).cells)]
    if not records:
        raise DataError(f"{quote(str(path), 200)} has no rows that can be read as CSV.", "Check how it was exported.")
    found = find_table(dialect, records, known, said=said is not None)
    return replace(found, preamble=max(found.preamble, above))


def delimited_pieces(path: Path, encoding: Encoding, dialect: Dialect) -> Iterator[Piece]:
    """The bytes of every record below the header."""
    lines = enumerate(lines_with_ends(chunks(path, encoding)), start=1)
    pieces = bounds(islice(lines, dialect.preamble, None), dialect)
    if dialect.header:
        next(pieces, None)
    return pieces


def parse_delimited(piece: Piece, dialect: Dialect) -> Found:
    """One record, its values as text just as they stand; a row of another width is a bad row."""
    names = dialect.names
    try:
        text = piece.raw.decode("utf-8")
    except UnicodeDecodeError:
        return Found(piece.line, piece.raw, None, "undecodable")
    found = split(text, dialect)
    if found is None:
        return Found(piece.line, piece.raw, None, "broken_quotes")
    cells: list[str | None] = [*found.cells]
    if dialect.trailing and len(cells) == len(names) + 1 and not found.cells[-1].strip():
        cells.pop()
    if dialect.short_rows:
        cells += [None] * (len(names) - len(cells))
    if len(cells) != len(names):
        return Found(piece.line, piece.raw, None, "wrong_column_count")
    if dialect.header and found.cells[0].strip() == names[0] and [cell.strip() for cell in found.cells] == [*names]:
        return Found(piece.line, piece.raw, None, "repeated_header")
    return Found(piece.line, piece.raw, dict(zip(names, cells, strict=True)), flag=found.flag)
