"""What each item brought to each score, kept in the run folder so that several runs can be compared item by item."""

import hashlib
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import files
from ..schema import Model
from .scoring.scores import find

if TYPE_CHECKING:  # both import torch, as scored does, and runs are compared where it is not loaded
    from .measured import Measured
    from .subject import Subject

ITEMS = "items.json"  # in the run folder
HELD_OUT = "held-out rows"
Rows = tuple[tuple[float, ...], ...]


class ScoreItems(Model):
    """One score's item rows, as `comparison` takes them."""

    name: str
    """Data or benchmark."""
    metric: str
    kind: Literal["perplexity", "text", "benchmark"]
    higher_is_better: bool
    keys: tuple[str, ...]
    """What names each item: a digest of prompt, as the model got it, and reference; a benchmark's own name of it."""
    base: Rows
    finetuned: Rows


class Items(Model):
    """items.json."""

    scores: tuple[ScoreItems, ...]


def collect(subject: "Subject", base: "Measured", finetuned: "Measured") -> Items:
    """The items of an evaluation of both models."""
    keys = [_key(p, r) for p, r in zip(subject.prompts, subject.references, strict=True)]
    parts = (
        _likelihood(keys[: len(subject.examples)], base, finetuned),
        _texts(keys, subject, base, finetuned),
        _benchmarks(base, finetuned),
    )
    return Items(scores=tuple(score for part in parts for score in part))


def write(run_dir: Path, items: Items) -> None:
    """Keep them in the run folder."""
    files.write_text(run_dir / ITEMS, items.model_dump_json() + "\n")


def _key(prompt: str, reference: str) -> str:
    return hashlib.sha256(f"{prompt}\0{reference}".encode()).hexdigest()[:16]


def _likelihood(keys: Sequence[str], base: "Measured", finetuned: "Measured") -> Iterator[ScoreItems]:
    if not base.likelihoods or not all(item.finite for item in (*base.likelihoods, *finetuned.likelihoods)):
        return
    sums = attrgetter("answer_nll", "answer_tokens")
    yield ScoreItems(
        name=HELD_OUT,
        metric="perplexity",
        kind="perplexity",
        higher_is_better=False,
        keys=tuple(keys),
        base=tuple(map(sums, base.likelihoods)),
        finetuned=tuple(map(sums, finetuned.likelihoods)),
    )


def _texts(keys: Sequence[str], subject: "Subject", base: "Measured", finetuned: "Measured") -> Iterator[ScoreItems]:
    from . import scored

    for name in subject.choice.scores:
        score = find(name)
        yield ScoreItems(
            name=HELD_OUT,
            metric=name,
            kind="text",
            higher_is_better=score.statistic.higher_is_better,
            keys=tuple(keys[subject.asked[place]] for place in scored.places(subject, score)),
            base=_plain(scored.item_rows(subject, score, base)),
            finetuned=_plain(scored.item_rows(subject, score, finetuned)),
        )


def _benchmarks(base: "Measured", finetuned: "Measured") -> Iterator[ScoreItems]:
    others = {(score.task, score.metric): score for score in finetuned.benchmarks}
    for score in base.benchmarks:
        other = others.get((score.task, score.metric))
        if other is None or not score.items or other.items.keys() != score.items.keys():
            continue
        yield ScoreItems(
            name=score.task,
            metric=score.metric,
            kind="benchmark",
            higher_is_better=score.higher_is_better,
            keys=tuple(score.items),
            base=tuple((float(value), 1.0) for value in score.items.values()),
            finetuned=tuple((float(other.items[key]), 1.0) for key in score.items),
        )


def _plain(rows: Any) -> Rows:
    return tuple(map(tuple, rows.tolist()))
