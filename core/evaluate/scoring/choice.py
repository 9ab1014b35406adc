"""Which scores fit the answers, decided from the references and said with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from ..result import AnswerKind
from . import scores, text_match

NEARLY_ALL = 0.9
MAX_LABELS = 20
MIN_ROWS_PER_LABEL = 3  # on average; fewer repeats are no classes
MAX_LABEL_CHARACTERS = 40
SHORT_WORDS = 5

FITTING: dict[AnswerKind, tuple[str, ...]] = {
    "labels": ("accuracy", "f1"),
    "json": ("exact_match", "json_valid", "json_fields"),
    "numbers": ("number_match",),
    "short text": ("exact_match", "token_f1", "chrf"),
    "text": ("bleu", "chrf", "rouge1", "rouge2", "rougeL"),
    "tool calls": ("tool_match", "tool_name", "tool_arguments", "tool_missed", "tool_overcall"),
}
NEEDS: dict[str, AnswerKind] = {
    "accuracy": "labels",
    "f1": "labels",
    "json_valid": "json",
    "json_fields": "json",
    "number_match": "numbers",
}
"""Scores of text that mean nothing for other answers."""

ROUGE: tuple[str, ...] = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True)
class Choice:
    """The scores to compute."""

    kind: AnswerKind
    reason: str
    scores: tuple[str, ...]
    unfit: tuple[str, ...]
    """Metrics that were asked for but mean nothing here."""


class Tooled(NamedTuple):
    """How many rows are about tools."""

    calling: int = 0
    """Rows whose reference calls one."""
    idle: int = 0
    """Rows with tools whose reference answers without a call."""


NO_TOOLS = Tooled()


def choose(references: Sequence[str], asked: Sequence[str] | None, tooled: Tooled = NO_TOOLS) -> Choice:
    """The scores that fit the references, or those of the asked ones that do.

    Args:
        references: All held-out answers that are texts.
        asked: The request's metrics; None leaves the choice to the data.
        tooled: How many rows are about tools.
    """
    of_text, reason = _kind(references)
    kind, there = of_text, _there(references, tooled)
    if tooled.calling:
        kind = "tool calls"
        others = f"; of the others, {reason}" if references else ""
        reason = f"{tooled.calling} of {tooled.calling + len(references)} reference answers call tools{others}"
    latin = _is_latin(references)
    if asked is None:
        fitting = [name for name in (*FITTING["tool calls"], *FITTING[of_text]) if scores.find(name).of in there]
        if not latin and set(ROUGE) & set(fitting):
            fitting = [name for name in fitting if name not in ROUGE]
            reason += "; ROUGE is left out, since it counts only words in Latin letters"
        return Choice(kind, reason, tuple(fitting), ())
    # What cannot be imported is said before anything is measured
    names = {name: scores.find(name).of for metric in asked for name in _expand(metric, there)}
    unfit = {name for name, of in names.items() if of not in there or NEEDS.get(name, of_text) != of_text}
    if not latin:
        unfit |= set(ROUGE) & names.keys()
    return Choice(
        kind, reason, tuple(name for name in names if name not in unfit), tuple(name for name in names if name in unfit)
    )


def _there(references: Sequence[str], tooled: Tooled) -> set[scores.Of]:
    """The kinds of rows that there are."""
    found: dict[scores.Of, int] = {
        "text": len(references), "calls": tooled.calling, "no calls": tooled.idle, "tools": sum(tooled),
    }  # fmt: skip
    return {of for of, count in found.items() if count}


def _expand(metric: str, there: set[scores.Of]) -> tuple[str, ...]:
    match metric:
        case "perplexity" | "loss":
            return ()
        case "rouge":
            return ROUGE
        case "tool_calls":
            whole = FITTING["tool calls"]
            return tuple(name for name in whole if scores.find(name).of in there) or whole
        case _:
            return (metric,)


def _kind(references: Sequence[str]) -> tuple[AnswerKind, str]:
    n = len(references)
    if not n:
        return "text", "no reference answer has text"

    def share(count: int) -> str:
        return f"{count} of {n} reference answers"

    json_count = sum(text_match.as_json(reference) is not None for reference in references)
    if json_count >= NEARLY_ALL * n:
        return "json", f"{share(json_count)} are JSON objects or arrays"
    marked = sum(text_match.FINAL_MARK in reference for reference in references)
    if marked >= NEARLY_ALL * n:
        return "numbers", f"{share(marked)} end in a number behind {text_match.FINAL_MARK}"
    labels = {text_match.label(reference) for reference in references}
    if len(labels) <= min(MAX_LABELS, n // MIN_ROWS_PER_LABEL) and all(map(_could_be_label, labels)):
        return "labels", f"the {n} reference answers are {len(labels)} short values that repeat"
    bare = sum(text_match.is_number(reference) for reference in references)
    if bare >= NEARLY_ALL * n:
        return "numbers", f"{share(bare)} are a number"
    words = median(len(reference.split()) for reference in references)
    if words <= SHORT_WORDS:
        return "short text", f"half of the reference answers have at most {words:g} words"
    return "text", f"half of the reference answers have at least {words:g} words"


def _could_be_label(text: str) -> bool:
    return 0 < len(text) <= MAX_LABEL_CHARACTERS and len(text.split()) <= SHORT_WORDS


def _is_latin(references: Sequence[str]) -> bool:
    """Whether most letters are ASCII ones, which is all that rouge-score's words are made of."""
    letters = [character for reference in references for character in reference if character.isalpha()]
    return sum(character.isascii() for character in letters) >= len(letters) / 2
