"""The records of a delimited file: where each begins and ends in the lines, and its cells.

A line break inside quotes belongs to the field, kept as it is. A quote that opens a field and never properly closes
spoils its own line only.
"""

import csv
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .row import Piece

DELIMITERS = {
    **{",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", ":": "colon", "~": "tilde", "^": "caret"},
    **{" ": "space", "\x1f": "unit separator", "\x01": "control-A"},
}
MAX_RECORD_LINES = 2_000  # an opened quote that has not closed by then is a slip, not a long field
csv.field_size_limit(1 << 30)
_Lines = list[tuple[int, bytes]]


Doubt = Literal["delimiter", "header"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the fields of a file are set apart, and where its rows begin."""

    delimiter: str
    """One character; empty for a file of one column. Several spaces count as one."""
    quote: str
    """One character; empty where nothing is quoted."""
    escape: str | None
    """Sign before a quote inside a quoted field; None where quotes are doubled."""
    header: bool
    names: tuple[str, ...] = ()
    """The columns."""
    spaced: bool = False
    """Whether spaces after the delimiter belong to it."""
    preamble: int = 0
    """Lines before the header, or before the first row where there is none."""
    trailing: bool = False
    """Whether every row ends with one delimiter more than there are columns."""
    short_rows: bool = False
    """Whether whoever wrote the file left out empty cells at the end of rows."""
    doubts: tuple[Doubt, ...] = ()
    """What of this the file does not show beyond doubt, so that a person should look."""

    @property
    def label(self) -> str:
        """The dialect for a person."""
        name = DELIMITERS.get(self.delimiter, repr(self.delimiter))
        parts = [f"{name}-delimited" if self.delimiter else "one column"]
        if self.spaced and self.delimiter != " ":
            parts[0] += " with a space after it"
        parts.append(f"quote {self.quote}" if self.quote else "no quotes")
        if self.quote:
            parts.append("backslash escapes" if self.escape else "doubled quotes")
        parts.append(f"{'with' if self.header else 'no'} header")
        if self.preamble:
            of = "header" if self.header else "first row"
            parts.append(f"{self.preamble} {'line' if self.preamble == 1 else 'lines'} before the {of}")
        if self.trailing:
            parts.append("a delimiter at the end of every row")
        if self.short_rows:
            parts.append("empty cells at the end of rows left out")
        guessed = f" (guessed: {' and '.join(self.doubts)})" if self.doubts else ""
        return ", ".join(parts) + guessed


class Split(NamedTuple):
    """A record taken apart."""

    cells: list[str]
    flag: str | None = None
    """unescaped_quotes where a quote stood bare inside quotes."""


def split_piece(piece: Piece, dialect: Dialect) -> Split:
    """A record of a sample taken apart, bytes that are no UTF-8 replaced; without cells when its quotes are broken."""
    found = None if piece.problem else split(piece.raw.decode("utf-8", "replace"), dialect)
    return found or Split([])


def split(text: str, dialect: Dialect) -> Split | None:
    """The cells of one record; None when its quotes are broken.

    The standard library does what is regular. It would drop every backslash, so escapes are done here; and a quote
    left bare inside a quoted field, which it refuses, is kept as it stands where the record has but one line.
    """
    sign = dialect.quote
    if (not sign or sign not in text) and not dialect.spaced:
        return Split(text.split(dialect.delimiter) if dialect.delimiter else [text])
    found = _split_leniently(text, dialect) if dialect.escape else _split_strictly(text, dialect)
    if found and sign and dialect.delimiter and any(sign in cell for cell in found.cells):
        return None if _signs(dialect).torn.search(text) else found
    return found


def _split_strictly(text: str, dialect: Dialect) -> Split | None:
    try:
        return Split(next(_reader(text, dialect), []))
    except csv.Error:
        return None if "\n" in text or "\r" in text else _split_leniently(text, dialect)


def _reader(text: str, dialect: Dialect) -> Iterator[list[str]]:
    return csv.reader(
        [text],
        delimiter=dialect.delimiter or "\0",
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        skipinitialspace=dialect.spaced,
        strict=True,
    )


def _split_leniently(text: str, dialect: Dialect) -> Split | None:
    signs = _signs(dialect)
    cells, at, bare = [], 0, False
    while match := signs.field.match(text, at):
        quoted, plain = match["quoted"], match["plain"]
        if quoted is not None:
            bare |= signs.bare.search(quoted) is not None
            cells.append(signs.escaped.sub(r"\1\2", quoted))
        else:
            cells.append(plain)
        at = match.end()
        if not match["delimiter"]:
            break
    return Split(cells, "unescaped_quotes" if bare else None) if at == len(text) else None


class _Signs(NamedTuple):
    """A dialect as regular expressions: for text, and for the bytes of one line with its end."""

    field: re.Pattern[str]
    escaped: re.Pattern[str]
    bare: re.Pattern[str]
    torn: re.Pattern[str]
    """A quote that opens in the middle of a field and closes at the end of a later one: a delimiter is missing."""
    whole: re.Pattern[bytes]
    """A line whose quoted fields all close, bare quotes allowed inside them."""
    opens: re.Pattern[bytes]
    """A line that ends inside a quoted field, with all quotes before it doubled or escaped."""
    closes: re.Pattern[bytes]
    """A line that begins inside a quoted field and ends outside of one."""
    goes_on: re.Pattern[bytes]
    """A line that begins and ends inside a quoted field, the same or another."""


@functools.cache
def _signs(dialect: Dialect) -> _Signs:
    apart, sign = re.escape(dialect.delimiter) or r"(?!)", re.escape(dialect.quote)
    escape = re.escape(dialect.escape or "")
    before, after = (" *+" if dialect.spaced else ""), " *+"
    end = r"[\r\n]*+\Z"
    text = rf"[^{sign}{re.escape(dialect.delimiter)}]"
    inner = rf"[^{sign}{escape}]++|{sign}{sign}" + (rf"|{escape}[\s\S]" if escape else "")
    strict, lenient = rf"(?:{inner})*+", rf"(?:{inner}|{sign}(?!{after}(?:{apart}|{end})))*+"
    plain = rf"(?!{before}{sign})" + (rf"[^{apart}]*+" if dialect.delimiter else r"[\s\S]*+")
    field = rf"(?:{before}{sign}{strict}{sign}{after}|{plain})"
    field_leniently = rf"(?:{before}{sign}(?P<quoted>{lenient}){sign}{after}|(?P<plain>{plain}))"
    any_field = re.sub(r"\?P<\w+>", "?:", field_leniently)
    rest = rf"{sign}{after}(?:{apart}{field})*+"
    return _Signs(
        field=re.compile(rf"{field_leniently}(?P<delimiter>{apart}|\Z)"),
        escaped=re.compile((rf"{escape}([{sign}{escape}])|" if escape else "()") + rf"{sign}({sign})"),
        bare=re.compile(rf"(?<![{sign}{escape}]){sign}(?!{sign})"),
        torn=re.compile(
            rf"(?:^|{apart})(?!{before}{sign}){text}+{sign}(?!\s){text}+{apart}"
            rf"(?:{text}*{apart})*(?!{before}{sign}){text}+{sign}+(?:{apart}|\Z)"
        ),
        whole=re.compile(rf"{any_field}(?:{apart}{any_field})*+{end}".encode()),
        opens=re.compile(rf"(?:{field}{apart})*{before}{sign}{strict}\Z".encode()),
        closes=re.compile(rf"{strict}{rest}{end}".encode()),
        goes_on=re.compile(rf"{strict}(?:{rest}{apart}{before}{sign}{strict})?\Z".encode()),
    )


def bounds(lines: Iterable[tuple[int, bytes]], dialect: Dialect) -> Iterator[Piece]:
    """Lines put together to records."""
    sign, signs = dialect.quote.encode(), _signs(dialect) if dialect.quote else None
    waiting: _Lines = []  # lines to be looked at again before the source goes on
    source = iter(lines)
    broken = False
    while (first := waiting.pop() if waiting else next(source, None)) is not None:
        number, line = first
        if line.isspace():
            continue
        problem = None
        if signs is not None and sign in line:
            if broken and line.count(sign) % 2:  # the other end of what was broken
                problem = "broken_quotes"
            elif not signs.whole.match(line):
                taken = _rest_of(line, waiting, source, signs)
                line, problem = (b"".join([line, *taken]), None) if taken else (line, "broken_quotes")
        broken = problem is not None
        yield Piece(number, line.rstrip(b"\r\n"), problem)


def _rest_of(first: bytes, waiting: _Lines, source: Iterator[tuple[int, bytes]], signs: _Signs) -> list[bytes]:
    """The lines up to the one that closes what the first opens; none, and all back in `waiting`, when it is broken."""
    taken: _Lines = []
    if not signs.opens.match(first):
        return []
    while len(taken) < MAX_RECORD_LINES and (line := waiting.pop() if waiting else next(source, None)) is not None:
        taken.append(line)
        if signs.closes.match(line[1]):
            return [content for _, content in taken]
        if not signs.goes_on.match(line[1]):
            break
    waiting.extend(reversed(taken))
    return []
