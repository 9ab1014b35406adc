"""Questions with options to choose from, as exams and benchmarks write them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase
from typing import Any

from ..errors import DataError
from ..untrusted import quote
from .text import json_text, parsed

OPTION_FIELDS = ("choices", "options", "endings", "answer_choices")
# First one found wins: which option is right, as its letter, its number or its text.
KEY_FIELDS = (
    *("answerkey", "answer_key", "answer_idx", "answer_index", "answer_letter", "answer", "gold", "correct"),
    *("correct_option", "correct_choice", "correct_answer", "cop", "label", "target"),
)
PLACES = frozenset({"answer_idx", "answer_index", "gold", "cop", "label", "target"})  # keys that count from 0
OPTION_COLUMN = re.compile(r"(choice|option|opt|op|ending|sol|solution)_?([0-9]|[a-j])")
LETTER_COLUMNS = tuple("abcdefghij")
LETTERED = re.compile(r"\(?([A-Za-z])[).:]\s*")


@dataclass(frozen=True, slots=True)
class Choices:
    """Where a record keeps its options."""

    options: tuple[str, ...]
    """The field with all of them, or one field each."""

    key: str
    """The field that says which is right."""


def find_choices(record: Mapping[str, Any], names: Mapping[str, str]) -> Choices | None:
    """The fields of a record's options, given its fields by plain name; None when it has none."""
    key = next((name for name in KEY_FIELDS if name in names), None)
    if key is None:
        return None
    listed = next((names[name] for name in OPTION_FIELDS if name in names), None)
    if listed is not None:
        return Choices((listed,), names[key]) if _labelled(record[listed]) else None
    columns = tuple(names[name] for name in _columns(names) if name != key)
    return Choices(columns, names[key]) if len(columns) > 1 else None


def _columns(names: Mapping[str, str]) -> list[str]:
    """The plain names of columns that hold one option each, in order: choice0.., option_a.., or A, B, C."""
    by_stem: dict[str, dict[str, str]] = {}
    for name in names:
        if match := OPTION_COLUMN.fullmatch(name):
            by_stem.setdefault(match[1], {})[match[2]] = name
    by_stem["letters"] = {name: name for name in LETTER_COLUMNS if name in names}
    for stem, columns in by_stem.items():
        marks = sorted(columns)
        begins = marks[:2] in (["0", "1"], ["1", "2"], ["a", "b"])
        steps = all(ord(after) - ord(before) == 1 for before, after in pairwise(marks))
        if begins and steps and (stem != "letters" or len(marks) > 2):
            return [columns[mark] for mark in marks]
    return []


def _labelled(value: Any) -> list[tuple[str, str]] | None:
    """Label and text of each option of one field, letters where it has no labels; None for other things."""
    value = parsed(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        texts, labels = value.get("text"), value.get("label", value.get("labels"))
        if texts is None and value and all(len(str(key)) == 1 for key in value):
            return [(str(key), _text(option)) for key, option in value.items() if option is not None]
        if isinstance(texts, Sequence) and isinstance(labels, Sequence) and len(texts) == len(labels) > 1:
            return [(str(label), _text(text)) for label, text in zip(labels, texts, strict=True)]
        return None
    if not isinstance(value, (list, tuple)) or not 1 < len(value) <= len(ascii_uppercase):
        return None
    if all(isinstance(option, Mapping) and "text" in option and "label" in option for option in value):
        return [(str(option["label"]), _text(option["text"])) for option in value]
    if any(isinstance(option, (Mapping, list, tuple)) for option in value):
        return None
    return _lettered([_text(option) for option in value])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _lettered(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The options with the letters they bear already (`A) 21`), or else with A, B, C, ..."""
    marks = [LETTERED.match(text) for text in texts]
    letters = [mark[1].upper() if mark else "" for mark in marks]
    if "".join(letters) == ascii_uppercase[: len(texts)]:
        return [(letter, text[mark.end() :]) for letter, text, mark in zip(letters, texts, marks, strict=True) if mark]
    return list(zip(ascii_uppercase, texts, strict=False))


def read_options(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and text of each option.

    Args:
        fields: The record's fields that hold options, by name: one with all, or one each.

    Raises:
        DataError: There are not two options or more.
    """
    if len(fields) == 1:
        options = _labelled(next(iter(fields.values())))
    else:
        options = _lettered([_text(value) for value in fields.values() if value is not None])
    if options is None or len(options) < 2:
        raise DataError("The question has fewer than two options.", "Correct the record.")
    return options


def right_option(options: Sequence[tuple[str, str]], fields: Sequence[str], key: str, value: Any) -> int | None:
    """Which option is right, counted from 0; None when the answer is a text of its own.

    A label or letter decides first, then a text that is one of the options, then the place: a number counts from 0,
    but as the columns are numbered where each option has a numbered column.

    Args:
        options: Label and text of each.
        fields: Plain names of the fields that hold them.
        key: Plain name of the field that says which is right.
        value: What it says.

    Raises:
        DataError: It is a number or a letter that none of the options has.
    """
    said = _text(value).strip()
    labels = [label.upper() for label, _ in options]
    if said.upper() in labels:
        return labels.index(said.upper())
    texts = [text.strip() for _, text in options]
    if isinstance(value, str) and said in texts and len(fields) == 1:
        return texts.index(said)
    if said.isdecimal() and not isinstance(value, bool):
        numbered = key not in PLACES and all(name[-1].isdecimal() for name in fields)
        place = int(said) - (int(fields[0][-1]) if numbered else 0)
        if 0 <= place < len(options):
            return place
    if said in texts:
        return texts.index(said)
    if len(said) < 2 or said.lstrip("-").isdecimal():
        raise DataError(f"The answer {quote(said)} is none of the {len(options)} options.", "Correct the record.")
    return None


def written(options: Sequence[tuple[str, str]]) -> str:
    """The options as a person reads them, one a line: `A. first`."""
    return "\n".join(f"{label}. {text}" for label, text in options)
