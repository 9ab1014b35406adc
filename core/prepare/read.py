"""The first step: every row of every file, good or bad, with its place."""

import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from ..errors import DataError
from ..untrusted import quote
from . import encoding as encodings
from .csv_records import Dialect
from .encoding import Encoding
from .read_delimited import delimited_pieces, parse_delimited, sniff
from .read_json import Layout, find_layout, is_conversation, json_pieces, line_pieces, parse_json
from .read_table import STREAM_START, table_pieces
from .read_text import parse_text, text_pieces
from .row import Found, Piece
from .sources import KNOWN, TEXT_SUFFIXES, open_bytes, packing, suffix

Kind = Literal["json", "jsonl", "csv", "text", "parquet", "arrow", "empty"]
HEAD_BYTES = 1 << 16
SAMPLE_BYTES = 1 << 20
SAMPLE_LINES = 50
BLANK = b" \t\r\n\x0b\x0c\0\xef\xbb\xbf\xff\xfe"  # white space in any encoding, and byte order marks


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file whose kind, encoding and dialect are known."""

    path: Path
    kind: Kind
    encoding: Encoding | None
    """None for files that are not text."""
    dialect: Dialect | Layout | None
    """How a delimited file sets its fields apart, or where a whole JSON file holds its records; None where there is
    nothing to say."""


def look(path: Path, names: frozenset[str] = frozenset()) -> DataFile:
    """What a file is, found from its content first and its suffix second; one of nothing but white space is empty.

    Args:
        path: The file.
        names: Of columns that the data should have, by which the header of a delimited file is known.

    Raises:
        DataError: It is damaged, or no data.
    """
    try:
        with open_bytes(path) as file:
            head = file.read(HEAD_BYTES)
        if head.startswith(b"PAR1"):
            return DataFile(path, "parquet", None, None)
        if head.startswith((b"ARROW1", STREAM_START)):
            return DataFile(path, "arrow", None, None)
        if not head.lstrip(BLANK) and _is_blank(path):
            return DataFile(path, "empty", None, None)
        found = encodings.detect(path)
        kind = _kind_of_text(path, found)
        dialect = sniff(path, found, suffix(path), names) if kind == "csv" else None
        dialect = find_layout(path, found) if kind == "json" else dialect
    except _damage() as error:
        raise _damaged(path) from error
    return DataFile(path, kind, found, dialect)


def _is_blank(path: Path) -> bool:
    with open_bytes(path) as file:
        return not any(chunk.lstrip(BLANK) for chunk in iter(lambda: file.read(HEAD_BYTES), b""))


def pieces(file: DataFile) -> Iterator[Piece]:
    """The bytes of every record of a file in order, with bounded memory.

    Raises:
        DataError: The file breaks off or is damaged.
    """
    try:
        yield from _pieces(file)
    except _damage() as error:
        raise _damaged(file.path) from error


def _pieces(file: DataFile) -> Iterator[Piece]:
    match file:
        case DataFile(_, "empty"):
            return iter(())
        case DataFile(path, "parquet" | "arrow" as kind):
            return table_pieces(path, kind)
        case DataFile(path, "csv", Encoding() as encoding, Dialect() as dialect):
            return delimited_pieces(path, encoding, dialect)
        case DataFile(path, "json", Encoding() as encoding, dialect) if not isinstance(dialect, Dialect):
            return json_pieces(path, encoding, dialect)
        case DataFile(path, "text", Encoding() as encoding):
            return text_pieces(path, encoding)
        case DataFile(path, _, Encoding() as encoding):
            return line_pieces(path, encoding)
        case _:
            raise ValueError(f"not a file that was looked at: {file}")


def parse(file: DataFile, piece: Piece) -> Found:
    """The record in a piece of the file, or the rule that the piece breaks."""
    if piece.problem is not None:
        return Found(piece.line, piece.raw, None, piece.problem)
    if isinstance(file.dialect, Dialect):
        return parse_delimited(piece, file.dialect)
    return parse_text(piece) if file.kind == "text" else parse_json(piece)


def rows(file: DataFile) -> Iterator[Found]:
    """All rows of a file, good and bad.

    Raises:
        DataError: The file breaks off or is damaged.
    """
    return (parse(file, piece) for piece in pieces(file))


def _kind_of_text(path: Path, encoding: Encoding) -> Kind:
    name = suffix(path)
    if name in (".csv", ".tsv", ".tab"):
        return "csv"
    head = encodings.beginning(path, encoding, SAMPLE_BYTES)
    filled = [line.rstrip() for line in head.splitlines() if line.strip()][:SAMPLE_LINES]
    first, lines_suffix = filled[0].lstrip() if filled else b"", name in (".jsonl", ".ndjson")
    if name in TEXT_SUFFIXES:
        return "jsonl" if len(filled) > 1 and all(map(_is_whole_object, filled[:-1])) else "text"
    if len(filled) > 1 and all(line.endswith(b",") and _is_whole_object(line[:-1]) for line in filled[:2]):
        return "json"  # a list without its brackets
    if first[:1] == b"[" and all(map(_is_whole_conversation, filled[:2])):
        return "jsonl"
    if _is_whole_object(first):
        return "jsonl" if lines_suffix or len(filled) > 1 else "json"
    if lines_suffix and first[:1] != b"[" and (first[-1:] == b"}" or any(map(_is_whole_object, filled))):
        return "jsonl"
    if first[:1] in (b"{", b"[") or name == ".json":
        return "json"
    if lines_suffix:
        return "jsonl"
    raise DataError(f"{quote(str(path), 200)} is of no known kind.", f"Readable are {KNOWN}; give it its suffix.")


def _is_whole_object(line: bytes) -> bool:
    """Whether a line is one object that is not indented, as a record of JSON Lines is."""
    if line[:1] != b"{":
        return False
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _is_whole_conversation(line: bytes) -> bool:
    """Whether a line is one list of turns, as some write a conversation a line."""
    try:
        return is_conversation(orjson.loads(line))
    except orjson.JSONDecodeError:
        return False


def _damage() -> tuple[type[Exception], ...]:
    """What unpacking and reading raise on a damaged file; gzip and bz2 raise OSError."""
    from zstandard import ZstdError

    return (OSError, EOFError, UnicodeError, lzma.LZMAError, zlib.error, ZstdError)


def _damaged(path: Path) -> DataError:
    packed = packing(path)
    what = f"is damaged or breaks off: it does not unpack as {packed}" if packed else "cannot be read"
    return DataError(f"{quote(str(path), 200)} {what}.", "Fetch or export it again.")
