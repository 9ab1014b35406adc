"""Where the rows of a delimited file begin and what its columns are called."""

import itertools
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from .csv_dialect import plain
from .csv_records import Dialect, Doubt

MAX_PREAMBLE = 50  # records
NAME_LENGTH = 60  # characters; a column's name is seldom longer
NUMBERED = re.compile(r"column_\d+")  # how columns without names are called
NAME_WORDS = 3
MIN_ROWS = 3  # fewer agree by chance
MANY_COLUMNS = 4  # as many parts in every row are seldom sentences
NUMBER = re.compile(r"[-+]?[\d.,:/%$€ -]*\d[\d.,:/%$€ -]*(?:[eE][-+]?\d+)?")


class Cells(NamedTuple):
    """A record of the sample, taken apart."""

    line: int
    cells: list[str]


class Guess(NamedTuple):
    """An answer, and whether the file leaves no doubt about it."""

    answer: bool
    sure: bool = True


SURE = Guess(True)


def find_table(dialect: Dialect, sample: Sequence[Cells], known_names: frozenset[str], said: bool = False) -> Dialect:
    """The dialect completed with preamble, header, columns and doubts; the sample holds at least one record.

    What is taken for a preamble is not read. So there is one only above a sure header, or where it is remarks.

    Args:
        dialect: How records are taken apart.
        sample: The first of them.
        known_names: Names that columns of training data have.
        said: Whether the file itself names its delimiter.
    """
    width = statistics.mode(len(record.cells) for record in sample)
    start = _start(sample, width, known_names)
    header = _is_header(sample[start].cells, _table_below(sample, start, width), known_names)
    if not header.sure and any(map(NUMBERED.fullmatch, known_names)):
        header = Guess(False)  # whoever asks for column_1 has seen that there are no names
    if header != SURE and not all(record.cells[0].startswith("#") for record in sample[:start]):
        start, header = 0, header._replace(answer=False)
    first, below = sample[start], [record.cells for record in sample[start + 1 :]]
    rows = _table_below(sample, start, width)
    trailing = header.answer and width > 1 and bool(rows) and _ends_with_delimiter(first.cells, rows, width)
    names = _names(first.cells if header.answer else [], width - trailing)
    return replace(
        dialect,
        header=header.answer,
        names=names,
        preamble=first.line - 1 if start or header.answer else 0,
        trailing=trailing,
        short_rows=not trailing and _leaves_out_empty_cells(below, len(names)),
        doubts=_doubts(dialect, [first.cells, *below], header, sure=said or header == SURE),
    )


def _table_below(sample: Sequence[Cells], start: int, width: int) -> list[list[str]]:
    """The rows of the table's width below a record, but for those that repeat it."""
    first = sample[start].cells
    return [record.cells for record in sample[start + 1 :] if len(record.cells) == width and record.cells != first]


def _doubts(dialect: Dialect, rows: Sequence[Sequence[str]], header: Guess, *, sure: bool) -> tuple[Doubt, ...]:
    """What of the dialect is a guess; `sure` where the header or the file itself speaks for the delimiter."""
    doubts: list[Doubt] = []
    if not sure and not _shows_delimiter(dialect, rows):
        doubts.append("delimiter")
    return (*doubts, *(() if header.sure else ("header",)))


def _shows_delimiter(dialect: Dialect, rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows leave no doubt about the delimiter: one width, and quotes around it, numbers, or many columns.

    A tab is in no sentence; commas are, so that a text of one column must have none.
    """
    cells = [cell for row in rows for cell in row]
    if not dialect.delimiter:
        return not any(sign in cell for cell in cells for sign in ",;|\t") or bool(dialect.quote and len(rows) > 1)
    if any(cell.count('"') % 2 for cell in cells) or len({len(row) for row in rows}) > 1 or len(rows) < MIN_ROWS:
        return False
    numeric = any(all(map(_is_number, column)) for column in list(zip(*rows[1:], strict=True)))
    protected = any(dialect.delimiter in cell for cell in cells)
    return numeric or protected or dialect.delimiter not in ",;:~^ " or len(rows[0]) >= MANY_COLUMNS


def _start(sample: Sequence[Cells], width: int, known_names: frozenset[str]) -> int:
    """The number of the first record that belongs to the table: its header where it has one."""
    head = [record.cells for record in sample[: MAX_PREAMBLE + 1]]
    for number, cells in enumerate(head):
        known = sum(plain(cell) in known_names for cell in cells)
        if len(cells) > 1 and known == 1 and any(len(above) == len(cells) == _filled(above) for above in head[:number]):
            break  # it is a row like those above it
        if len(cells) > 1 and known:
            return number
    first = next((number for number, cells in enumerate(head) if len(cells) == width), 0)
    if width == 1:
        remarks = next((number for number, cells in enumerate(head) if not cells[0].startswith("#")), 0)
        return remarks if remarks < len(sample) - 1 else 0
    if first and _is_shorter_header(head[first - 1], head[first:], width):
        return first - 1
    titles = first  # lines of a title that were filled up with empty cells
    while titles < len(head) - 1 and len(head[titles]) == width and _filled(head[titles]) <= max(1, width // 4):
        titles += 1
    named = titles < len(head) and len(head[titles]) == width > 2 and _filled(head[titles]) >= 0.6 * width
    return titles if named and not any(map(_is_number, head[titles])) else first


def _ends_with_delimiter(first: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether rows end with a delimiter that sets nothing apart; a header may do without."""
    nameless = len(first) == width - 1 or not first[-1].strip()
    return nameless and all(not row[-1].strip() for row in rows)


def _filled(cells: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def _is_shorter_header(cells: Sequence[str], below: Sequence[Sequence[str]], width: int) -> bool:
    """Whether a record is a header that names all columns but one: the last, always empty, or R's row numbers."""
    if not (len(cells) == width - 1 and _filled(cells) == len(cells) and not any(map(_is_number, cells))):
        return False
    rows = [row for row in below if len(row) == width]
    numbered = all(row[0].strip().isdigit() for row in rows) and len({row[0] for row in rows}) == len(rows)
    return len(rows) > 1 and (numbered or all(not row[-1].strip() for row in rows))


def _is_header(first: Sequence[str], below: Sequence[Sequence[str]], known_names: frozenset[str]) -> Guess:
    """Whether a record names the columns: no numbers, little twice or empty, and unlike what is below it."""
    names = [cell.strip() for cell in first]
    if not any(names) or any(map(_is_number, names)) or 2 * len(set(names)) < len(names):
        return Guess(False)
    columns = list(zip(*below, strict=True))
    pairs = list(zip(reversed(names), reversed(columns), strict=False))  # a shorter header lacks the first name
    if any(name in column for name, column in pairs if name):
        return Guess(False)
    if any(plain(name) in known_names for name in names):
        return Guess(True)
    if 2 * _filled(names) < len(names) or max(map(len, names)) > NAME_LENGTH:
        return Guess(False)
    if any(all(map(_is_number, column)) for column in columns):
        return Guess(True)
    return _is_header_by_looks(names, below)


def _is_header_by_looks(names: Sequence[str], below: Sequence[Sequence[str]]) -> Guess:
    """The same where all is text: names are a few words, far shorter than what is below.

    Otherwise the record is a row, so that none is lost: whoever has a header of other names says so with `columns`.
    """
    words = all(plain(name).isidentifier() and len(name.split()) <= NAME_WORDS for name in filter(None, names))
    if len(names) == 1 or not below or not words:
        return Guess(False, sure=False)
    typical = statistics.median(len(cell) for row in below for cell in row)
    return Guess(2 * statistics.mean(map(len, names)) < typical, sure=False)


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell.strip()) is not None


def _names(header: Sequence[str], width: int) -> tuple[str, ...]:
    """A name for each column, none twice; what has none is called by its number, what is there twice counts on."""
    cells = [cell.strip() for cell in header]
    while len(cells) > width and not cells[-1]:
        cells.pop()
    if header and len(cells) < width:
        missing = [""] * (width - len(cells))
        cells = [*missing, *cells] if len(missing) == 1 and all(cells) else [*cells, *missing]
    names: list[str] = []
    for number, cell in enumerate(cells or [""] * width, start=1):
        name, count = cell or f"column_{number}", 2
        while name in names:
            name, count = f"{cell}_{count}", count + 1
        names.append(name)
    return tuple(names)


def _leaves_out_empty_cells(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether short rows only lack empty cells at their end.

    So it is when no row ends in an empty cell, several rows of different widths do without, and no two short
    neighbours make a whole row, which a line break in the middle would leave.
    """
    widths = [len(row) for row in rows]
    short = [count for count in widths if count < width]
    if len(short) < 2 or any(not row[-1].strip() for row in rows):
        return False
    torn = any(max(pair) < width and sum(pair) == width + 1 for pair in itertools.pairwise(widths))
    return 1 not in short and not torn
