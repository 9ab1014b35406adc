"""What is said of the numbers."""

import pytest
from faion_finetuner.core.evaluate.conclusions import draw
from faion_finetuner.core.evaluate.measured import Measured
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.result import EvaluateResult, Likelihood, ScoreRow, Verdict
from faion_finetuner.core.runs.record import now

NOTHING = Measured(likelihoods=(), answers=(), probes=(), benchmarks=())


def drawn(perplexity: Verdict) -> EvaluateResult:
    result = EvaluateResult(
        model_name="base", finetuned_path="tuned", data_path="rows.jsonl", evaluated_at=now(), rows=40, verdict=None,
        perplexity=Likelihood(base=10, finetuned=11, change_percent=10, n=40, tokens=90, verdict=perplexity),
        scores=(ScoreRow(name="held-out rows", metric="bleu", base=3, finetuned=3, n=40, verdict="no evidence"),),
        regression_margin=0.1, max_new_tokens=10,
    )  # fmt: skip
    return draw(result, NOTHING, NOTHING)


@pytest.mark.parametrize(("verdict", "word"), [("improved", "better"), ("regressed", "worse")])
def test_a_proven_change_in_perplexity_is_not_called_no_difference(verdict: Verdict, word: str):
    result = drawn(verdict)
    assert report(result).headline.startswith("The answers do not score differently beyond chance.")
    assert f"predicts the held-out answers {word} (perplexity +10.0%)" in result.recommendations[0]


def test_no_difference_at_all_is_said_to_be_none():
    result = drawn("no evidence")
    assert report(result).headline.startswith("No difference beyond chance was found.")
    assert result.recommendations[0].startswith("Neither model is better beyond chance")
