"""Which scores fit the answers, decided from the references and said with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from ..result import AnswerKind
from . import scores, text_match
from .final_number import FINAL_MARK, final_number, is_number

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
    foreign = _foreign(references)
    if asked is None:
        fitting = [name for name in (*FITTING["tool calls"], *FITTING[of_text]) if scores.find(name).of in there]
        for why, names in foreign.items():
            if names & set(fitting):
                fitting = [name for name in fitting if name not in names]
                reason += f"; {why}"
        return Choice(kind, reason, tuple(fitting), ())
    # What cannot be imported is said before anything is measured
    names = {name: scores.find(name).of for metric in asked for name in _expand(metric, there)}
    unfit = {name for name, of in names.items() if of not in there or not _fits(name, of_text, references)}
    unfit |= names.keys() & set().union(*foreign.values())
    return Choice(
        kind, reason, tuple(name for name in names if name not in unfit), tuple(name for name in names if name in unfit)
    )


def _fits(name: str, of_text: AnswerKind, references: Sequence[str]) -> bool:
    if name == "number_match":  # of worked answers, too, and of numbers with units
        numbered = sum(final_number(reference) is not None for reference in references)
        return numbered >= NEARLY_ALL * len(references)
    return NEEDS.get(name, of_text) == of_text


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
    marked = sum(FINAL_MARK in reference for reference in references)
    if marked >= NEARLY_ALL * n:
        return "numbers", f"{share(marked)} end in a number behind {FINAL_MARK}"
    labels = {text_match.label(reference) for reference in references}
    if len(labels) <= min(MAX_LABELS, n // MIN_ROWS_PER_LABEL) and all(map(_could_be_label, labels)):
        return "labels", f"the {n} reference answers are {len(labels)} short values that repeat"
    bare = sum(is_number(reference) for reference in references)
    if bare >= NEARLY_ALL * n:
        return "numbers", f"{share(bare)} are a number"
    words = median(map(_words, references))
    if words <= SHORT_WORDS:
        return "short text", f"half of the reference answers have at most {words:g} words"
    return "text", f"half of the reference answers have at least {words:g} words"


def _could_be_label(text: str) -> bool:
    return 0 < len(text) <= MAX_LABEL_CHARACTERS and len(text.split()) <= SHORT_WORDS


def _words(text: str) -> float:
    """Words of the text; in scripts without spaces about every second sign ends one."""
    signs = len(text_match.UNSPACED.findall(text))
    return len(text_match.UNSPACED.sub(" ", text).split()) + signs / 2 if signs else len(text.split())


def _foreign(references: Sequence[str]) -> dict[str, set[str]]:
    """The scores that cannot read the script of most letters, by the reason in words."""
    letters = [character for reference in references for character in reference if character.isalpha()]
    found: dict[str, set[str]] = {}
    if sum(character.isascii() for character in letters) < len(letters) / 2:
        found["ROUGE is left out, since it counts only words in Latin letters"] = set(ROUGE)
    if sum(text_match.UNSPACED.match(character) is not None for character in letters) > len(letters) / 2:
        found["BLEU is left out, since it finds words by their spaces"] = {"bleu"}
    return found
