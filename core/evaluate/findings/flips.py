"""Which rows only one of the models got right."""

from collections.abc import Iterator, Sequence

from .. import scored
from ..measured import Measured
from ..result import Flip, Sample
from ..scoring.scores import find
from ..subject import Subject

ORDER: tuple[Flip, ...] = ("lost", "gained")  # what got worse is read first


def flips(subject: Subject, base: Measured, finetuned: Measured | None) -> list[Flip | None]:
    """For each row that was answered; by `deciding` scores, None for rows that are not of them."""
    found: list[Flip | None] = [None] * len(subject.asked)
    if finetuned is None:
        return found
    for name in deciding([name for name in subject.choice.scores if find(name).statistic.binary]):
        score = find(name)
        right = float(score.statistic.higher_is_better)
        before, after = (scored.item_rows(subject, score, one)[:, 0] == right for one in (base, finetuned))
        for place, was, now in zip(scored.places(subject, score), before.tolist(), after.tolist(), strict=True):
            found[place] = _flip(was, now)
    return found


def deciding(binary: Sequence[str]) -> tuple[str, ...]:
    """Of the scores that are right or wrong those that say it of rows: the first, and of rows without calls their own.

    Both are of different rows, so that a row flips once.
    """
    own = [name for name in binary[1:] if name == "tool_overcall"] if binary[:1] == ["tool_match"] else []
    return (*binary[:1], *own)


def _flip(was_right: bool, is_right: bool) -> Flip | None:
    if was_right == is_right:
        return None
    return "gained" if is_right else "lost"


def chosen(samples: Sequence[Sample], most: int, drawn: Sequence[int] = ()) -> Iterator[Sample]:
    """The first rows that were lost, then the first that were gained, at most so many of each.

    Rows that are shown already, as drawn, are taken last.
    """
    for kind in ORDER:
        places = [place for place, sample in enumerate(samples) if sample.flip == kind]
        yield from (samples[place] for place in sorted(places, key=lambda place: place in drawn)[:most])
