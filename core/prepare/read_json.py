"""JSON and JSON Lines files: where each record begins and ends, without holding the file.

A whole JSON file is walked value by value with the standard library's scanner, which says exactly where a value ends or
where it breaks. What is between the values is checked as strictly: a comma too many, a missing one, a missing bracket
or junk is each a bad row of its own, and reading goes on after it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import lossless_json
from ..errors import DataError
from ..untrusted import quote
from .encoding import Encoding, beginning, chunks, lines
from .row import Found, Piece

HOLDERS = ("data", "rows", "examples", "records", "items", "instances", "train", "valid", "validation", "dev", "test")
MAX_COLUMNS_BYTES = 1 << 28  # columns must be held whole to be turned into rows
MAX_BROKEN_BYTES = 1 << 26  # a value that has not ended by then is broken
NEAR_THE_END = 16  # characters; the longest token that can be cut without the scanner naming its start
# A string ends at its quote or, when it is broken, at the line's end: so a broken string spoils one line only.
TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[{}\[\]]')
FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')
JUNK = re.compile(r"[^,\[\]{}\n]*")
SPACE = re.compile(r"[ \t\n\r]*")
NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the records of a whole JSON file are, when they are not its plain values or those of its list."""

    shape: Literal["held", "columns"]
    """held: in lists below the object's members; columns: cut up into equally long lists (or pandas' objects)."""
    members: tuple[str, ...] = ()
    """Members that hold records."""
    left_out: tuple[str, ...] = ()
    """Members that hold something else, which is not read."""

    @property
    def label(self) -> str:
        """The layout for a person."""
        if self.shape == "columns":
            return "one object of columns"
        rest = f", without {_listed(self.left_out)}" if self.left_out else ""
        return f"the records of {_listed(self.members)}{rest}"


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(quote(name, 40) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def line_pieces(path: Path, encoding: Encoding) -> Iterator[Piece]:
    """One piece a line; empty lines do not count."""
    for number, content in lines(path, encoding):
        if content and not content.isspace():
            yield Piece(number, content)


def parse_json(piece: Piece) -> Found:
    """The object in a piece."""
    try:
        value = lossless_json.loads(piece.raw)
    except ValueError as error:
        problem = why_bad(piece.raw)
        reason = None if problem == "undecodable" else _reason(error)  # its parser calls such bytes broken JSON
        return Found(piece.line, piece.raw, None, problem, reason=reason)
    if not isinstance(value, dict):
        return Found(piece.line, piece.raw, None, "not_an_object")
    flag = "repeated_key" if lossless_json.repeats_key(piece.raw, value) else None
    if "row_idx" in value and isinstance(value.get("row"), dict):  # as the hub's viewer exports them
        value = value["row"]
    return Found(piece.line, piece.raw, value, flag=flag)


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, at character {error.colno} of line {error.lineno} of the record"
    return str(error)


def why_bad(content: bytes) -> str:
    """The rule that bytes break which are not JSON."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "undecodable"
    return "invalid_json"


def find_layout(path: Path, encoding: Encoding) -> Layout | None:
    """The layout of a file that is one object and holds its records; None when its values are the records."""
    walk = _Walk(chunks(path, encoding))
    if walk.peek() != "{":
        return None
    members = list(_members(walk))
    return None if walk.peek() in ("{", ",") else _layout(members, whole=not walk.flaws)


def json_pieces(path: Path, encoding: Encoding, layout: Layout | None) -> Iterator[Piece]:
    """The records of a whole JSON file: values one after another, a list of them, or as the layout says."""
    if layout is not None and layout.shape == "columns":
        return _columns(path, encoding)
    walk = _Walk(chunks(path, encoding))
    return _values(walk) if layout is None else _held(walk, frozenset(layout.members))


class _Walk:
    """A place in a text that is read as far as needed. Bytes stand as the characters of the same numbers (Latin-1)."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._text = ""
        self._at = 0
        self._line, self._counted = 1, 0  # the line at the place up to which line ends are counted
        self._opening: re.Pattern[str] | None = None  # how the next record begins, learned from the first
        self.flaws: list[Piece] = []  # found between the members of an object

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            self._at = _end_of(SPACE, self._text, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def line(self) -> int:
        """The line of the place."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def take(self, length: int, problem: str | None = None) -> Piece:
        """The next characters as a piece."""
        line, start = self.line(), self._at
        self._at += length
        return Piece(line, self._text[start : self._at].encode("latin-1"), problem)

    def value(self) -> Piece:
        """The next value; a broken one ends where the next seems to begin."""
        opening = self._opening or self._learn_opening()
        while True:
            try:
                end = SCANNER.raw_decode(self._text, self._at)[1]
            except RecursionError:
                return self._broken_value("invalid_json")
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - NEAR_THE_END
                if not (cut and len(self._text) - self._at < MAX_BROKEN_BYTES and self._more()):
                    return self._broken_value("truncated" if cut else "invalid_json")
                continue
            if end < len(self._text) or self._text[end - 1] in '"]}' or not self._more():
                if opening is not self._opening and opening.search(self._text, self._at + 1, end):
                    opening = NOTHING  # records hold others that begin alike
                self._opening = opening
                return self.take(end - self._at)

    def forget_opening(self) -> None:
        """Records of another list begin."""
        self._opening = None

    def _more(self) -> bool:
        """Read on, at least as much as is held, so that growing stays linear; False at the end."""
        self.line()
        self._text, self._at, self._counted = self._text[self._at :], 0, 0
        parts, wanted = [self._text], max(len(self._text), 1)
        while wanted > 0 and (chunk := next(self._source, None)) is not None:
            parts.append(chunk.decode("latin-1"))
            wanted -= len(chunk)
        self._text = "".join(parts)
        return len(parts) > 1

    def _learn_opening(self) -> re.Pattern[str]:
        """How records begin: with the first key of the first of them."""
        first = FIRST_KEY.match(self._text, self._at)
        return re.compile(r"\{\s*" + re.escape(first[1]) + r"\s*:") if first else NOTHING

    def _broken_value(self, problem: str) -> Piece:
        """What does not parse, up to its own closing bracket or the opening of the next record."""
        if self._at >= len(self._text):
            return self.take(0, "truncated")
        if self._text[self._at] not in "{[":
            return self.take(max(_end_of(JUNK, self._text, self._at) - self._at, 1), "invalid_json")
        while (end := self._end_of_broken()) is None:
            if len(self._text) - self._at > MAX_BROKEN_BYTES or not self._more():
                rest = self._text[self._at :].rstrip()
                closed = len(rest) > 1 and rest.endswith("]")
                return self.take(len(rest) - closed, "invalid_json" if closed else problem)
        return self.take(end - self._at, "invalid_json")

    def _end_of_broken(self) -> int | None:
        following = (self._opening or self._learn_opening()).search(self._text, self._at + 1)
        limit = following.start() if following else len(self._text)
        depth = 0
        for token in TOKEN.finditer(self._text, self._at, limit):
            sign = token[0]
            depth += (sign in "{[") - (sign in "}]")
            if depth == 0:
                return token.end()
        if following is None:
            return None
        held = self._text[self._at : limit].rstrip()
        return self._at + len(held.removesuffix(",").rstrip())


SCANNER = json.JSONDecoder(parse_float=bool, parse_int=bool, parse_constant=bool)  # only the ends count


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where what matches here ends; here, when nothing does."""
    match = pattern.match(text, at)
    return match.end() if match else at


def _values(walk: _Walk) -> Iterator[Piece]:
    """Values one after another; those of a list stand for it."""
    lists = commas = 0
    while sign := walk.peek():
        if sign == "[":
            if lists:
                yield walk.take(0, "extra_data")
            lists += 1
            yield from _list(walk)
        elif sign == ",":  # a list without its brackets, said once
            piece = walk.take(1, "missing_bracket")
            commas += 1
            if commas == 1:
                yield piece
        elif sign in "}]:":
            yield walk.take(1, "extra_data")
        else:
            yield walk.value()


def _list(walk: _Walk) -> Iterator[Piece]:
    """The elements of the list that begins here, and a bad piece for each flaw between them."""
    walk.take(1)
    walk.forget_opening()
    after: Literal["start", "comma", "value"] = "start"
    while sign := walk.peek():
        if sign == "]":
            end = walk.take(1, "extra_comma")
            if after == "comma":
                yield end._replace(raw=b",]")
            return
        if sign == ",":
            comma = walk.take(1, "extra_comma")
            if after != "value":
                yield comma
            after = "comma"
            continue
        if after == "value":
            yield walk.take(0, "missing_comma")
        piece = walk.take(1, "extra_data") if sign in "}:" else walk.value()
        yield piece
        after = "value"
        if piece.problem == "truncated":
            return
    yield walk.take(0, "truncated")


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    kind: Literal["objects", "list", "object", "other"]
    """objects: a list of nothing but objects, at least one."""
    size: int = 0
    keys: tuple[str, ...] = ()
    """Of an object."""


def _members(walk: _Walk) -> Iterator[_Member]:
    """The members of the object that begins here, as far as it is not broken."""
    for name, sign in _names(walk):
        if sign == "[":
            pieces = objects = 0
            for piece in _list(walk):
                pieces += piece.problem is None
                objects += piece.problem is None and piece.raw[:1] == b"{"
            yield _Member(name, "objects" if pieces == objects > 0 else "list", pieces)
        elif sign == "{":
            value = _decoded(walk.value())
            yield _Member(name, "object", keys=tuple(value) if isinstance(value, dict) else ())
        else:
            walk.value()
            yield _Member(name, "other")


def _names(walk: _Walk) -> Iterator[tuple[str, str]]:
    """The name of each member and the sign that its value begins with; the caller takes the value."""
    walk.take(1)
    after: Literal["start", "comma", "value"] = "start"
    while sign := walk.peek():
        if sign == "}":
            end = walk.take(1, "extra_comma")
            if after == "comma":
                walk.flaws.append(end._replace(raw=b",}"))
            return
        if after == "value":
            comma = walk.take(sign == ",", "missing_comma")
            if sign != ",":
                walk.flaws.append(comma)
            after = "comma"
            continue
        name = _decoded(walk.value()) if sign == '"' else None
        if name is None or walk.peek() != ":":
            walk.flaws.append(walk.take(0, "invalid_json"))
            return
        walk.take(1)
        yield str(name), walk.peek()
        after = "value"
    walk.flaws.append(walk.take(0, "truncated"))


def _decoded(piece: Piece) -> Any:
    try:
        return lossless_json.loads(piece.raw)
    except ValueError:
        return None


def _layout(members: list[_Member], whole: bool) -> Layout | None:
    from ..examples.dialects import ANSWER_FIELDS, QUESTION_FIELDS, TURN_FIELDS

    holders = [member.name for member in members if member.kind == "objects"]
    named = [name for name in holders if name.lower() in HOLDERS]
    lists = [member for member in members if member.kind in ("objects", "list")]
    texts = [member.name for member in members if member.kind == "other"]
    if any(member.name in TURN_FIELDS for member in members) or {*QUESTION_FIELDS, *ANSWER_FIELDS}.intersection(texts):
        return None  # it is one record itself
    if holders and (named or len(lists) == 1):
        chosen = tuple(named or holders)
        return Layout("held", chosen, tuple(member.name for member in members if member.name not in chosen))
    one_length = len(lists) == len(members) > 1 and len({member.size for member in lists}) == 1
    keys = members[0].keys if members else ()
    one_index = len(members) > 1 and bool(keys) and all(member.keys == keys for member in members)
    if whole and (one_length or (one_index and keys == tuple(map(str, range(len(keys)))))):
        return Layout("columns", tuple(member.name for member in members))
    return None


def _held(walk: _Walk, members: frozenset[str]) -> Iterator[Piece]:
    walk.peek()
    problem = None
    for name, sign in _names(walk):
        for piece in _list(walk) if sign == "[" else [walk.value()]:
            problem = piece.problem
            if problem or (sign == "[" and name in members):
                yield piece
    yield from (flaw for flaw in walk.flaws if not flaw.problem == problem == "truncated")
    while sign := walk.peek():
        yield walk.take(1, "extra_data") if sign in "}],:" else walk.value()


def _columns(path: Path, encoding: Encoding) -> Iterator[Piece]:
    data = beginning(path, encoding, MAX_COLUMNS_BYTES)
    if len(data) == MAX_COLUMNS_BYTES:
        raise DataError(
            f"{quote(str(path), 200)} is one JSON object of columns, above {MAX_COLUMNS_BYTES >> 20} MiB.",
            "Export it as JSON Lines or Parquet.",
        )
    columns = {
        name: list(part.values()) if isinstance(part, dict) else part
        for name, part in lossless_json.loads(data).items()
    }
    for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
        yield Piece(number, lossless_json.dumps(dict(zip(columns, cells, strict=True))))
