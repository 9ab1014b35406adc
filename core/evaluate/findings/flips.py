"""Which rows only one of the models got right."""

from collections.abc import Iterator, Sequence

from .. import scored
from ..measured import Measured
from ..result import Flip, Sample
from ..scoring.scores import find
from ..subject import Subject

ORDER: tuple[Flip, ...] = ("lost", "gained")  # what got worse is read first


def flips(subject: Subject, base: Measured, finetuned: Measured | None) -> list[Flip | None]:
    """For each row that was answered; by the first score that is right or wrong, None for rows that are not of it."""
    found: list[Flip | None] = [None] * len(subject.asked)
    score = next((one for one in map(find, subject.choice.scores) if one.statistic.binary), None)
    if score is None or finetuned is None:
        return found
    right = float(score.statistic.higher_is_better)
    before, after = (scored.item_rows(subject, score, one)[:, 0] == right for one in (base, finetuned))
    for place, was, now in zip(scored.places(subject, score), before.tolist(), after.tolist(), strict=True):
        found[place] = _flip(was, now)
    return found


def _flip(was_right: bool, is_right: bool) -> Flip | None:
    if was_right == is_right:
        return None
    return "gained" if is_right else "lost"


def chosen(samples: Sequence[Sample], most: int) -> Iterator[Sample]:
    """The first rows that were lost, then the first that were gained, at most so many of each."""
    for kind in ORDER:
        yield from [sample for sample in samples if sample.flip == kind][:most]
