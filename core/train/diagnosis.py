"""What went less well than it could, read from the course of a training."""

import math
from collections.abc import Sequence
from statistics import fmean, median

from .hyperparameters import Hyperparameters
from .result import Diagnosis, Metric

MIN_LINES = 4  # fewer lines say nothing about a trend
FLAT = 0.02  # a loss that falls by less than this share has not fallen
WORSE = 1.02  # of the lowest validation loss; above it the rest was overfitting
UNMOVED = 1e-3  # of the validation loss; within it no learning is seen, neither good nor bad
FROZEN = 0.01  # of the asked learning rate; when it never gets there, next to nothing is learned
NO_RATE = 1e-9  # a step this long is lost in the rounding of float32 weights
EXPLOSION = 10.0  # times the median gradient
UNSTABLE = 10.0  # a gradient norm above this is unhealthy on its own (Axolotl's agent docs: healthy is 0.1 to 10)


def diagnose(metrics: Sequence[Metric], numbers: Hyperparameters) -> tuple[Diagnosis, ...]:
    """The symptoms that the course of a training shows, also while it runs, gravest first."""
    found = (
        _no_gradient(metrics),
        _frozen_rate(metrics, numbers.learning_rate or 0.0),
        _worse_than_base(metrics),
        _exploding(metrics),
        _flat(metrics),
        _overfitting(metrics),
    )
    return tuple(one for one in found if one is not None)


def unmoved(step: int) -> Diagnosis:
    """The training changes nothing."""
    return Diagnosis(
        symptom="The weights do not change",
        cause="learning rate of next to nothing, no gradient, or trained layers that the model does not use",
        next_step="Raise the learning rate, check target_modules.",
        evidence=f"After {step} steps the trained weights are exactly what they were before.",
    )


def _validation(metrics: Sequence[Metric]) -> list[tuple[int, float]]:
    return [(metric.step, metric.val_loss) for metric in metrics if metric.val_loss is not None]


def _no_gradient(metrics: Sequence[Metric]) -> Diagnosis | None:
    norms = [metric.grad_norm for metric in metrics if metric.grad_norm is not None]
    if len(norms) < MIN_LINES or any(norms):
        return None
    return Diagnosis(
        symptom="No gradient",
        cause="the trained layers have no part in the loss, or the loss mask trains nothing",
        next_step="Check target_modules, and which tokens are trained.",
        evidence=f"The gradient's norm was exactly 0 in all {len(norms)} lines of metrics.",
    )


def _frozen_rate(metrics: Sequence[Metric], asked: float) -> Diagnosis | None:
    rates = [metric.learning_rate for metric in metrics if metric.learning_rate is not None]
    if not rates:
        return None
    highest = max(rates)
    if highest >= max(FROZEN * asked, NO_RATE) or (highest > 0 and len(rates) < MIN_LINES):
        return None
    return Diagnosis(
        symptom="Frozen learning rate",
        cause="warm-up longer than the training, or a learning rate of next to nothing",
        next_step="Lower warmup_ratio, raise learning_rate or the number of steps.",
        evidence=f"The learning rate was at most {highest:.2g} up to step {metrics[-1].step}; asked: {asked:.2g}.",
    )


def _worse_than_base(metrics: Sequence[Metric]) -> Diagnosis | None:
    measured = _validation(metrics)
    if len(measured) < 2 or measured[0][0] != 0:
        return None
    before, best = measured[0][1], min(loss for _, loss in measured[1:])
    if best < before:
        return None
    moved = abs(best - before) > UNMOVED * before
    return Diagnosis(
        symptom="The model is no better than before",
        cause="learning rate too high, or validation rows of another kind than the training rows"
        if moved
        else "next to nothing was learned: too few steps, or a learning rate that is too low",
        next_step="Lower the learning rate; check that both files hold the same task."
        if moved
        else "Take more steps or a higher learning rate; see the checks of both.",
        evidence=f"Validation loss {before:.3f} before training, at best {best:.3f} after.",
    )


def _exploding(metrics: Sequence[Metric]) -> Diagnosis | None:
    norms = [(metric.step, metric.grad_norm) for metric in metrics if metric.grad_norm is not None]
    if len(norms) < MIN_LINES:
        return None
    usual = median(norm for _, norm in norms)
    step, highest = max(norms, key=lambda pair: pair[1])
    if highest < EXPLOSION * usual or highest < UNSTABLE:
        return None
    return Diagnosis(
        symptom="The gradient exploded",
        cause="learning rate too high, or a row unlike the others",
        next_step="Lower the learning rate, check data quality.",
        evidence=f"Gradient norm {highest:.1f} at step {step}, usually {usual:.2f}.",
    )


def _flat(metrics: Sequence[Metric]) -> Diagnosis | None:
    losses = [metric.train_loss for metric in metrics if metric.train_loss is not None]
    if len(losses) < MIN_LINES:
        return None
    part = max(1, len(losses) // 4)
    first, last = fmean(losses[:part]), fmean(losses[-part:])
    if last < first * (1 - FLAT) or math.isclose(first, 0.0, abs_tol=0.05):
        return None
    return Diagnosis(
        symptom="Loss not decreasing",
        cause="learning rate too low, too few steps, or data issues",
        next_step="Raise the learning rate (three to five times), verify the data.",
        evidence=f"Training loss {first:.3f} in the first quarter, {last:.3f} in the last.",
    )


def _overfitting(metrics: Sequence[Metric]) -> Diagnosis | None:
    measured = _validation(metrics)
    if len(measured) < 3:
        return None
    best_step, best = min(measured, key=lambda pair: pair[1])
    last_step, last = measured[-1]
    if last < best * WORSE or best_step == 0:
        return None
    return Diagnosis(
        symptom="Overfitting",
        cause="too many epochs for this much data",
        next_step="Fewer epochs, or more data; the result has the weights of the best checkpoint.",
        evidence=f"Validation loss was lowest at step {best_step} ({best:.3f}) and {last:.3f} at step {last_step}.",
    )
