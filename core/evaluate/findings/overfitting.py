"""Whether what the fine-tuned model learned holds beyond the rows that it was trained on."""

import numpy as np

from ...checks import Check
from ..comparison import ALPHA, RESAMPLES
from ..measured import Measured
from ..result import Interval, TrainingFit

MIN_ROWS = 10
MATERIAL = 0.05  # of the base's loss on training rows; a smaller fall is little to know by heart
CARRIES_OVER = 0.5  # of the fall of the loss on training rows; less than that was learned by heart


def fit(base: Measured, finetuned: Measured | None, seed: int) -> TrainingFit | None:
    """The loss of both models on both kinds of rows, and how much more of it the training rows lost.

    The interval is the percentile bootstrap over the rows of each kind, which takes two rows of each. None when
    training rows were not measured.
    """
    if finetuned is None or not base.training:
        return None
    if not all(item.finite for one in (base, finetuned) for item in (*one.training, *one.likelihoods)):
        return None
    seen, unseen = (
        np.asarray([(a.answer_nll, b.answer_nll, a.answer_tokens) for a, b in zip(before, after, strict=True)])
        for before, after in ((base.training, finetuned.training), (base.likelihoods, finetuned.likelihoods))
    )
    generator = np.random.default_rng(seed)
    gaps = [_fall(_resampled(seen, generator)) - _fall(_resampled(unseen, generator)) for _ in range(RESAMPLES // 4)]
    low, high = np.quantile(gaps, [ALPHA / 2, 1 - ALPHA / 2])
    losses = [float(rows[:, side].sum() / rows[:, 2].sum()) for rows in (seen, unseen) for side in (0, 1)]
    return TrainingFit(
        n=len(seen),
        base=losses[0],
        finetuned=losses[1],
        held_out_base=losses[2],
        held_out_finetuned=losses[3],
        gap=_fall(seen) - _fall(unseen),
        ci95=Interval(float(low), float(high)) if min(len(seen), len(unseen)) > 1 else None,
    )


def _resampled(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return rows[generator.integers(0, len(rows), len(rows))]


def _fall(rows: np.ndarray) -> float:
    return float((rows[:, 0] - rows[:, 1]).sum() / rows[:, 2].sum())


def check(found: TrainingFit | None) -> tuple[Check, ...]:
    """Whether enough of the fall on training rows is there on held-out rows, too."""
    if found is None or found.n < MIN_ROWS or found.ci95 is None:
        return ()
    seen, unseen = found.base - found.finetuned, found.held_out_base - found.held_out_finetuned
    details = (
        f"Fine-tuning took the loss of an answer token from {found.base:.3f} to {found.finetuned:.3f} on {found.n} "
        f"training rows and from {found.held_out_base:.3f} to {found.held_out_finetuned:.3f} on held-out rows; the "
        f"fall differs by {found.gap:+.3f} (95% interval {found.ci95.low:+.3f} to {found.ci95.high:+.3f})."
    )
    if seen < MATERIAL * found.base or found.ci95.low <= 0 or unseen >= CARRIES_OVER * seen:
        return (Check(name="overfitting", status="pass", details=details),)
    next_step = "Train fewer epochs, or with a lower learning_rate or rank, or on more and more varied rows."
    return (Check(name="overfitting", status="warn", details=details, next_step=next_step),)
