"""From what both models did, item by item, to the result's tables."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import scored
from .comparison import PERPLEXITY, Comparison, Flips, Statistic, compare, corrected, judge, rows_of, statistic_of
from .measured import Measured
from .probes import gate
from .request import EvaluateRequest
from .result import Generations, Likelihood, ScoreRow
from .scoring.scores import find
from .subject import Subject

LOSS = replace(PERPLEXITY, value=lambda sums: sums[..., 0] / sums[..., 1])
BITS = replace(PERPLEXITY, value=lambda sums: sums[..., 0] / sums[..., 1] / math.log(2))
"""Of rows (negative log likelihood, bytes)."""


def fill(subject: Subject, base: Measured, finetuned: Measured | None, request: EvaluateRequest) -> dict[str, Any]:
    """The result's measured fields."""
    scores = _score_rows(subject, base, finetuned, request)
    benchmarks = _benchmark_rows(base, finetuned, request.seed)
    fields: dict[str, Any] = {
        "scores": scores,
        "benchmarks": benchmarks,
        "regression": gate.rows(base, finetuned, benchmarks, request.regression_margin),
        "generation_base": _generations(base),
        "generation_finetuned": _generations(finetuned) if finetuned else None,
    }
    if base.likelihoods:  # a hosted model tells none
        fields |= _likelihoods(subject, base, finetuned, request)
    return fields


def _likelihoods(
    subject: Subject, base: Measured, finetuned: Measured | None, request: EvaluateRequest
) -> dict[str, Likelihood]:
    wanted, seed = ("perplexity", "loss") if request.metrics is None else request.metrics, request.seed
    answer_tokens = [item.answer_tokens for item in base.likelihoods]
    all_tokens = [item.all_tokens for item in base.likelihoods]
    answers, everything = (
        [None if one is None else [getattr(item, nll) for item in one.likelihoods] for one in (base, finetuned)]
        for nll in ("answer_nll", "all_nll")
    )
    fields: dict[str, Likelihood] = {}
    if "perplexity" in wanted:
        fields["perplexity"] = _likelihood(PERPLEXITY, answers, answer_tokens, answer_tokens, seed)
        fields["perplexity_all_tokens"] = _likelihood(PERPLEXITY, everything, all_tokens, all_tokens, seed)
    if "loss" in wanted:
        fields["loss"] = _likelihood(LOSS, answers, answer_tokens, answer_tokens, seed)
    if fields and sum(subject.answer_bytes):
        fields["bits_per_byte"] = _likelihood(BITS, answers, subject.answer_bytes, answer_tokens, seed)
    return fields


def _likelihood(
    statistic: Statistic,
    nll: Sequence[Sequence[float] | None],
    sizes: Sequence[int],
    tokens: Sequence[int],
    seed: int,
) -> Likelihood:
    """One measure of both models.

    Args:
        statistic: Of rows (negative log likelihood, size).
        nll: The base's by item; the fine-tuned model's or None.
        sizes: What each item's sum is shared out over.
        tokens: Predicted tokens of each item.
        seed: Of the resampling.
    """
    rows, others = (None if one is None else np.stack([one, sizes], axis=1).astype(np.float64) for one in nll)
    assert rows is not None
    n, total = len(rows), sum(tokens)
    if others is not None and not np.isfinite(others).all():  # told by the check "finite"; the base still counts
        others = None
    if not np.isfinite(rows).all():
        return Likelihood(base=None, n=n, tokens=total)
    found = compare(statistic, rows, others, seed)
    return Likelihood(
        base=_finite(found.base),
        base_ci95=found.base_ci95,
        finetuned=_finite(found.finetuned),
        change_percent=_finite(found.delta),
        ci95=found.ci95,
        p_value=found.p_value,
        detectable=found.detectable,
        n=n,
        tokens=total,
        verdict=None if found.p_value is None else judge(found, found.p_value, higher_is_better=False),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _score_rows(
    subject: Subject, base: Measured, finetuned: Measured | None, request: EvaluateRequest
) -> tuple[ScoreRow, ...]:
    found = []
    for name in subject.choice.scores:
        score = find(name)
        rows = scored.item_rows(subject, score, base)
        others = scored.item_rows(subject, score, finetuned) if finetuned else None
        found.append((name, score.statistic.higher_is_better, compare(score.statistic, rows, others, request.seed)))
    return _judged("held-out rows", found)


def _judged(name: str, found: list[tuple[str, bool, Comparison]]) -> tuple[ScoreRow, ...]:
    """Rows with verdicts; p-values corrected for the number of comparisons that can prove anything."""
    rows = []
    for (metric, higher, comparison), p_value in zip(found, corrected([one for *_, one in found]), strict=True):
        verdict = None if comparison.p_value is None else judge(comparison, p_value, higher)
        flips = comparison.flips
        if flips and not higher:  # 1 is then the wrong one
            flips = Flips(gained=flips.lost, lost=flips.gained)
        rows.append(
            ScoreRow(
                name=name,
                metric=metric,
                base=_finite(comparison.base),
                base_ci95=comparison.base_ci95,
                finetuned=_finite(comparison.finetuned),
                delta=_finite(comparison.delta),
                ci95=comparison.ci95,
                p_value=comparison.p_value,
                detectable=comparison.detectable,
                gained=flips and flips.gained,
                lost=flips and flips.lost,
                n=comparison.n,
                verdict=verdict,
                higher_is_better=higher,
            )
        )
    return tuple(rows)


def _benchmark_rows(base: Measured, finetuned: Measured | None, seed: int) -> tuple[ScoreRow, ...]:
    found, names = [], []
    others = {(score.task, score.metric): score for score in finetuned.benchmarks} if finetuned else {}
    for score in base.benchmarks:
        other = others.get((score.task, score.metric))
        names.append(score.task)
        if score.items and (other is None or other.items.keys() == score.items.keys()):
            rows = rows_of(list(score.items.values()))
            theirs = rows_of([other.items[key] for key in score.items]) if other else None
            statistic = statistic_of(rows) if theirs is None else statistic_of(rows, theirs)
            comparison = compare(statistic, rows, theirs, seed)
        else:  # the metric is no mean of its items: its values stand, without a test
            value, theirs_value = score.value, other.value if other else None
            delta = theirs_value - value if value is not None and theirs_value is not None else None
            comparison = Comparison(
                n=score.n, base=value if value is not None else math.nan, finetuned=theirs_value, delta=delta
            )
        found.append((score.metric, score.higher_is_better, comparison))
    return tuple(row.model_copy(update={"name": name}) for name, row in zip(names, _judged("", found), strict=True))


def _generations(one: Measured) -> Generations | None:
    if not one.answers:
        return None
    return Generations(
        answers=len(one.answers),
        cut=sum(not answer.stopped for answer in one.answers),
        refused=sum(answer.refused for answer in one.answers),
        empty=sum(not answer.text.strip() for answer in one.answers),
        mean_tokens=round(sum(answer.tokens for answer in one.answers) / len(one.answers), 1),
    )
