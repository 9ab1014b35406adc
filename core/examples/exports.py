"""Records as APIs, libraries and annotation tools export them, and the plain record that each holds."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from . import annotations, exchanges, message_trees, scored_answers
from .items import is_items, turns_of

Read = Callable[[Mapping[str, Any]], tuple[dict[str, Any], Counter[str]] | None]
ITEMS = ("messages", "items")  # fields that may hold items of the Responses API


@dataclass(frozen=True, slots=True)
class Unfolded:
    """The plain record in an export."""

    kind: str
    """What it was, for a person."""

    record: dict[str, Any]
    """Fields that the dialects know, and beside them all else that the export said."""

    left_out: Mapping[str, int]
    """What of the conversation is not carried over, by its kind: the row can be learned without it."""


def unfold(record: Mapping[str, Any]) -> Unfolded | None:
    """The plain record of an export; None for a record that is plain already.

    Raises:
        DataError: It is an export that holds no example.
    """
    if not FIELDS.isdisjoint(record) and may_be_export(record):
        for kind, fields, read in _KINDS:
            if not fields.isdisjoint(record) and (found := read(record)) is not None:
                return Unfolded(kind, *found)
    for field in ITEMS:
        if field in record and is_items(record[field]):
            return _items(record, field)
    return None


def may_be_export(fields: Mapping[str, Any]) -> bool:
    """Whether fields may make an export; certainly not when those of a known name are texts and numbers."""
    named = FIELDS.intersection(fields)
    return any(isinstance(fields[name], (list, dict)) or _may_be_json(fields[name]) for name in named)


def _may_be_json(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip().startswith(("[", "{"))


def consumed(record: Mapping[str, Any]) -> set[str]:
    """The fields of a record that are not what they were once it is unfolded."""
    try:
        unfolded = unfold(record)
    except DataError:
        return set(record)
    if unfolded is None:
        return set()
    return {field for field, value in record.items() if unfolded.record.get(field) is not value}


def _items(record: Mapping[str, Any], field: str) -> Unfolded:
    left_out: Counter[str] = Counter()
    rest = {name: value for name, value in record.items() if name != field}
    return Unfolded("items of the Responses API", {"messages": turns_of(record[field], left_out), **rest}, left_out)


_KINDS: tuple[tuple[str, frozenset[str], Read], ...] = (
    ("ChatGPT export", message_trees.CHATGPT, message_trees.read_chatgpt),
    ("tree of replies", message_trees.REPLIES, message_trees.read_replies),
    ("scored answers", scored_answers.FIELDS, scored_answers.read_scored),
    ("Argilla", annotations.ARGILLA, annotations.read_argilla),
    ("Label Studio", annotations.LABEL_STUDIO, annotations.read_label_studio),
    ("request and response", exchanges.FIELDS, exchanges.read_exchange),
)
FIELDS = frozenset[str]().union(*(fields for _, fields, _ in _KINDS))
