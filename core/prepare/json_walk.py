"""Going through a JSON text that may be broken: where each value ends, and what stands between the values."""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from .. import lossless_json
from .row import Piece

MAX_BROKEN_BYTES = 1 << 26  # a value that has not ended by then is broken
NEAR_THE_END = 16  # characters; the longest token that can be cut without the scanner naming its start
# A string ends at its quote or, when it is broken, at the line's end: so a broken string spoils one line only.
TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[{}\[\]]')
FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')
JUNK = re.compile(r"[^,\[\]{}\n]*")
SPACE = re.compile(r"[ \t\n\r]*")
NOTHING = re.compile(r"(?!)")


class Walk:
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


def elements(walk: Walk) -> Iterator[Piece]:
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


def names(walk: Walk) -> Iterator[tuple[str, str]]:
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
        name = decoded(walk.value()) if sign == '"' else None
        if name is None or walk.peek() != ":":
            walk.flaws.append(walk.take(0, "invalid_json"))
            return
        walk.take(1)
        yield str(name), walk.peek()
        after = "value"
    walk.flaws.append(walk.take(0, "truncated"))


def decoded(piece: Piece) -> Any:
    """The value of a piece; None for a broken one."""
    try:
        return lossless_json.loads(piece.raw)
    except ValueError:
        return None
