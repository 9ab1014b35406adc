"""Two answers to one question and which of them is better, as studies of preference publish them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..errors import DataError, TieError
from ..untrusted import quote
from .field_names import plain
from .text import parsed

STEMS = ("response", "answer", "completion", "output", "conversation", "chat", "reply", "summary", "model_output")
# Where all of _0, _1 and _2 are there, counting begins with the first.
MARKS = (("_0", "_1"), ("_1", "_2"), ("_a", "_b"), ("1", "2"), ("_first", "_second"))
REFERENCES = ("human_ref_a", "human_ref_b")
ANSWERS: tuple[tuple[str, str], ...] = (
    *((f"{stem}{one}", f"{stem}{two}") for one, two in MARKS for stem in STEMS),
    REFERENCES,
)
STARTS = frozenset(one for one, _ in ANSWERS)
SIGNED = ("overall_preference", "preference_strength")  # below zero: the first one is better, by so much
CHOICES = (
    *("preference", "preferred", *SIGNED, "winner", "better_response_id", "safer_response_id", "choice", "chosen"),
    *("preferred_response", "preferred_answer", "better_response", "better_answer", "human_preference"),
)
LABELS = "labels"  # beside REFERENCES alone: elsewhere these are classes
ONE_HOT = ("winner_model_a", "winner_model_b", "winner_tie")
SCORES = ("score_0", "score_1")
TIES = ("both", "neither", "draw", "equal", "same", "none", "bothbad", "both_bad", "both_good")
ORDER = {"first": 0, "second": 1, "left": 0, "right": 1}


class Comparison(NamedTuple):
    """Where a record keeps its two answers, by plain names of fields."""

    answers: tuple[str, str]

    better: tuple[str, ...]
    """What says which is better: one field, or a number for each answer."""


def find_comparison(names: Mapping[str, str]) -> Comparison | None:
    """The fields of both answers and those that say which is better; None for other records."""
    if STARTS.isdisjoint(names):
        return None
    pair = next((pair for pair in ANSWERS if pair[0] in names and pair[1] in names), None)
    if pair is None:
        return None
    choices = (*CHOICES, LABELS) if pair == REFERENCES else CHOICES
    choice = next((name for name in choices if name in names), None)
    if choice is not None:
        return Comparison(pair, (choice,))
    several = next((fields for fields in (ONE_HOT, SCORES) if all(name in names for name in fields)), None)
    return None if several is None else Comparison(pair, several)


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
        raise DataError(problem, "Write the name of the better answer's field there.")
    return bool(place)


def _place(answers: tuple[str, str], field: str, value: Any, number: float | None) -> int | None:
    """0 for the first answer, 1 for the second; None when it is neither."""
    ends = _ends(answers)
    if number is not None:
        if answers == REFERENCES:
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


def _ends(answers: tuple[str, str]) -> list[str]:
    """What tells the two names apart: `1` and `2`, `a` and `b`."""
    ends = [name.rpartition("_")[2] for name in answers]
    return [end[-1] if end[-1].isdecimal() else end for end in ends]


class Numbered(NamedTuple):
    """A choice between answers 1 and 2 that is written as a number: it may be counted from 0 all the same."""

    field: str
    number: str


def numbered_choice(record: Mapping[str, Any]) -> Numbered | None:
    """The choice of a comparison that can be trusted only once others are seen; see `why_unsure`."""
    names = {plain(field): field for field, value in record.items() if value is not None}
    found = find_comparison(names)
    if found is None or len(found.better) != 1 or _ends(found.answers) != ["1", "2"]:
        return None
    [name] = found.better
    number = _number(record[names[name]])
    return None if number is None or name in SIGNED else Numbered(names[name], f"{number:g}")


def why_unsure(seen: Iterable[Numbered]) -> str | None:
    """Why the choices of one file do not tell which answer is the better one; None when they do.

    Answers 1 and 2 may be chosen by 1 and 2, or by 0 and 1: as long as no row says 2, a 1 may mean either.
    """
    numbers: dict[str, set[str]] = {}
    for field, number in seen:
        numbers.setdefault(field, set()).add(number)
    for field, said in numbers.items():
        if said & {"0", "1"} and "2" not in said:
            listed = " and ".join(sorted(said & {"0", "1"}))
            return f"{quote(field)} says {listed}, never 2: whether 1 is the first answer or the second cannot be told"
    return None


UNSURE_NEXT_STEP = "Write the name of the better answer's field there, such as response_1, instead of the number."


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
