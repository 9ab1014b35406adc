"""JSON and JSON Lines files as records; one bad line is one bad row."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import lossless_json
from .encoding import Encoding, lines, read_all
from .row import Found, Piece

# A string ends at its quote or, when it is broken, at the line's end: so a broken string spoils one line only.
TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"?|[{}\[\]]')
HOLDERS = ("data", "rows", "examples", "records", "items", "train", "instances")


def line_pieces(path: Path, encoding: Encoding) -> Iterator[Piece]:
    """One piece a line; empty lines do not count."""
    for line in lines(path, encoding):
        if line.content and not line.content.isspace():
            yield Piece(line.number, line.content)


def parse_json(piece: Piece) -> Found:
    """The object in a piece."""
    try:
        value = lossless_json.loads(piece.raw)
    except ValueError:
        return Found(piece.line, piece.raw, None, _why_bad(piece.raw))
    if isinstance(value, dict):
        return Found(piece.line, piece.raw, value)
    return Found(piece.line, piece.raw, None, "not_an_object")


def _why_bad(content: bytes) -> str:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "undecodable"
    return "invalid_json"


def json_pieces(path: Path, encoding: Encoding) -> Iterator[Piece]:
    """The records of a whole JSON file: a list, an object that holds one, columns of equal length, or one object.

    A file that is not one JSON value is read as values one after another; what does not parse is a bad row.
    """
    data = read_all(path, encoding)
    try:
        value = lossless_json.loads(data)
    except ValueError:
        yield from _salvaged(data)
        return
    for number, record in enumerate(_records(value), start=1):
        yield Piece(number, lossless_json.dumps(record))


def _records(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return [value]
    lists = {key: part for key, part in value.items() if isinstance(part, list)}
    holders = [key for key in (*HOLDERS, *lists) if key in lists and _all_objects(lists[key])]
    if holders and (len(lists) == 1 or holders[0] in HOLDERS) and not _is_conversation(value):
        inner = lists[holders[0]]
        return [item["row"] if set(item) >= {"row", "row_idx"} else item for item in inner]
    if lists and len(lists) == len(value) and len({len(part) for part in lists.values()}) == 1 and len(lists) > 1:
        return [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
    return [value]


def _all_objects(part: list[Any]) -> bool:
    return bool(part) and all(isinstance(item, dict) for item in part)


def _is_conversation(value: dict[str, Any]) -> bool:
    from ..examples.dialects import TURN_FIELDS

    return any(key in TURN_FIELDS for key in value)


def _salvaged(data: bytes) -> Iterator[Piece]:
    """The objects of a broken list, or objects one after another; the line is where each begins."""
    start, depth, line, counted, seen = -1, 0, 1, 0, False
    base = 1 if data.lstrip()[:1] == b"[" else 0
    for token in TOKEN.finditer(data):
        sign = token.group()
        if sign in (b"{", b"["):
            if depth == base and sign == b"{":
                start = token.start()
            depth += 1
        elif sign in (b"}", b"]"):
            depth = max(depth - 1, 0)
            if depth == base and start >= 0:
                line += data.count(b"\n", counted, start)
                counted, seen = start, True
                yield Piece(line, data[start : token.end()])
                start = -1
    if start >= 0 or not seen:
        rest = data[max(start, 0) :]
        yield Piece(line + data.count(b"\n", counted, max(start, 0)), rest, _why_bad(rest))
