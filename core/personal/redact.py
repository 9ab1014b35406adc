"""Personal data and secrets: found, and replaced by what kind of value stood there."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from ..lossless_json import Number, texts_in
from .kinds import PLACEHOLDER, Kind, Span, digits
from .names import NameFinder
from .patterns import find

NUMBER_LIKE = re.compile(r"\+?\d[\d ()./-]{4,28}\d")
TELLING = re.compile(
    r"phone|mobile|whatsapp|contact|card|passport|account|iban|social|national|person|(?:\b|_)(?:tel|cell|fax|ssn|tax|cc)",
    re.IGNORECASE,
)
JSON_STRING_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<number>[-+.\deE]+)')


class Redactor:
    """Replaces the values of one row by placeholders such as [EMAIL_1]; the same value gets the same one.

    Args:
        texts: All texts of the row: the numbers of placeholders that they hold already are not given out again.
        find_names: What finds people's names, if anything does; a name gives way to any other value.

    Attributes:
        kinds: Values found so far, by kind; the same value counts once.
    """

    def __init__(self, texts: Iterable[str] = (), find_names: NameFinder | None = None) -> None:
        self.kinds: Counter[Kind] = Counter()
        self._placeholders: dict[tuple[Kind, str], str] = {}
        self._numbers: Counter[str] = Counter()
        self._find_names = find_names
        for text in texts:
            self._keep(text)

    def redact(self, text: str, context: str = "") -> str:
        """The text with its values replaced; the very same text when there are none.

        What must be read before the text to know what it is (see `in_context`) may hold values of its own, which stay.
        Redacting what comes out changes nothing: a value that stands out only once its neighbour is gone goes too.
        JSON stays JSON: in the place of a number the placeholder is a string.
        """
        while spans := self._find(text, context):
            self._keep(context + text)
            numbers = _numbers_of_json(text)
            parts, end = [], 0
            for span in spans:
                placeholder = self._placeholder(span.kind, text[span.start : span.end])
                start, stop = span.start, span.end
                if number := next((one for one in numbers if one[0] <= start and stop <= one[1]), None):
                    (start, stop), placeholder = number, f'"{placeholder}"'
                if start >= end:
                    parts += [text[end:start], placeholder]
                    end = stop
            text = "".join([*parts, text[end:]])
        return text

    def _find(self, text: str, context: str) -> list[Span]:
        """The values of the text, in order; of one that begins in the context, what lies in the text."""
        whole, before = context + text, len(context)
        spans = find(whole)
        if self._find_names is not None:
            names = self._find_names(whole)
            spans += [name for name in names if all(name.end <= span.start or span.end <= name.start for span in spans)]
        inside = [Span(max(s.start - before, 0), s.end - before, s.kind) for s in spans if s.end > before]
        return sorted(inside, key=lambda span: span.start)

    def _keep(self, text: str) -> None:
        for kind, number in PLACEHOLDER.findall(text) if "[" in text else ():
            self._numbers[kind] = max(self._numbers[kind], int(number))

    def _placeholder(self, kind: Kind, value: str) -> str:
        key = (kind, same_value(kind, value))
        if key not in self._placeholders:
            self._numbers[kind] += 1
            self.kinds[kind] += 1
            self._placeholders[key] = f"[{kind}_{self._numbers[kind]}]"
        return self._placeholders[key]


def in_context(name: str, value: Any) -> str:
    """What must be read before a member's value to know what it is: its name, where that tells of a mere number.

    4155550132 may be anything; under `phone` it is a phone number.
    """
    if not _is_telling(str(name)) or isinstance(value, bool) or not isinstance(value, (str, int, Number)):
        return ""
    return f"{name}: " if NUMBER_LIKE.fullmatch(str(value)) else ""


@lru_cache(maxsize=4096)
def _is_telling(name: str) -> bool:
    return TELLING.search(name) is not None


def _numbers_of_json(text: str) -> list[tuple[int, int]]:
    """Where the numbers of a text that is a JSON object or list stand, such as a tool call's arguments."""
    if text.lstrip()[:1] not in ("{", "["):
        return []
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [match.span() for match in JSON_STRING_OR_NUMBER.finditer(text) if match["number"]]


def same_value(kind: Kind, value: str) -> str:
    """What two ways of writing one value have in common: case means nothing in an e-mail address, gaps in a number."""
    match kind:
        case "PHONE":
            return digits(value)
        case "IBAN" | "CARD" | "BANK_ACCOUNT" | "SSN" | "NATIONAL_ID" | "MAC":
            return "".join(filter(str.isalnum, value)).upper()
        case "EMAIL" | "ADDRESS" | "NAME" | "URL" | "IP":
            return " ".join(value.casefold().split())
        case _:
            return value


def redact_all(value: Any) -> Any:
    """A JSON value with the values in all of its texts replaced."""
    return _redact_json(value, Redactor(texts_in(value)))


def _redact_json(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, str):
        return redactor.redact(value)
    if isinstance(value, dict):
        return {key: _redact_member(key, part, redactor) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact_json(part, redactor) for part in value]
    return value


def _redact_member(name: str, value: Any, redactor: Redactor) -> Any:
    context = in_context(name, value)
    if not context:
        return _redact_json(value, redactor)
    text = redactor.redact(str(value), context)
    return value if text == str(value) else text
