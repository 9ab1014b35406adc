"""Two answers to one question and which of them is better, as studies of preference publish them."""

from collections.abc import Mapping
from typing import Any

from ..errors import DataError, TieError
from ..untrusted import quote
from .text import parsed

STEMS = ("response", "answer", "completion", "output", "conversation", "chat", "reply", "summary", "model_output")
MARKS = (("_1", "_2"), ("_a", "_b"), ("_0", "_1"), ("1", "2"), ("_first", "_second"))
ANSWERS = (
    *((f"{stem}{one}", f"{stem}{two}") for one, two in MARKS for stem in STEMS),
    ("human_ref_a", "human_ref_b"),
)
STARTS = frozenset(one for one, _ in ANSWERS)
SIGNED = ("overall_preference", "preference_strength")  # below zero: the first one is better, by so much
CHOICES = (
    *("preference", "preferred", *SIGNED, "winner", "better_response_id", "safer_response_id", "choice", "chosen"),
    *("preferred_response", "preferred_answer", "better_response", "better_answer", "human_preference", "labels"),
)
ONE_HOT = ("winner_model_a", "winner_model_b", "winner_tie")
SCORES = ("score_0", "score_1")
TIES = ("both", "neither", "draw", "equal", "same", "none", "bothbad", "both_bad", "both_good")
ORDER = {"first": 0, "second": 1, "left": 0, "right": 1}


def find_comparison(names: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]] | None:
    """The fields of both answers and those that say which is better, by plain name; None for other records."""
    if STARTS.isdisjoint(names):
        return None
    pair = next((pair for pair in ANSWERS if pair[0] in names and pair[1] in names), None)
    if pair is None:
        return None
    choice = next((name for name in CHOICES if name in names), None)
    if choice is not None:
        return *pair, (choice,)
    several = next((fields for fields in (ONE_HOT, SCORES) if all(name in names for name in fields)), None)
    return None if several is None else (*pair, several)


def second_is_better(answers: tuple[str, str], said: Mapping[str, Any]) -> bool:
    """Which of two answers was preferred.

    Args:
        answers: The plain names of their fields.
        said: What the fields say that tell it, by plain name.

    Raises:
        TieError: Neither was.
        DataError: It cannot be told.
    """
    if len(said) > 1:  # a number for each answer
        one, other = [_number(value) or 0.0 for value in said.values()][:2]
        if one == other:
            raise _tie(*next(iter(said.items())))
        return other > one
    [(field, value)] = said.items()
    number = _number(value)
    if field in SIGNED and number is not None:
        if number == 0:
            raise _tie(field, value)
        return number > 0
    place = _place(answers, field, value, number)
    if place is None:
        problem = f"{quote(field)} says {quote(str(value), 40)}, which names neither of the two answers"
        if number == 0:
            problem += "; if 0 means the first one, rows with 1 are read the wrong way round"
        raise DataError(problem, "Write the name of the better answer's field there.")
    return bool(place)


def _place(answers: tuple[str, str], field: str, value: Any, number: float | None) -> int | None:
    """0 for the first answer, 1 for the second; None when it is neither."""
    ends = [name.rpartition("_")[2] for name in answers]
    ends = [end[-1] if end[-1].isdecimal() else end for end in ends]
    if number is not None:
        if answers[0].startswith("human_ref"):
            ends = ["1", "0"]  # there the label says whether the first one is better
        return ends.index(f"{number:g}") if f"{number:g}" in ends else None
    word = "_".join(str(value).strip().lower().replace("(", " ").replace(")", " ").replace("-", " ").split())
    if word.startswith("tie") or word in TIES:
        raise _tie(field, value)
    if word in answers:
        return answers.index(word)
    last = word.rpartition("_")[2]
    if last in ends:
        return ends.index(last)
    return ORDER.get(word)


def _number(value: Any) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _tie(field: str, value: Any) -> TieError:
    problem = f"Neither answer is better: {quote(field)} says {quote(str(value), 40)}."
    return TieError(problem, "Leave such rows out: a pair needs a better and a worse answer.")


def talk(questions: Any, answers: Any) -> list[dict[str, str]] | None:
    """The turns of questions and answers that are lists of one length; None for other values."""
    asked, said = (parsed(value) if isinstance(value, str) else value for value in (questions, answers))
    if not isinstance(asked, list) or not isinstance(said, list) or len(asked) != len(said) or not asked:
        return None
    if not all(isinstance(text, str) for text in (*asked, *said)):
        return None
    return [
        turn
        for one, other in zip(asked, said, strict=True)
        for turn in ({"role": "user", "content": one}, {"role": "assistant", "content": other})
    ]
