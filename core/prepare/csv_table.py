"""Where the rows of a delimited file begin and what its columns are called."""

import itertools
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from .csv_dialect import plain
from .csv_records import Dialect

MAX_PREAMBLE = 50  # records
NAME_LENGTH = 60  # characters; a column's name is seldom longer
NUMBER = re.compile(r"[-+]?[\d.,:/%$€ -]*\d[\d.,:/%$€ -]*(?:[eE][-+]?\d+)?")


class Cells(NamedTuple):
    """A record of the sample, taken apart."""

    line: int
    cells: list[str]


def find_table(dialect: Dialect, sample: Sequence[Cells], known_names: frozenset[str]) -> Dialect:
    """The dialect completed with preamble, header and columns; the sample holds at least one record."""
    width = statistics.mode(len(record.cells) for record in sample)
    start = _start(sample, width, known_names)
    first, below = sample[start], [record.cells for record in sample[start + 1 :]]
    rows = [cells for cells in below if len(cells) == width and cells != first.cells]
    header = _is_header(first.cells, rows, known_names)
    trailing = header and width > 1 and bool(rows) and _ends_with_delimiter(first.cells, rows, width)
    names = _names(first.cells if header else [], width - trailing)
    preamble = first.line - 1 if start or sample[0].line > 1 else 0
    short_rows = not trailing and _leaves_out_empty_cells(below, len(names))
    return replace(dialect, header=header, names=names, preamble=preamble, trailing=trailing, short_rows=short_rows)


def _start(sample: Sequence[Cells], width: int, known_names: frozenset[str]) -> int:
    """The number of the first record that belongs to the table: its header where it has one."""
    head = [record.cells for record in sample[: MAX_PREAMBLE + 1]]
    for number, cells in enumerate(head):
        if len(cells) > 1 and any(plain(cell) in known_names for cell in cells):
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


def _is_header(first: Sequence[str], below: Sequence[Sequence[str]], known_names: frozenset[str]) -> bool:
    """Whether a record names the columns: no numbers, little twice or empty, and unlike what is below it."""
    names = [cell.strip() for cell in first]
    if not any(names) or any(map(_is_number, names)) or 2 * len(set(names)) < len(names):
        return False
    if any(plain(name) in known_names for name in names):
        return True
    if 2 * _filled(names) < len(names) or max(map(len, names)) > NAME_LENGTH:
        return False
    if not below:
        return len(names) > 1
    columns = list(zip(*below, strict=True))
    pairs = zip(reversed(names), reversed(columns), strict=False)  # of a shorter header the first name is missing
    if any(name in column for name, column in pairs if name):
        return False
    if any(all(map(_is_number, column)) for column in columns):
        return True
    typical = statistics.median(len(cell) for row in below for cell in row)
    return statistics.mean(map(len, names)) < typical or all(map(str.isidentifier, filter(None, names)))


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
