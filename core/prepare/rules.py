"""What makes a row worthless, so that it is dropped, or suspect, so that it is flagged."""

from dataclasses import dataclass
from typing import Literal

from ..examples.types import ChatExample, Example, answer_of

Action = Literal["repair", "drop", "flag"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule does with a row it hits."""

    action: Action
    """`repair` changes the text, `drop` removes the row, `flag` keeps it and says what is suspect."""

    description: str
    """One sentence for users."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that hit a row."""

    rule: str
    """Its name in `RULES`."""

    detail: str | None = None
    """What was seen, where that is not plain from the rule."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a row."""

    drop: Finding | None = None
    """Why the row has nothing to teach; None when it has."""

    flags: tuple[Finding, ...] = ()
    """What is suspect; empty for a dropped row."""


RULES: dict[str, Rule] = {
    "mojibake": Rule("repair", "Text read in a wrong encoding is read rightly (Ã© becomes é)."),
    "control_characters": Rule("repair", "Control characters, byte order marks and terminal colour codes go."),
    "unicode_form": Rule("repair", "Letters and their accents become one sign (NFC)."),
    "empty_answer": Rule("drop", "The answer to learn has no text and calls no tool."),
    "empty_prompt": Rule("drop", "Nothing is asked: every turn before the answer is empty."),
    "no_answer": Rule("drop", "The conversation has no assistant turn to learn."),
}
"""All rules by name, in the order in which they are tried."""


def judge(example: Example, off: frozenset[str] = frozenset()) -> Verdict:
    """Whether a row has something to teach, and what is suspect about it.

    Args:
        example: The row, already repaired.
        off: Names of rules not to apply.
    """
    rule = _emptiness(example)
    return Verdict(None if rule is None or rule in off else Finding(rule))


def _emptiness(example: Example) -> str | None:
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
