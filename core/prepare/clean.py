"""Texts repaired where they are broken, and rows dropped that have nothing to learn."""

import re
import unicodedata
from collections.abc import Callable

from ..checks import Check
from ..examples.types import ChatExample, Example, answer_of
from .job import Job
from .row import Row
from .texts import map_texts, texts_of
from .wording import counted

# Tab, line feed and carriage return are text; colour codes of terminals go as a whole.
ANY_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\ufeff]")  # a plain set is searched fast
CONTROL = re.compile("\x1b\\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\ufeff]")


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


class Clean:
    """The step: repair every text, then drop rows without a question, without an answer, or too short."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, rows: list[Row]) -> list[Row]:
        for row in rows:
            self._repair(row)
        filled = [row for row in rows if not self._is_empty(row)]
        return self._long_enough(filled)

    def _repair(self, row: Row) -> None:
        texts = texts_of(row.example)
        if all(text.isascii() and (text.isprintable() or not ANY_CONTROL.search(text)) for text in texts):
            return
        for rule, repair in REPAIRS:
            example, changed = map_texts(row.example, repair)
            if changed:
                row.example = example
                before = {place: change.before for place, change in changed.items()}
                after = {place: change.after for place, change in changed.items()}
                self._job.ledger.change(row.place, rule, before, after)

    def _is_empty(self, row: Row) -> bool:
        rule = _emptiness(row.example)
        if rule is None:
            return False
        self._job.ledger.drop(row.place, rule, row.record)
        return True

    def _long_enough(self, rows: list[Row]) -> list[Row]:
        least = self._job.request.min_length
        if least <= 1:  # no row that is left is empty
            return rows
        counts = self._job.tokens.count_many(["\n".join(texts_of(row.example)) for row in rows])
        kept = []
        for row, count in zip(rows, counts, strict=True):
            if count >= least:
                kept.append(row)
            else:
                self._job.ledger.drop(row.place, "too_short", row.record, matched=f"{count} of {least} tokens")
        return kept

    def checks(self) -> list[Check]:
        """How many rows were empty or too short."""
        dropped, least = self._job.ledger.dropped_by_reason, self._job.request.min_length
        short = dropped["too_short"]
        empty = sum(dropped[rule] for rule in ("empty_answer", "empty_prompt", "no_answer"))
        details = f"{counted(short, 'row')} below {counted(least, 'token')}, {empty:,} without question or answer; "
        details += "all dropped" if short + empty else "none to drop"
        step = "Look at them in ledger.jsonl." if short + empty else None
        return [
            Check(
                name="Min Length",
                status="warn" if step else "pass",
                details=details,
                count=short + empty,
                next_step=step,
            )
        ]


def _emptiness(example: Example) -> str | None:
    """The rule by which an example has nothing to learn; None when it has something."""
    if not isinstance(example, ChatExample):
        return None if example.completion.strip() else "empty_answer"
    answers = [message for message in example.messages if message.role == "assistant"]
    if not answers:
        return "no_answer"
    if not answer_of(example).strip() and not answers[-1].tool_calls:
        return "empty_answer"
    asked = (message for message in example.messages if message.role != "assistant")
    if not any(message.content.strip() for message in asked):
        return "empty_prompt"
    return None
