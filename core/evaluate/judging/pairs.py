"""Pairs of answers for a blind judge: which model wrote which is known to the run folder alone."""

import random
from collections.abc import Sequence
from pathlib import Path

from ... import files
from ...checks import Check
from ...errors import InputError
from ...schema import Model
from ...untrusted import clean
from ..result import Judge, Sample

DOCKET = "judging.json"  # in the run folder; it holds the key
SEEN = 100_000  # characters; beyond them no judge reads


class Pair(Model):
    """The answers of both models to one prompt."""

    prompt: str
    reference: str
    base: str
    finetuned: str


class Showing(Model):
    """One pair as a judge sees it: the answers are called A and B."""

    id: str
    """Its number among the showings; it tells nothing about the pair."""
    pair: int
    finetuned_first: bool
    """Whether A is the fine-tuned model's."""


class Docket(Model):
    """All that is to be judged, with the key, and what the report holds back until it is judged."""

    judge: Judge
    run_id: str
    page_path: str | None
    """Where the page for people lies."""
    pairs: tuple[Pair, ...]
    same: int
    """Further rows drawn whose two answers are equal: ties that nobody needs to look at."""
    showings: tuple[Showing, ...]
    """Every pair once, in random order and position; then every pair again with A and B exchanged."""
    samples: tuple[Sample, ...]
    """Of the result; while judging goes on they would give the models away."""
    recommendations: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    """Of the result, with the answers that they quote."""

    def answers(self, showing: Showing) -> tuple[str, str]:
        """A and B."""
        pair = self.pairs[showing.pair]
        return (pair.finetuned, pair.base) if showing.finetuned_first else (pair.base, pair.finetuned)

    @property
    def once(self) -> tuple[Showing, ...]:
        """Every pair in its first order alone."""
        return self.showings[: len(self.pairs)]


def draw(samples: Sequence[Sample], count: int, seed: int) -> tuple[tuple[Pair, ...], int]:
    """At most `count` random rows as pairs, and how many of those rows need no judge since both answers are equal."""
    chosen = random.Random(seed).sample(list(samples), min(count, len(samples)))
    pairs = [
        Pair(prompt=one.prompt, reference=one.reference, base=one.base, finetuned=one.finetuned)
        for one in chosen
        if one.finetuned is not None and seen(one.finetuned) != seen(one.base)
    ]
    return tuple(pairs), len(chosen) - len(pairs)


def seen(text: str) -> str:
    """The text as a judge sees it: what cannot be seen makes no difference and adds no length."""
    return clean(text, SEEN).strip()


def show(pairs: Sequence[Pair], seed: int) -> tuple[Showing, ...]:
    """Each pair twice, in both orders, the second time after all others were seen once.

    Half of the first showings have the fine-tuned answer first, so that a taste for a position cannot favour a model.
    """
    generator = random.Random(seed)
    n = len(pairs)
    first = [True] * (n // 2) + [False] * (n - n // 2)
    generator.shuffle(first)
    orders = [generator.sample(range(n), n) for _ in range(2)]
    shown = [(pair, first[pair]) for pair in orders[0]] + [(pair, not first[pair]) for pair in orders[1]]
    return tuple(
        Showing(id=str(number), pair=pair, finetuned_first=tuned) for number, (pair, tuned) in enumerate(shown, start=1)
    )


def read_docket(run_dir: Path) -> Docket:
    """What the evaluation in this folder left to judge.

    Raises:
        InputError: It was not asked to leave anything.
    """
    try:
        return Docket.model_validate_json((run_dir / DOCKET).read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"Run {run_dir.name} left no answers to judge.",
            "Call evaluate with finetuned_path and judge: assistant, human or endpoint.",
        ) from None


def write_docket(run_dir: Path, docket: Docket) -> None:
    """Keep it in the run folder."""
    files.write_model(run_dir / DOCKET, docket)
