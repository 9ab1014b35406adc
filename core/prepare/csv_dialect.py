"""How a delimited file sets its fields apart, found by trying.

Every delimiter and quote that the first rows could have is tried on them. The one wins under which rows agree in their
width and cells look like values: the product of pattern and type score that van den Burg, Nazabal and Sutton propose
in "Wrangling messy CSV files by detecting row and type patterns" (2019), with sentences as one more type of value,
because the cells of training data mostly are.

Prose has spaces, colons and the like in every line. So these count as delimiters only where the lines show a table.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

from .csv_records import DELIMITERS, Dialect, Split, bounds, split_piece

USUAL = frozenset(",\t;|")
IN_PROSE = frozenset(" :~^")  # delimiters that texts without any columns are full of
QUOTES = ('"', "'", "`")
SAMPLE_ROWS = 200
MAX_CELL = 200  # characters of a cell that are looked at
IRREGULAR = 0.1  # lost where a quote stands bare inside quotes
ONE_COLUMN = 0.15  # pattern score of a row of one column; half of the rows with a delimiter are not enough
NAMED_COLUMN = 0.5  # the same where the first line is a known name and nothing else: as much as two columns throughout
ALIKE = 0.8  # share of rows that must agree before a delimiter of prose is believed
TYPED = re.compile(r"[-+$€£¥\d][\d.,:/%$€£¥+-]*|(?:/[\w.-]+)+/?")  # numbers, dates, times, and paths of files
VALUE = re.compile(
    r"(?:"
    r"[-+]?[$€£¥]?\s?(?:\d{1,3}(?:[,.' ]\d{3})+|\d+)(?:[.,]\d*)?(?:[eE][-+]?\d+)?\s?[%$€£¥]?|[-+]?\.\d+"  # numbers
    r"|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[-+]\d{2}:?\d{2})?)?"  # dates
    r"|\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"  # times
    r"|(?:https?://|www\.|/)\S+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # addresses
    r"|[-?]|[nN]/?[aA][nN]?|[nN]ull|NULL|None"  # nothing, in words
    r"|[\[{].*[\]}]"  # JSON
    r"|[^\W_]\w*(?:[-_./ ]\w+)*"  # a name or a few words
    r")"
)
SENTENCE = re.compile(r"[^\s,;:!?)\]}](?:.*[^\s,;(\[{])?", re.DOTALL)


def best_dialect(lines: Sequence[bytes], known_names: frozenset[str], suffix: str, said: str | None) -> Dialect:
    """The dialect that explains the first lines best; header, columns and preamble are still to be found.

    A header with a known name, the file's suffix, and what is usual decide where the scores are close; `said` is the
    delimiter where the file itself says it.
    """
    sample = b"".join(lines).decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    best = Dialect("", '"' if _quotes_fields(sample, "\0", '"') else "", None, header=True)
    best_score = _one_column_score(lines, best, known_names) if not said else 0.0
    candidates = _candidates(sample, [said] if said else list(DELIMITERS))
    for dialect in sorted(candidates, key=lambda dialect: -_prior(dialect, suffix)):
        prior, rows = _prior(dialect, suffix), _rows(lines, dialect)
        if not said and dialect.delimiter in IN_PROSE and not _shows_table(rows, dialect, lines, known_names):
            continue
        score = _score(rows, best_score / prior, known_names) * prior
        if score > best_score:
            best, best_score = dialect, score
    # Where no quote was seen, the usual one may come later.
    return replace(best, quote='"') if not best.quote and '"' not in sample else best


def _one_column_score(lines: Sequence[bytes], dialect: Dialect, known_names: frozenset[str]) -> float:
    rows = _rows(lines, dialect)
    first = next((row.cells[0] for row in rows if row.cells), "")
    return (NAMED_COLUMN if plain(first) in known_names else ONE_COLUMN) * _type_score(rows)


def _shows_table(rows: list[Split], dialect: Dialect, lines: Sequence[bytes], known_names: frozenset[str]) -> bool:
    """Whether rows are more than sentences: alike in width, and named, aligned, all quoted, or numbers mostly."""
    cells = [row.cells for row in rows if row.cells]
    width, agreeing = Counter(map(len, cells)).most_common(1)[0] if cells else (0, 0)
    if width < 2 or agreeing < ALIKE * len(cells):
        return False
    table = [row for row in cells if len(row) == width]
    if dialect.delimiter == ":" and any(cell.startswith("//") for row in table for cell in row):  # of web addresses
        return False
    if dialect.delimiter != " " and any(sum(plain(cell) in known_names for cell in row) > 1 for row in cells[:5]):
        return True
    typed = sum(_mostly(TYPED.fullmatch(cell.strip()) for cell in column) for column in zip(*table, strict=True))
    return 2 * typed >= width or _mostly(_set_apart(line, dialect) for line in lines[:SAMPLE_ROWS])


def _mostly(found: Iterable[object]) -> bool:
    answers = [bool(one) for one in found]
    return len(answers) > 1 and sum(answers) >= ALIKE * len(answers)


def _set_apart(line: bytes, dialect: Dialect) -> bool:
    """Whether a line's fields are all in quotes, or stand in columns filled up with spaces."""
    text, apart, sign = line.decode("utf-8", "replace").strip(), re.escape(dialect.delimiter), re.escape(dialect.quote)
    if sign and re.fullmatch(rf"{sign}[^{sign}]*{sign}(?:{apart}+{sign}[^{sign}]*{sign})+", text):
        return True
    return dialect.delimiter == " " and re.search(r"[^\s.!?] {2,}\S", text) is not None


def _candidates(sample: str, delimiters: Sequence[str]) -> list[Dialect]:
    return [
        Dialect(delimiter, sign, escape, header=True, spaced=spaced)
        for delimiter in delimiters
        if delimiter in sample
        for spaced in _spacings(sample, delimiter)
        for sign in ("", *QUOTES)
        if not sign or _quotes_fields(sample, delimiter, sign)
        for escape in (None, "\\")
        if not escape or (sign and escape + sign in sample)
    ]


def _spacings(sample: str, delimiter: str) -> tuple[bool, ...]:
    """Whether a space after the delimiter may belong to it: when there is one always, or one before a quote."""
    if delimiter == " ":
        return (True,)
    apart = re.escape(delimiter)
    if not re.search(apart + r"(?! |\s|$)(?!" + apart + ")", sample):
        return (True,)
    return (False, True) if delimiter + ' "' in sample else (False,)


def _quotes_fields(sample: str, delimiter: str, sign: str) -> bool:
    """Whether the sign opens fields and closes fields; an apostrophe must do both on one field."""
    apart = re.escape(delimiter)
    opens, closes = rf"(?:^|{apart})[ ]?{sign}", rf"{sign}[ ]?(?:{apart}|$)"
    if sign != '"':
        return re.search(rf"{opens}(?:\\.|[^{sign}]|{sign}{sign})*{closes}", sample, re.MULTILINE) is not None
    return all(re.search(pattern, sample, re.MULTILINE) for pattern in (opens, closes))


def _prior(dialect: Dialect, suffix: str) -> float:
    usual = 1.0 if dialect.delimiter in USUAL else 0.5 if dialect.delimiter == ":" else 0.7
    named = 1.1 if dialect.delimiter == "\t" and suffix in (".tsv", ".tab") else 1.0
    quoted = {'"': 1.0, "'": 0.95, "`": 0.9, "": 0.98}[dialect.quote]
    return usual * named * quoted * (0.99 if dialect.escape else 1.0)


def _score(rows: list[Split], to_beat: float, known_names: frozenset[str]) -> float:
    bonus = 1.5 if any(_names_known_columns(row.cells, known_names) for row in rows[:5]) else 1.0
    pattern = _pattern_score(rows) * bonus
    return pattern * _type_score(rows) if pattern > to_beat else 0.0


def _names_known_columns(row: list[str], known_names: frozenset[str]) -> bool:
    names = [plain(cell) for cell in row if cell]
    return len(names) > 1 and any(name in known_names for name in names) and all(map(str.isidentifier, names))


def plain(cell: str) -> str:
    """A column's name as it is compared."""
    return cell.strip().lower().replace(" ", "_")


def _pattern_score(rows: list[Split]) -> float:
    if not rows:
        return 0.0
    shares = {width: count / len(rows) for width, count in Counter(len(row.cells) for row in rows).items()}
    agreeing = sum(share * (width - 1) / width for width, share in shares.items() if width)
    kinds = math.exp(-sum(share * math.log(share) for share in shares.values()))  # of rows; a rare one counts little
    regular = 1 - IRREGULAR * sum(row.flag is not None for row in rows) / len(rows)
    return agreeing / kinds * regular


def _type_score(rows: list[Split]) -> float:
    cells = [cell[:MAX_CELL] for row in rows for cell in row.cells]
    return sum(map(_typed, cells)) / max(len(cells), 1)


def _typed(cell: str) -> float:
    """How much a cell looks like a value: 1 for one of a known type, less for text, 0 for what seems torn apart."""
    if not cell or VALUE.fullmatch(cell):
        return 1.0
    bare = cell.strip()
    if not bare or VALUE.fullmatch(bare):
        return 0.9
    unbalanced = cell.count('"') % 2 or cell.count("(") != cell.count(")") or cell.count("{") != cell.count("}")
    torn = unbalanced or cell[0] == '"'
    return 0.0 if torn else 0.8 * bool(SENTENCE.fullmatch(cell))


def _rows(lines: Sequence[bytes], dialect: Dialect) -> list[Split]:
    """The first records; a broken one has no cells."""
    return [split_piece(piece, dialect) for piece in islice(bounds(enumerate(lines), dialect), SAMPLE_ROWS)]
