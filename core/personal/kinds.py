"""The kinds of personal data and secrets, where one stands in a text, and the placeholder that takes its place."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "CREDENTIALS",
    "PRIVATE_KEY",
    "API_KEY",
    "EMAIL",
    "URL",
    "IBAN",
    "CARD",
    "BANK_ACCOUNT",
    "WALLET",
    "SSN",
    "NATIONAL_ID",
    "IP",
    "MAC",
    "PHONE",
    "ADDRESS",
    "NAME",
]

PLACEHOLDER = re.compile(rf"\[({'|'.join(get_args(Kind))})_(\d{{1,6}})\]")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value stands in a text."""

    start: int
    end: int
    kind: Kind


MASK = "_"  # stands for every sign of a placeholder while a text is searched: a word's sign, but nobody's value


def without_placeholders(text: str) -> str:
    """The text, as long as before, with its placeholders blotted out: `[CARD_1]` must not vouch for what is near."""
    return PLACEHOLDER.sub(lambda match: MASK * len(match.group()), text) if "[" in text else text


REACH = 60  # signs before a value in which a word can vouch for it


def before(text: str, start: int, reach: int = REACH) -> str:
    """The lower-cased signs just before a place."""
    return text[max(0, start - reach) : start].lower()


def places(text: str, words: Iterable[str]) -> list[int]:
    """Where any of some lower-case words begins in a text, whatever its case.

    Plain searches: a pattern of many words without a common beginning would try each of them at every sign.
    """
    lower = text.lower()
    if len(lower) != len(text):  # a few letters grow: İ becomes two signs
        lower = text
    found: list[int] = []
    for word in words:
        place = lower.find(word)
        while place >= 0:
            found.append(place)
            place = lower.find(word, place + 1)
    return sorted(found)


def digits(text: str) -> str:
    """The ASCII digits of a text."""
    return NOT_DIGITS.sub("", text)


NOT_DIGITS = re.compile(r"[^0-9]+")

SUM_BEFORE = re.compile(r"(?:[*\u00d7÷^%<>$€£¥]\s?|\d\s?[-+/=]\s|\d[+/*=])$")
SUM_AFTER = re.compile(r"\s?[*\u00d7÷^%<>]\s?[\w(]|\s?=\s?-?\d|\s[-+/]\s\(?\d|\+\d")


def in_sum(text: str, start: int, end: int) -> bool:
    """Whether a number is part of a calculation or an amount of money."""
    return bool(SUM_AFTER.match(text, end) or SUM_BEFORE.search(text[max(0, start - 4) : start]))
