"""Is the difference between two models on the same items more than chance?

Every score is a function of a sum over items: each item brings a row of numbers (right or wrong; matched n-grams;
a log likelihood and its token count), and the score follows from the column sums. So one bootstrap and one
permutation test, over items and paired between the models, serve every metric.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .result import Interval, Verdict

Contrast = Literal["difference", "percent"]
Array = NDArray[np.float64]

ALPHA = 0.05
POWER = 0.8  # of the smallest detectable difference: Cohen 1988, the usual choice
MIN_ITEMS = 10  # below it even a strong effect seldom reaches ALPHA (exact McNemar needs 6 one-sided flips)
RESAMPLES = 4_000  # the Monte Carlo error of p near ALPHA is then about 0.003
EXACT_ITEMS = 12  # 2^12 swaps are enumerated instead of drawn
CHUNK_CELLS = 4_000_000  # resampling weights held at once: 32 MB


@dataclass(frozen=True)
class Statistic:
    """How a score follows from item rows."""

    value: Callable[[Array], Array]
    """From column sums of shape (..., k) to scores of shape (...)."""
    higher_is_better: bool = True
    binary: bool = False
    """Rows are (0 or 1, 1): then the exact McNemar test applies."""
    contrast: Contrast = "difference"
    """What delta and its interval are: fine-tuned minus base, or the change in per cent of the base."""


@dataclass(frozen=True)
class Flips:
    """How many items only one of the models got right."""

    gained: int
    """Wrong by the base, right by the fine-tuned model."""
    lost: int
    """The reverse."""


@dataclass(frozen=True)
class Comparison:
    """One score of both models; what needs both is None when only the base was measured."""

    n: int
    base: float
    base_ci95: Interval | None = None
    """Of the base where it stands alone."""
    finetuned: float | None = None
    delta: float | None = None
    ci95: Interval | None = None
    p_value: float | None = None
    detectable: float | None = None
    """The smallest true difference that so many items would prove in 4 of 5 tries, in the units of delta."""
    flips: Flips | None = None
    """Of items that are right or wrong; None for graded ones."""


def mean_of(sums: Array) -> Array:
    """The mean behind rows (value, 1)."""
    return sums[..., 0] / sums[..., 1]


MEAN = Statistic(value=mean_of)
SHARE = Statistic(value=mean_of, binary=True)
PERPLEXITY = Statistic(
    value=lambda sums: np.exp(sums[..., 0] / sums[..., 1]), higher_is_better=False, contrast="percent"
)
"""Of rows (negative log likelihood, tokens)."""


def rows_of(values: Sequence[float]) -> Array:
    """Rows (value, 1), one for each item, for MEAN and SHARE."""
    column = np.asarray(values, dtype=np.float64)
    return np.stack([column, np.ones_like(column)], axis=1)


def compare(statistic: Statistic, base: Array, finetuned: Array | None, seed: int) -> Comparison:
    """The score of both models over the same items, their paired difference, its 95% interval and p-value.

    0/1 items: exact McNemar test, interval of Bonett and Price (2012). All others: approximate randomisation
    (Noreen 1989; swapping the models' rows item by item) and the percentile bootstrap over items, with two imaginary
    ones besides where all moved alike. No interval has a width of 0: where none can be told it is None. That of a
    score alone is Wilson's (1927) for 0/1 items, and the percentile bootstrap for all others.

    Args:
        statistic: How the score follows from the rows.
        base: Shape (items, k).
        finetuned: The same items in the same order, or None when only the base was measured.
        seed: Of the resampling; the same seed gives the same numbers.
    """
    score = float(statistic.value(base.sum(axis=0)))
    if finetuned is None:
        return Comparison(n=len(base), base=score, base_ci95=_interval(statistic, base, seed))
    other = float(statistic.value(finetuned.sum(axis=0)))
    delta = float(_contrast(statistic, np.float64(score), np.float64(other)))
    flips = None
    if statistic.binary:
        flips = _flips(base[:, 0], finetuned[:, 0])
        spread, p_value = _binary(flips, len(base))
    else:
        generator = np.random.default_rng(seed)
        spread = _bootstrap(statistic, base, finetuned, generator)
        p_value = _permutation_p(statistic, base, finetuned, generator)
    return Comparison(
        n=len(base), base=score, finetuned=other, delta=delta, ci95=spread and spread.ci95, p_value=p_value,
        detectable=spread and spread.detectable, flips=flips,
    )  # fmt: skip


@dataclass(frozen=True)
class _Spread:
    """How far the difference would scatter over other items of the kind, and what it takes to stand out of that."""

    ci95: Interval
    detectable: float | None


def _needed() -> float:
    """Standard errors that a true difference must have: for ALPHA, two-sided, with POWER."""
    from scipy.stats import norm

    return float(norm.ppf(1 - ALPHA / 2) + norm.ppf(POWER))


def _detectable_share(flips: Flips, n: int) -> float:
    """The difference d for which d = needed * sqrt((noise + d - d^2) / n): power analysis of paired shares.

    Connor 1987 (Biometrics 43). Noise are the flips that go both ways, again with one imaginary item in each cell; the
    true difference comes on top of it as flips of its own.
    """
    noise = 2 * (min(flips.gained, flips.lost) + 1) / (n + 2)
    share = _needed() ** 2 / n
    root = (share + (share**2 + 4 * share * noise * (1 + share)) ** 0.5) / (2 * (1 + share))
    return min(1.0, root + 1 / n)  # the continuity correction, since the test is the exact one


def _flips(base: Array, finetuned: Array) -> Flips:
    return Flips(gained=int(((finetuned == 1) & (base == 0)).sum()), lost=int(((finetuned == 0) & (base == 1)).sum()))


def _contrast(statistic: Statistic, base: Array | np.float64, finetuned: Array | np.float64) -> Array | np.float64:
    if statistic.contrast == "difference":
        return finetuned - base
    return 100 * (finetuned / base - 1)


def _binary(flips: Flips, n: int) -> tuple[_Spread, float]:
    from scipy.stats import binomtest, norm

    won, lost = flips.gained, flips.lost
    p_value = float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0
    # Bonett & Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based on
    # paired data": one imaginary item in each discordant cell, so that equal answers do not give a width of 0
    up, down = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    half = float(norm.ppf(1 - ALPHA / 2)) * ((up + down - (up - down) ** 2) / (n + 2)) ** 0.5
    interval = Interval(max(-1.0, up - down - half), min(1.0, up - down + half))
    return _Spread(interval, _detectable_share(flips, n)), p_value


def _bootstrap(statistic: Statistic, base: Array, finetuned: Array, generator: np.random.Generator) -> _Spread | None:
    """None where nothing is known about other items: there is only one, or both models did the same with each."""
    if len(base) < 2:
        return None
    found = _differences(statistic, base, finetuned, generator)
    if found is not None and _is_point(found):
        # Every resample moves alike, which is no certainty. As for right and wrong items: one imaginary item that
        # moves as the average one does, and one that moves back
        before, after = base.mean(axis=0), finetuned.mean(axis=0)
        base, finetuned = np.vstack([base, before, after]), np.vstack([finetuned, after, before])
        found = _differences(statistic, base, finetuned, generator)
    if found is None or _is_point(found):
        return None
    # Miller 2024 (arXiv 2411.00640), power analysis: with the scatter as it was observed
    percent = statistic.contrast == "percent"
    detectable = _detectable_percent(statistic, base, finetuned) if percent else _needed() * float(found.std())
    return _Spread(_middle(found), detectable)


def _detectable_percent(statistic: Statistic, base: Array, finetuned: Array) -> float:
    """The smallest fall, told from the scatter of the items' own gains.

    Not from that of the percentage, which vanishes as the fine-tuned score nears 0 and explodes as it grows.

    Args:
        statistic: Of rows (value, size), where both models share the sizes.
        base: Rows of the base.
        finetuned: Rows of the other.
    """
    gains, sizes = finetuned[:, 0] - base[:, 0], base[:, 1]
    apart = gains - sizes * gains.sum() / sizes.sum()
    fall = _needed() * float(np.sqrt(len(base) / (len(base) - 1) * (apart**2).sum()))  # of the sum over all items
    sums = base.sum(axis=0)
    change = _contrast(statistic, statistic.value(sums), statistic.value(sums - np.asarray([fall, 0.0])))
    return min(100.0, -float(change))


def _differences(statistic: Statistic, base: Array, finetuned: Array, generator: np.random.Generator) -> Array | None:
    def difference(counts: Array) -> Any:
        return _contrast(statistic, statistic.value(counts @ base), statistic.value(counts @ finetuned))

    return _resampled(difference, len(base), generator)


def _is_point(values: Array) -> bool:
    """Whether all are the same but for rounding."""
    return bool(np.ptp(values) <= 1e-9 * max(1.0, abs(float(values[0]))))


def _interval(statistic: Statistic, rows: Array, seed: int) -> Interval | None:
    """Of one model's score."""
    if statistic.binary:
        from scipy.stats import binomtest

        found = binomtest(round(rows[:, 0].sum()), len(rows)).proportion_ci(1 - ALPHA, method="wilson")
        return Interval(float(found.low), float(found.high))
    found = _resampled(lambda counts: statistic.value(counts @ rows), len(rows), np.random.default_rng(seed))
    if found is None or _is_point(found):
        return None  # that every resample says the same is no knowledge about other items
    return _middle(found)


def _resampled(score: Callable[[Array], Array], n: int, generator: np.random.Generator) -> Array | None:
    """A score of how often each of n items was drawn, over many draws; None where it often has no value."""
    values = []
    for size in _chunks(RESAMPLES, n):
        counts = generator.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            values.append(score(counts))
    found = np.concatenate(values)
    finite = found[np.isfinite(found)]
    return finite if len(finite) >= RESAMPLES * 0.99 else None  # an interval of the others would be a guess


def _middle(values: Array) -> Interval:
    low, high = np.quantile(values, [ALPHA / 2, 1 - ALPHA / 2])
    return Interval(float(low), float(high))


def _permutation_p(statistic: Statistic, base: Array, finetuned: Array, generator: np.random.Generator) -> float:
    """Two-sided p-value: how often swapping the models' rows at random gives a difference at least as large."""
    n = len(base)
    swap_gain = finetuned - base
    sums_base, sums_finetuned = base.sum(axis=0), finetuned.sum(axis=0)
    observed = abs(float(statistic.value(sums_finetuned) - statistic.value(sums_base)))
    threshold = observed - 1e-9 * max(1.0, observed)  # equal differences must count as equal despite rounding
    exact = n <= EXACT_ITEMS
    extreme = total = 0
    for swaps in _all_swaps(n) if exact else _drawn_swaps(n, generator):
        moved = swaps @ swap_gain
        with np.errstate(invalid="ignore", divide="ignore"):
            differences = statistic.value(sums_finetuned - moved) - statistic.value(sums_base + moved)
        extreme += int((np.abs(differences) >= threshold).sum())
        total += len(swaps)
    return extreme / total if exact else (extreme + 1) / (total + 1)


def _all_swaps(n: int) -> Iterator[Array]:
    numbers = np.arange(2**n)[:, None]
    yield ((numbers >> np.arange(n)[None, :]) & 1).astype(np.float64)


def _drawn_swaps(n: int, generator: np.random.Generator) -> Iterator[Array]:
    for size in _chunks(RESAMPLES, n):
        yield (generator.random((size, n)) < 0.5).astype(np.float64)


def _chunks(total: int, n: int) -> Iterator[int]:
    size = max(1, CHUNK_CELLS // max(1, n))
    for start in range(0, total, size):
        yield min(size, total - start)


class Tested(Protocol):
    """One of several scores that are tested together."""

    @property
    def n(self) -> int: ...

    @property
    def p_value(self) -> float | None: ...


def corrected(scores: Sequence[Tested]) -> list[float | None]:
    """Each p-value corrected for there being several; None without one, or with too few items to prove anything."""
    counted = [one.p_value is not None and one.n >= MIN_ITEMS for one in scores]
    adjusted = iter(holm([one.p_value or 0.0 for one, counts in zip(scores, counted, strict=True) if counts]))
    return [next(adjusted) if counts else None for counts in counted]


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for there being several (Holm 1979), in the same order."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def statistic_of(*rows: Array) -> Statistic:
    """SHARE where all the rows (value, 1) are right or wrong, MEAN otherwise."""
    return SHARE if all(np.isin(one[:, 0], (0, 1)).all() for one in rows) else MEAN


def judge(comparison: Comparison, adjusted_p: float | None, higher_is_better: bool) -> Verdict:
    """What a comparison with a p-value allows one to say; adjusted_p as `corrected` gives it."""
    assert comparison.delta is not None
    if comparison.n < MIN_ITEMS or adjusted_p is None:
        return "too few items"
    if adjusted_p >= ALPHA or comparison.delta == 0:
        return "no evidence"
    return "improved" if (comparison.delta > 0) == higher_is_better else "regressed"
