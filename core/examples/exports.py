"""Records as APIs, libraries and annotation tools export them, and the plain record that each holds."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import DataError
from . import annotations, exchanges, message_trees, question_lists, scored_answers
from .comparisons import find_comparison
from .exchanges import is_logged
from .field_names import ANSWER_PAIRS, TURN_FIELDS, plain
from .items import is_items, turns_of
from .turns import ends_asking, names_speakers

ITEMS = ("messages", "items")  # fields that may hold items of the Responses API
WORSE = frozenset(worse for _, worse in ANSWER_PAIRS)
SAID = (  # names of texts that are a question and its answer, whatever stands beside them
    (
        ("instruction", "question", "prompt", "query", "problem", "input", "message"),
        ("output", "answer", "answers", "completion", "response", "solution"),
    ),
    (("text", "article", "document", "dialogue", "src"), ("summary", "highlights", "tgt")),
    (("user", "human"), ("assistant", "gpt", "bot")),
)


class _Kind(NamedTuple):
    """One kind of export."""

    label: str
    fields: frozenset[str]
    """Any of these makes a record worth a look."""

    read: Callable[[Mapping[str, Any]], tuple[dict[str, Any], Counter[str]] | None]
    """The plain record, and what is left out by its kind; None when it is no such export."""


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
    tried = None
    for field, value in record.items():
        kind = _KIND_OF.get(field)
        if kind is None or kind is tried or not _may_hold(value):
            continue
        if tried is None and _is_example(record):
            return None
        tried = kind
        if (found := kind.read(record)) is not None:
            return Unfolded(kind.label, *found)
    field = next((field for field in ITEMS if field in record and is_items(record[field])), None)
    return None if field is None or _is_example(record) else _items(record, field)


def _is_example(record: Mapping[str, Any]) -> bool:
    """Whether a record says by itself what was asked and answered, so that a log beside it adds nothing."""
    if not WORSE.isdisjoint(record) or find_comparison({plain(field): field for field in record}) is not None:
        return True
    talks = [record[field] for field in TURN_FIELDS if field in record]
    if any(names_speakers(talk) and not ends_asking(talk) for talk in talks):
        return True
    texts = {plain(field): value for field, value in record.items() if isinstance(value, str) and value}
    return any(_is_said(texts, asked) and _is_said(texts, answered) for asked, answered in SAID)


def _is_said(texts: Mapping[str, str], names: Iterable[str]) -> bool:
    return any(name in texts and not is_logged(texts[name]) for name in names)


def may_be_export(fields: Mapping[str, Any]) -> bool:
    """Whether fields may make an export; certainly not when those of a known name are texts and numbers."""
    return any(field in fields and _may_hold(fields[field]) for field in FIELDS)


def _may_hold(value: Any) -> bool:
    """Whether a value is a list or an object, or may be the text of one."""
    return isinstance(value, (list, dict)) or (isinstance(value, str) and value.lstrip().startswith(("[", "{")))


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


_KINDS = (
    _Kind("ChatGPT export", message_trees.CHATGPT, message_trees.read_chatgpt),
    _Kind("tree of replies", message_trees.REPLIES, message_trees.read_replies),
    _Kind("questions and their references", question_lists.FIELDS, question_lists.read_questions),
    _Kind("scored answers", scored_answers.FIELDS, scored_answers.read_scored),
    _Kind("Argilla", annotations.ARGILLA, annotations.read_argilla),
    _Kind("Label Studio", annotations.LABEL_STUDIO, annotations.read_label_studio),
    _Kind("request and response", exchanges.FIELDS, exchanges.read_exchange),
)
_KIND_OF = {field: kind for kind in _KINDS for field in kind.fields}
FIELDS = frozenset(_KIND_OF)
"""Fields that make an export, where they hold more than a text or a number."""
