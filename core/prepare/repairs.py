"""Texts repaired where they are broken; good text stays the very same object."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from ..examples.types import Example
from .texts import map_texts, texts_of

# Tab, line feed and carriage return are text; colour codes of terminals go as a whole.
ANY_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\ufeff]")  # a plain set is searched fast
CONTROL = re.compile("\x1b\\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\ufeff]")


@dataclass(frozen=True, slots=True)
class Change:
    """What one rule changed in one example."""

    rule: str
    """The repair, a name in `rules.RULES`."""

    before: dict[str, str]
    """The texts as they were, by place (`messages.1.content`)."""

    after: dict[str, str]
    """The same texts as they are now."""


def repair(example: Example, off: frozenset[str] = frozenset()) -> tuple[Example, list[Change]]:
    """The example with its broken texts repaired, and what changed, in order; the same object when nothing is broken.

    Args:
        example: What to repair; it stays as it is.
        off: Names of repairs not to make.
    """
    if all(text.isascii() and (text.isprintable() or not ANY_CONTROL.search(text)) for text in texts_of(example)):
        return example, []
    changes: list[Change] = []
    for rule, mend in REPAIRS:
        if rule in off:
            continue
        example, changed = map_texts(example, mend)
        if changed:
            before = {place: change.before for place, change in changed.items()}
            changes.append(Change(rule, before, {place: change.after for place, change in changed.items()}))
    return example, changes


def repair_mojibake(text: str) -> str:
    """UTF-8 that was once read as another encoding, read rightly; good text stays as it is."""
    if text.isascii():
        return text
    from ftfy import fix_encoding

    return fix_encoding(text)


def remove_controls(text: str) -> str:
    """The text without control characters and byte order marks."""
    return CONTROL.sub("", text) if not text.isprintable() and ANY_CONTROL.search(text) else text


def compose(text: str) -> str:
    """Letters and their accents as one sign (NFC); nothing that looks different is made equal."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


REPAIRS: tuple[tuple[str, Callable[[str], str]], ...] = (  # mojibake first: it is made of control characters, too
    ("mojibake", repair_mojibake),
    ("control_characters", remove_controls),
    ("unicode_form", compose),
)
