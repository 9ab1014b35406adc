"""What a report says of its numbers is true: one thing decides, and a loss is not called an improvement."""

from datetime import UTC, datetime

import numpy as np
import pytest
from faion_finetuner.core.evaluate.comparison import SHARE, compare, holm, judge, rows_of
from faion_finetuner.core.evaluate.reporting import likelihood
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.result import EvaluateResult, Interval, Likelihood, ScoreRow
from statsmodels.stats.contingency_tables import mcnemar


def score(gained: int, lost: int, n: int = 30, metric: str = "accuracy", others: tuple[float, ...] = ()) -> ScoreRow:
    """Of a base that is right in half of the rows, and a model that gains and loses some.

    Args:
        gained: Rows wrong by the base, right now.
        lost: The reverse.
        n: Rows.
        metric: Its name.
        others: p-values of further scores in the table.
    """
    base = np.array([1.0] * (n // 2) + [0.0] * (n - n // 2))
    tuned = base.copy()
    tuned[:lost], tuned[n // 2 : n // 2 + gained] = 0.0, 1.0
    found = compare(SHARE, rows_of(base.tolist()), rows_of(tuned.tolist()), seed=1)
    assert found.p_value is not None
    assert found.p_value == pytest.approx(vars(mcnemar([[0, gained], [lost, 0]], exact=True))["pvalue"])
    return ScoreRow(
        name="held-out rows", metric=metric, base=found.base, finetuned=found.finetuned, delta=found.delta,
        ci95=found.ci95, p_value=found.p_value, n=n, verdict=judge(found, holm([found.p_value, *others])[0], True),
    )  # fmt: skip


def result(**fields: object) -> EvaluateResult:
    given = {"model_name": "m", "finetuned_path": "f", "data_path": "d", "evaluated_at": datetime.now(UTC), "rows": 30}
    return EvaluateResult.model_validate(
        given | {"verdict": "no evidence", "regression_margin": 0.1, "max_new_tokens": 9} | fields
    )


def test_where_the_interval_leaves_out_0_and_p_does_not_fall_below_its_bar_the_report_says_that_p_decides():
    row = score(gained=5, lost=0)
    assert row.ci95 is not None
    assert row.ci95.low > 0
    assert row.p_value == 0.0625
    assert row.verdict == "no evidence"
    told = report(result(scores=(row,)))
    assert (
        "Accuracy: its interval leaves out 0, but p decides: 0.062 once corrected, so “no evidence”." in told.markdown
    )
    assert "exact McNemar test (1947)" in told.markdown
    assert "by p, which decides, no evidence" in told.headline


def test_a_p_that_only_the_correction_lifts_is_told_as_corrected():
    rows = (score(6, 0, others=(0.5,)), score(1, 1, metric="exact_match"))
    assert rows[0].p_value == 0.03125
    assert "but p decides: 0.062 once corrected, so “no evidence”." in report(result(scores=rows)).markdown


def test_nothing_is_said_to_decide_where_interval_and_p_agree():
    rows = (score(12, 0), score(1, 1, metric="exact_match"))
    assert [row.verdict for row in rows] == ["improved", "no evidence"]
    told = report(result(scores=rows, verdict="improved"))
    assert "but p decides" not in told.markdown
    assert "which decides" not in told.headline


@pytest.mark.parametrize(("change", "name"), [(876.1, "**Change** (plus is worse)"), (-12.5, "**Improvement**")])
def test_a_perplexity_that_rose_is_not_called_an_improvement(change: float, name: str):
    found = Likelihood(
        base=4.0, finetuned=4.0 * (1 + change / 100), change_percent=change, ci95=Interval(change - 9, change + 9),
        p_value=0.001, n=30, tokens=300, verdict="regressed" if change > 0 else "improved",
    )  # fmt: skip
    told = likelihood.section(result(perplexity=found))
    assert f"| {name} | {change:+.1f}% |" in told
    assert ("Improvement" in told) == (change < 0)


@pytest.mark.parametrize(("answers", "said"), [("improved", True), ("regressed", False)])
def test_prompts_that_are_predicted_worse_are_no_loss_where_the_answers_are_not(answers: str, said: bool):
    one = Likelihood(base=4.0, finetuned=3.0, change_percent=-25.0, n=30, tokens=90, verdict=answers)  # pyright: ignore[reportArgumentType]
    whole = Likelihood(base=4.0, finetuned=5.0, change_percent=25.0, n=30, tokens=900, verdict="regressed")
    told = likelihood.section(result(perplexity=one, perplexity_all_tokens=whole))
    assert ("The last column decides nothing" in told) == said
