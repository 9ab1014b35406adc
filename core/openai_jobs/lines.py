"""A JSONL file as the service reads it: strictly, line by line, nothing repaired."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

Rule = Literal[
    "Valid JSON",
    "Line Keys",
    "Messages",
    "Roles",
    "Content",
    "Weights",
    "Last Message",
    "Tools",
    "Preference Pairs",
    "Grader Fields",
]
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place of one line."""

    rule: Rule
    place: str
    """Where in the line, e.g. "messages[2].content"; empty for the whole line."""
    text: str
    """What is wrong there; the user's own words only quoted."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file: a JSON object, or the problem that kept it from being one."""

    number: int
    """Counted from 1."""
    record: dict[str, Any] | None
    problem: Problem | None
    raw: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """The file's lines in order; a byte order mark before the first one is passed over, blank lines are problems."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            text = raw.removeprefix(BOM) if number == 1 else raw
            yield _line(number, text.strip(b"\r\n"))


def starts_with_bom(path: Path) -> bool:
    """Whether the file begins with a UTF-8 byte order mark."""
    with path.open("rb") as file:
        return file.read(len(BOM)) == BOM


def _line(number: int, raw: bytes) -> Line:
    if not raw.strip():
        return _bad(number, raw, "is blank")
    try:
        record = orjson.loads(raw)  # strict: no NaN, no comments, no lone surrogates, UTF-8 only
    except orjson.JSONDecodeError as error:
        return _bad(number, raw, f"is no JSON ({error.msg.split(':')[0]}, column {error.colno})")
    if not isinstance(record, dict):
        return _bad(number, raw, f"holds {kind(record)} instead of a JSON object")
    return Line(number, record, None, raw)


def _bad(number: int, raw: bytes, text: str) -> Line:
    return Line(number, None, Problem("Valid JSON", "", text), raw)


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")
