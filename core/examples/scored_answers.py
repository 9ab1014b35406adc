"""Several answers to one question with a score each, as the pair of the best and the worst of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ..errors import TieError
from .transcripts import transcript

FIELDS = frozenset({"completions", "ratings", "answers"})
TEXTS = ("response", "completion", "generation", "answer", "text", "content")
LISTS = ("completions", "generations", "answers")
SCORES = ("overall_score", "score", "rating")


def read_scored(record: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]] | None:
    """The plain record: the best answer as `chosen`, the worst as `rejected`, and all of them with their scores beside.

    None where answers are not scored.

    Known are objects with a score each (UltraFeedback) or a rank (Nectar's `answers`, 1 the best), and texts with a
    list of ratings beside them (distilabel).

    Raises:
        TieError: All answers have one score.
    """
    field = next((field for field in LISTS if isinstance(record.get(field), list)), None)
    if field is None or "chosen" in record:
        return None
    answers = list(_answers(record, field))
    if len(answers) < 2 or len(answers) != len(record[field]):
        return None
    best = max(answers, key=lambda answer: answer[0])
    worst = min(answers, key=lambda answer: answer[0])
    if best[0] == worst[0]:
        problem = f"Neither answer is better: all have the score {abs(best[0]):g}."
        raise TieError(problem, "Leave such rows out: a pair needs a better and a worse answer.")
    return {**record, **_prompt(record), "chosen": best[1], "rejected": worst[1]}, Counter()


def _prompt(record: Mapping[str, Any]) -> dict[str, Any]:
    """The prompt as turns where it is a transcript that ends where the answer begins."""
    prompt = record.get("prompt")
    turns = transcript(prompt.rstrip() + " ") if isinstance(prompt, str) else None
    if turns is None or turns[-1]["value"].strip() or turns[-1]["from"] != "assistant":
        return {}
    return {"prompt": [{"role": turn["from"], "content": turn["value"].strip()} for turn in turns[:-1]]}


def _answers(record: Mapping[str, Any], field: str) -> Iterator[tuple[float, str]]:
    """Score and text of each answer, as far as it has both; the higher the better."""
    ratings = record.get("ratings")
    if field == "answers":  # elsewhere these are all right, whatever their scores
        return _scored(record[field], ("rank",), best=-1)
    return _rated(record[field], ratings) if isinstance(ratings, list) else _scored(record[field], SCORES, best=1)


def _rated(texts: list[Any], ratings: list[Any]) -> Iterator[tuple[float, str]]:
    if len(texts) == len(ratings):
        for text, rating in zip(texts, ratings, strict=True):
            score = _number(rating)
            if isinstance(text, str) and score is not None:
                yield score, text


def _scored(answers: list[Any], scores: tuple[str, ...], best: Literal[1, -1]) -> Iterator[tuple[float, str]]:
    for answer in answers:
        if isinstance(answer, Mapping):
            text = next((answer[name] for name in TEXTS if isinstance(answer.get(name), str)), None)
            score = next((found for name in scores if (found := _number(answer.get(name))) is not None), None)
            if text is not None and score is not None:
                yield best * score, text


def _number(value: Any) -> float | None:
    """A score; those of JSON that are no int are not read as floats, so that none loses a digit."""
    try:
        return None if value is None or isinstance(value, bool) else float(str(value))
    except ValueError:
        return None
