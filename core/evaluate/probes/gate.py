"""What the model could do before and can do now: a non-inferiority gate over built-in questions and benchmarks.

A capability is kept when the whole 95% interval of its difference lies above minus the margin (ICH E9, section 3.3.2:
the lower end of a two-sided 95% interval), not when a loss happens not to be significant: few questions prove nothing.
"""

from collections import Counter
from collections.abc import Sequence

from ..comparison import ALPHA, SHARE, Array, compare, rows_of
from ..measured import Measured
from ..result import RegressionRow, ScoreRow
from .items import CAPABILITIES
from .questions import ProbeAnswer

CHANCE = 0.25  # four answers each
TOGETHER = "all built-in questions"


def rows(
    base: Measured, finetuned: Measured | None, benchmarks: Sequence[ScoreRow], margin: float
) -> tuple[RegressionRow, ...]:
    """The probes together and by capability, then the benchmarks that count right answers."""
    after = finetuned.probes if finetuned else ()
    counting = [row for row in benchmarks if row.higher_is_better and row.base is not None and 0 <= row.base <= 1]
    metrics = Counter(row.name for row in counting)
    return (
        _probed(TOGETHER, base.probes, after, margin),
        *(_probed(name, _of(name, base.probes), _of(name, after), margin) for name in CAPABILITIES),
        *(
            _gated(
                RegressionRow(
                    capability=row.name if metrics[row.name] == 1 else f"{row.name} ({row.metric})",
                    base=row.base,
                    finetuned=row.finetuned,
                    delta=row.delta,
                    ci95=row.ci95,
                    n=row.n,
                    evidence=f"benchmark, {row.metric}" + _without_interval(row),
                ),
                margin,
            )
            for row in counting
        ),
    )


def _without_interval(row: ScoreRow) -> str:
    return "; its items give no interval" if row.delta is not None and not row.ci95 else ""


def _of(capability: str, answers: Sequence[ProbeAnswer]) -> list[ProbeAnswer]:
    return [answer for answer in answers if answer.capability == capability]


def _probed(
    capability: str, before: Sequence[ProbeAnswer], after: Sequence[ProbeAnswer], margin: float
) -> RegressionRow:
    from scipy.stats import binomtest

    right = sum(answer.right for answer in before)
    evidence = f"{right} of {len(before)} built-in questions right"
    if after:
        evidence += f", then {sum(answer.right for answer in after)}"
    evidence += _probabilities(before, after)
    found = compare(SHARE, _right(before), _right(after) if after else None, seed=0)
    row = RegressionRow(
        capability=capability,
        base=found.base,
        finetuned=found.finetuned,
        delta=found.delta,
        ci95=found.ci95,
        n=found.n,
        evidence=evidence,
    )
    guessing = binomtest(right, len(before), CHANCE, alternative="greater").pvalue >= ALPHA
    if guessing:
        more = "; the base hardly beats guessing, so there is little to lose"
        return row.model_copy(update={"status": "open" if after else None, "evidence": evidence + more})
    return _gated(row, margin)


def _right(answers: Sequence[ProbeAnswer]) -> Array:
    return rows_of([float(answer.right) for answer in answers])


def _gated(row: RegressionRow, margin: float) -> RegressionRow:
    if row.delta is None:
        return row
    if row.delta < -margin - 1e-9:
        return row.model_copy(update={"status": "warn"})
    kept = row.ci95 is not None and row.ci95.low > -margin
    return row.model_copy(update={"status": "ok" if kept else "open"})


def _probabilities(before: Sequence[ProbeAnswer], after: Sequence[ProbeAnswer]) -> str:
    """The mean probability of the right answers in words; nothing of models that do not tell it."""
    sides = [[answer.probability for answer in side if answer.probability is not None] for side in (before, after)]
    means = [f"{sum(side) / len(side):.2f}" for side in sides if side]
    return f"; probability of the right answer {', then '.join(means)}" if means else ""
