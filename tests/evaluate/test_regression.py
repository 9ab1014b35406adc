"""The gate: a loss by the margin is ruled out, seen, or left open; never called absent for want of questions."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from faion_finetuner.core.evaluate import conclusions
from faion_finetuner.core.evaluate.measured import Measured
from faion_finetuner.core.evaluate.probes import gate
from faion_finetuner.core.evaluate.probes.items import CAPABILITIES
from faion_finetuner.core.evaluate.probes.questions import ProbeAnswer
from faion_finetuner.core.evaluate.reporting import regression
from faion_finetuner.core.evaluate.result import EvaluateResult, Interval, RegressionRow, ScoreRow

SIZES = {name: len(probes) for name, probes in CAPABILITIES.items()}


def measured(wrong: dict[str, int]) -> Measured:
    """A model that answers this many questions of each capability wrongly, the first ones."""
    probes = [
        ProbeAnswer(capability=name, right=n >= wrong.get(name, 0), probability=0.5)
        for name, size in SIZES.items()
        for n in range(size)
    ]
    return Measured(likelihoods=(), answers=(), probes=tuple(probes), benchmarks=())


def benchmark(low: float, high: float, delta: float) -> ScoreRow:
    return ScoreRow(
        name="quiz", metric="acc", base=0.6, finetuned=0.6 + delta, delta=delta, ci95=Interval(low, high), n=400
    )


def statuses(rows: Sequence[RegressionRow]) -> dict[str, str | None]:
    return {row.capability: row.status for row in rows}


def told(rows: tuple[RegressionRow, ...]) -> str:
    result = EvaluateResult(
        model_name="m", finetuned_path="f", data_path="d", evaluated_at=datetime.now(UTC), rows=1, verdict=None,
        regression=rows, regression_margin=0.1,
    )  # fmt: skip
    return regression.section(result)


def test_equal_answers_rule_a_loss_out_over_all_questions_together_and_leave_single_capabilities_open():
    rows = gate.rows(measured({}), measured({}), (), margin=0.1)
    assert rows[0].capability == gate.TOGETHER
    assert rows[0].n == sum(SIZES.values())
    assert rows[0].ci95 is not None
    assert rows[0].ci95.low > -0.1
    assert statuses(rows) == {gate.TOGETHER: "ok"} | dict.fromkeys(SIZES, "open")
    assert told(rows).startswith("**Passed: a loss of more than 10 points is ruled out.** All built-in questions")


def test_a_smaller_margin_than_the_questions_can_show_stays_undecided():
    rows = gate.rows(measured({}), measured({}), (), margin=0.01)
    assert set(statuses(rows).values()) == {"open"}
    assert told(rows).startswith("**Undecided")


def test_a_fall_by_more_than_the_margin_warns_with_its_interval():
    name = next(iter(SIZES))
    rows = gate.rows(measured({}), measured({name: SIZES[name] // 2}), (), margin=0.1)
    assert statuses(rows)[name] == "warn"
    text = told(rows)
    assert text.startswith("**Not passed: right answers fell by more than 10 points.**")
    assert "95% interval of the difference -" in text
    assert "chance alone" not in text  # half of its questions cannot be


def test_a_fall_that_may_be_chance_is_told_so():
    name = next(iter(SIZES))
    rows = gate.rows(measured({}), measured({name: 2}), (), margin=0.1)
    (fallen,) = (row for row in rows if row.status == "warn")
    assert fallen.ci95 is not None
    assert fallen.ci95.high > 0
    assert "Where the interval reaches 0, chance alone may have done that." in told(rows)


def test_a_base_that_guesses_has_nothing_to_lose_and_proves_nothing():
    guessing = {name: round(size * 0.75) for name, size in SIZES.items()}
    rows = gate.rows(measured(guessing), measured({name: SIZES[name] for name in SIZES}), (), margin=0.1)
    assert set(statuses(rows).values()) == {"open"}


@pytest.mark.parametrize(
    ("low", "high", "delta", "status"),
    [(-0.05, 0.03, -0.01, "ok"), (-0.12, 0.06, -0.03, "open"), (-0.2, -0.1, -0.15, "warn"), (0.0, 0.2, 0.1, "ok")],
)
def test_a_benchmark_passes_by_the_lower_end_of_its_interval(low: float, high: float, delta: float, status: str):
    row = gate.rows(measured({}), measured({}), (benchmark(low, high, delta),), margin=0.1)[-1]
    assert (row.capability, row.status) == ("quiz", status)


@pytest.mark.parametrize("status", ["ok", "warn"])
def test_what_is_better_is_not_shipped_while_a_capability_fell(status: str):
    score = ScoreRow(name="rows", metric="accuracy", base=0.2, finetuned=0.9, delta=0.7, n=40, verdict="improved")
    row = RegressionRow(capability="maths", base=0.9, finetuned=0.5, status=status, n=40, evidence="")  # pyright: ignore[reportArgumentType]
    result = EvaluateResult(
        model_name="m", finetuned_path="f", data_path="d", evaluated_at=datetime.now(UTC), rows=40, verdict=None,
        scores=(score,), regression=(row,), regression_margin=0.1,
    )  # fmt: skip
    before, after = measured({}), measured({})
    said = conclusions.draw(result, before, after).recommendations[0]
    assert ("items). Ship it: " if status == "ok" else "items). Settle what follows; then ship it: ") in said


def test_a_benchmark_with_two_metrics_is_told_by_each_metric_and_not_twice_alike():
    two = [benchmark(-0.4, -0.1, -0.3).model_copy(update={"metric": metric}) for metric in ("acc", "acc_norm")]
    rows = gate.rows(measured({}), measured({}), (*two, two[0].model_copy(update={"name": "other"})), margin=0.1)
    assert [row.capability for row in rows[-3:]] == ["quiz (acc)", "quiz (acc_norm)", "other"]
