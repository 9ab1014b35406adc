"""JSON that comes out as it went in: strict as RFC 8259, and no number loses a digit.

Python reads 123456789012345678901234567890 as 1.2345678901234568e29 (orjson), 1.10 as 1.1 and 1e400 as infinity or not
at all. Here such a number stays the text that it was. orjson does the work; only where a number may have changed, the
standard library reads the text once more.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

MINUS_ZERO = re.compile(rb"(?:^|[:,\[\s])-0(?:[,\]}\s]|$)").search  # the one integer that loses something: its sign
HUGE = re.compile(rb"\d[eE]\+?\d\d|\d{300}").search  # beyond a 64-bit float, which orjson refuses
I64_MIN, U64_MAX = -(2**63), 2**64 - 1  # what orjson reads and writes as an integer
MAX_DEPTH = 200  # orjson writes 254 levels; what is wrapped around a record needs some


class Number:
    """A JSON number that Python would not write back as it stands; equal to another of the same text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[type["Number"], tuple[str]]:
        return Number, (self.text,)


def is_zero(value: Any) -> bool:
    """Whether a JSON value is the number 0, or false."""
    return float(value.text) == 0 if isinstance(value, Number) else isinstance(value, (bool, int, float)) and value == 0


def loads(data: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        ValueError: It is not JSON as RFC 8259 has it (this refuses NaN, lone surrogates and a byte order mark), not
            UTF-8, or nested deeper than 200.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        if not HUGE(data):
            raise
        value = _loads_slowly(data)
        _refuse_surrogates(value)
    else:
        if _holds_float(value) or (b"-0" in data and MINUS_ZERO(data)):
            value = _loads_slowly(data)
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _refuse_depth(value)
    return value


def repeats_key(data: bytes, value: Any) -> bool:
    """Whether an object in the text names a member twice, of which the value holds but the last."""
    names = data.count(b'":') + data.count(b'" :')
    if names <= _count_keys(value):
        return False
    repeats = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        members = dict(pairs)
        repeats |= len(members) < len(pairs)
        return members

    json.loads(data, object_pairs_hook=look, parse_int=str)
    return repeats


def dumps(value: Any) -> bytes:
    """The value as compact JSON in UTF-8, every `Number` as its text.

    Raises:
        TypeError: The value holds something that JSON does not have.
    """
    return orjson.dumps(value, default=_fragment)


def _fragment(value: object) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _holds_float(value: Any) -> bool:
    """Whether there is a float anywhere: a fraction, or an integer of more than 64 bits."""
    waiting = [value]
    for part in waiting:
        kind = type(part)
        if kind is float:
            return True
        if kind is dict:
            waiting.extend(part.values())
        elif kind is list:
            waiting.extend(part)
    return False


def _count_keys(value: Any) -> int:
    count = 0
    waiting = [value]
    for part in waiting:
        kind = type(part)
        if kind is dict:
            count += len(part)
            waiting.extend(part.values())
        elif kind is list:
            waiting.extend(part)
    return count


def _loads_slowly(data: bytes) -> Any:
    try:
        return _decode(data.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_surrogates(value: Any) -> None:
    """The standard library lets a lone surrogate through; orjson does not write one."""
    try:
        dumps(value)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for part in level if isinstance(part, (dict, list)) for inner in _inside(part)]
    if level:
        raise ValueError("nested too deeply")


def _inside(part: Any) -> Iterable[Any]:
    return part.values() if isinstance(part, dict) else part


def _float(text: str) -> float | Number:
    value = float(text)
    return value if orjson.dumps(value) == text.encode() else Number(text)


def _int(text: str) -> int | Number:
    if text == "-0" or len(text) > 20:
        return Number(text)
    value = int(text)
    return value if I64_MIN <= value <= U64_MAX else Number(text)


def _constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


_decode = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=_constant).decode


def texts_in(value: object) -> Iterator[str]:
    """Every text in a JSON value, in order; the keys of objects are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from texts_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from texts_in(part)
