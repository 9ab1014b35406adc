"""The statistics, against scipy and statsmodels."""

import numpy as np
import pytest
from faion_finetuner.core.evaluate import tables
from faion_finetuner.core.evaluate.comparison import MEAN, SHARE, Comparison, Flips, compare, holm, judge, rows_of
from faion_finetuner.core.evaluate.scoring.scores import SCORES
from faion_finetuner.core.evaluate.tables import LOSS, PERPLEXITY
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint


def drawn(seed: int, n: int, right: float) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < right).astype(float)


@pytest.mark.parametrize(("n", "base", "finetuned"), [(12, 0.3, 0.9), (40, 0.5, 0.6), (300, 0.4, 0.5), (20, 0.0, 0.0)])
def test_right_and_wrong_items_are_compared_by_the_exact_mcnemar_test(n: int, base: float, finetuned: float):
    one, other = drawn(1, n, base), drawn(2, n, finetuned)
    found = compare(SHARE, rows_of(list(one)), rows_of(list(other)), seed=0)
    table = [[((one == a) & (other == b)).sum() for b in (1, 0)] for a in (1, 0)]
    assert found.p_value == pytest.approx(vars(mcnemar(table, exact=True))["pvalue"], abs=1e-12)
    assert (found.base, found.finetuned) == (one.mean(), other.mean())
    assert found.delta == pytest.approx(other.mean() - one.mean())


def test_the_interval_of_a_share_holds_the_truth_95_times_in_100():
    generator, truth, held = np.random.default_rng(3), 0.15, 0
    for _ in range(400):
        base = generator.random(60) < 0.5
        finetuned = np.where(base, generator.random(60) < 0.9, generator.random(60) < 0.4)  # 0.45 + 0.2 - 0.5
        interval = compare(SHARE, rows_of(list(base)), rows_of(list(finetuned)), seed=0).ci95
        assert interval is not None
        held += interval.low <= truth <= interval.high
    assert 0.92 <= held / 400 <= 0.99


def test_one_model_s_share_has_wilson_s_interval():
    right = [1.0] * 9 + [0.0] * 3
    found = compare(SHARE, rows_of(right), None, seed=0)
    assert found.base_ci95 == pytest.approx(proportion_confint(9, 12, method="wilson"), abs=1e-12)
    assert found.ci95 is None


def test_one_model_s_graded_score_has_an_interval_near_that_of_the_t_test_and_none_without_scatter():
    values = np.random.default_rng(8).normal(0.4, 0.2, 200)
    oracle = stats.t.interval(0.95, 199, loc=values.mean(), scale=stats.sem(values))
    found = compare(MEAN, rows_of(list(values)), None, seed=0)
    assert found.base_ci95 == pytest.approx(oracle, abs=5e-3)
    assert compare(MEAN, rows_of([0.4] * 20), None, seed=0).base_ci95 is None
    never = np.asarray([(0.0, 0.0, 1.0 + n % 3) for n in range(20)])  # no hits, whatever rows are drawn
    assert compare(SCORES["json_fields"].statistic, never, None, seed=0).base_ci95 is None


def test_few_graded_items_get_the_exact_permutation_test():
    generator = np.random.default_rng(4)
    one, other = generator.random(9), generator.random(9) + 0.2
    found = compare(MEAN, rows_of(list(one)), rows_of(list(other)), seed=0)
    oracle = stats.permutation_test(
        (other, one), lambda a, b: a.mean() - b.mean(), permutation_type="samples", n_resamples=10_000
    )
    assert found.p_value == pytest.approx(oracle.pvalue, abs=1e-12)


def test_many_graded_items_get_a_p_value_and_interval_near_those_of_the_t_test():
    generator = np.random.default_rng(5)
    one = generator.random(200)
    other = one + generator.normal(0.03, 0.2, 200)
    found = compare(MEAN, rows_of(list(one)), rows_of(list(other)), seed=0)
    oracle = stats.ttest_rel(other, one)
    interval = oracle.confidence_interval()
    assert found.p_value == pytest.approx(oracle.pvalue, abs=0.015)
    assert found.ci95 == pytest.approx((interval.low, interval.high), abs=0.004)


def test_the_smallest_detectable_difference_is_that_of_a_power_analysis():
    generator = np.random.default_rng(5)
    one = generator.random(200)
    other = one + generator.normal(0.03, 0.2, 200)
    found = compare(MEAN, rows_of(list(one)), rows_of(list(other)), seed=0).detectable
    effect = TTestPower().solve_power(nobs=200, alpha=0.05, power=0.8)
    assert found == pytest.approx(effect * (other - one).std(ddof=1), rel=0.03)


@pytest.mark.parametrize("gain", [-6.0, 0.0, 3.0])
def test_the_smallest_detectable_fall_of_perplexity_does_not_hang_on_how_far_it_fell(gain: float):
    generator = np.random.default_rng(5)
    one = generator.normal(8.0, 0.3, 60)
    other = one + generator.normal(gain, 0.4, 60)
    base, finetuned = rows_of(list(one)), rows_of(list(other))
    nats = TTestPower().solve_power(nobs=60, alpha=0.05, power=0.8) * (other - one).std(ddof=1)
    found = compare(PERPLEXITY, base, finetuned, seed=0).detectable
    assert found == pytest.approx(100 * (1 - np.exp(-nats)), rel=0.04)
    loss = compare(LOSS, base, finetuned, seed=0).detectable
    assert loss == pytest.approx(100 * nats / one.mean(), rel=0.04)


@pytest.mark.parametrize(("n", "noise"), [(60, 0.2), (300, 0.1)])
def test_a_true_difference_of_the_detectable_size_is_proven_in_four_of_five_tries(n: int, noise: float):
    generator = np.random.default_rng(8)

    def tried(gain: float) -> Comparison:
        base = generator.random(n) < 0.5
        finetuned = np.where(base, generator.random(n) < 1 - noise, generator.random(n) < noise + 2 * gain)
        return compare(SHARE, rows_of(list(base)), rows_of(list(finetuned)), seed=0)

    size = float(np.mean([tried(0.0).detectable or 0 for _ in range(40)]))
    proven = [(tried(size).p_value or 0) < 0.05 for _ in range(300)]
    assert 0.73 < np.mean(proven) < 0.87


def test_items_that_only_one_model_got_right_are_counted():
    found = compare(SHARE, rows_of([1, 1, 0, 0, 0]), rows_of([1, 0, 1, 1, 0]), seed=0)
    assert found.flips == Flips(gained=2, lost=1)
    assert compare(MEAN, rows_of([0.5, 1]), rows_of([1, 0]), seed=0).flips is None


def test_perplexity_is_compared_over_the_ratio_of_sums_in_per_cent():
    tokens = np.array([3.0, 100.0, 7.0, 50.0])
    base, finetuned = np.stack([tokens * 2.0, tokens], 1), np.stack([tokens * 1.0, tokens], 1)
    found = compare(PERPLEXITY, base, finetuned, seed=0)
    assert found.base == pytest.approx(np.exp(2.0))
    assert found.delta == pytest.approx(100 * (np.exp(-1.0) - 1))
    assert found.ci95 is not None
    assert found.delta is not None
    assert found.ci95.low <= found.delta < 0 < found.ci95.high  # four rows that change alike prove nothing
    assert found.p_value == pytest.approx(2 / 2**4)


def test_models_that_do_the_same_with_every_row_have_no_interval_rather_than_one_of_width_zero():
    rows = rows_of([0.5, 0.25, 0.75])
    found = compare(MEAN, rows, rows, seed=0)
    assert (found.delta, found.ci95, found.detectable, found.p_value) == (0, None, None, 1)
    f1 = SCORES["f1"]  # other wrong labels, and F1 is 0 whatever rows are drawn
    one, other = f1.rows(["b", "a"] * 10, ["a", "b"] * 10), f1.rows(["c", "c"] * 10, ["a", "b"] * 10)
    assert compare(f1.statistic, one, other, seed=0).ci95 is None


def test_one_row_has_no_interval():
    assert compare(MEAN, rows_of([0.2]), rows_of([0.7]), seed=0).ci95 is None


@pytest.mark.parametrize("n", [10, 30, 200])
@pytest.mark.parametrize("name", ["f1", "json_fields", "token_f1"])
def test_a_gain_on_every_row_has_an_interval_of_about_the_width_that_the_same_gain_of_a_share_has(name: str, n: int):
    texts = {"f1": "ab", "json_fields": ('{"a": 1}', '{"b": 2}'), "token_f1": ("red", "blue")}[name]
    right, wrong = [texts[i % 2] for i in range(n)], [texts[1 - i % 2] for i in range(n)]
    score = SCORES[name]
    found = compare(score.statistic, score.rows(wrong, right), score.rows(right, right), seed=0)
    exact = compare(SHARE, rows_of([0] * n), rows_of([1] * n), seed=0)  # Bonett and Price
    assert (found.delta, exact.delta) == (1, 1)
    assert found.ci95 is not None
    assert exact.ci95 is not None
    assert found.ci95.high == exact.ci95.high == 1
    assert 0.5 < (1 - found.ci95.low) / (1 - exact.ci95.low) < 2
    # where as many others as Clopper and Pearson allow after none in n gain nothing, the truth is inside
    _, most = np.asarray(proportion_confint(0, n, method="beta"))
    assert found.ci95.low <= 1 - most
    assert found.detectable is not None
    assert 0 < found.detectable < 1


def test_the_interval_of_rows_that_all_change_alike_holds_the_truth_where_few_others_do_not():
    generator, n, share, held = np.random.default_rng(9), 20, 0.03, 0
    for _ in range(200):
        gain = np.where(generator.random(n) < share, 0.0, 0.5)
        interval = compare(MEAN, rows_of([0.25] * n), rows_of(list(0.25 + gain)), seed=0).ci95
        assert interval is not None
        held += interval.low <= 0.5 * (1 - share) <= interval.high
    assert held >= 190


def test_the_same_seed_gives_the_same_numbers():
    generator = np.random.default_rng(6)
    one, other = rows_of(list(generator.random(50))), rows_of(list(generator.random(50)))
    assert compare(MEAN, one, other, seed=7) == compare(MEAN, one, other, seed=7)
    assert compare(MEAN, one, other, seed=7) != compare(MEAN, one, other, seed=8)


def test_several_p_values_are_corrected_as_holm_does():
    p_values = [0.04, 0.001, 0.5, 0.02, 0.02]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("n", "delta", "p", "higher_is_better", "verdict"),
    [
        (50, 0.2, 0.01, True, "improved"),
        (50, -0.2, 0.01, True, "regressed"),
        (50, -0.2, 0.01, False, "improved"),
        (50, 0.2, 0.2, True, "no evidence"),
        (9, 0.9, 0.004, True, "too few items"),
    ],
)
def test_the_verdict_follows_evidence_and_direction(
    n: int, delta: float, p: float, higher_is_better: bool, verdict: str
):
    assert judge(Comparison(n=n, base=0.5, delta=delta), p, higher_is_better) == verdict


def test_the_base_alone_has_a_score_with_its_interval_and_nothing_else():
    found = compare(SHARE, rows_of([1, 0, 1]), None, seed=0)
    assert found == Comparison(n=3, base=2 / 3, base_ci95=found.base_ci95)


def test_scores_of_too_few_rows_make_it_no_harder_for_others_to_be_proven():
    def rows(n: int) -> Comparison:
        return compare(SHARE, rows_of([0.0] * n), rows_of([1.0] * n), seed=1)

    found = [("tool_match", True, compare(SHARE, rows_of([0.0] * 12), rows_of([1.0] * 7 + [0.0] * 5), seed=1))]
    found += [(name, True, rows(5)) for name in ("bleu", "chrf", "rouge1", "rouge2", "rougeL")]
    judged = tables._judged("held-out rows", found)
    assert [row.verdict for row in judged] == ["improved", *["too few items"] * 5]
