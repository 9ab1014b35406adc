"""What is said of the numbers."""

from pathlib import Path

import pytest
from faion_finetuner.core.checks import Check
from faion_finetuner.core.evaluate.conclusions import draw
from faion_finetuner.core.evaluate.measured import Measured
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.request import EvaluateRequest
from faion_finetuner.core.evaluate.result import EvaluateResult, Likelihood, RegressionRow, ScoreRow, Verdict
from faion_finetuner.core.runs.record import now
from faion_finetuner.tools.evaluate import next_steps

REQUEST = EvaluateRequest(
    model_name="base", finetuned_path=Path("tuned"), data_path=Path("rows.jsonl"), output_dir=Path("out")
)
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
    predicts = f"predicts the held-out answers {word} (perplexity +10.0%)"
    first = f"The answers do not score differently beyond chance, but the fine-tuned model {predicts}."
    assert report(result).headline.startswith(first)
    assert predicts in result.recommendations[0]


def test_a_whole_model_is_shipped_as_it_is_and_an_adapter_through_merge(tmp_path: Path):
    better = drawn("improved")
    score = better.scores[0].model_copy(update={"finetuned": 9, "delta": 6, "verdict": "improved"})
    whole = better.model_copy(update={"scores": (score,), "finetuned_path": str(tmp_path)})
    assert draw(whole, NOTHING, NOTHING).recommendations[0].endswith("a whole model, to be served as it is.")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "call merge with this adapter" in draw(whole, NOTHING, NOTHING).recommendations[0]


def test_no_difference_at_all_is_said_to_be_none():
    result = drawn("no evidence")
    assert report(result).headline.startswith("No difference beyond chance was found.")
    assert result.recommendations[0].startswith("Neither model is better beyond chance")


def test_nobody_is_told_to_train_longer_what_predicts_worse_than_the_base():
    worse, better = drawn("regressed"), drawn("improved")
    assert "Do not ship it: train with a lower learning_rate or fewer epochs" in worse.recommendations[0]
    assert "train longer" in better.recommendations[0]
    (gentler,), (longer,) = next_steps(REQUEST, worse), next_steps(REQUEST, better)
    assert gentler.arguments["hyperparameters"] == {"learning_rate": 1e-4}
    assert longer.arguments["hyperparameters"] == {"epochs": 6}


@pytest.mark.parametrize("verdict", ["improved", "no evidence"])
@pytest.mark.parametrize("name", ["overfitting", "copied_answers"])
def test_nobody_is_told_to_train_longer_on_rows_that_are_known_too_well(verdict: Verdict, name: str):
    known = Check(name=name, status="warn", details="Known by heart.", next_step="Train fewer epochs.")
    result = draw(drawn(verdict).model_copy(update={"checks": (known,)}), NOTHING, NOTHING)
    assert "train on more data." in result.recommendations[0]
    assert not any("longer" in one for one in result.recommendations)
    (step,) = next_steps(REQUEST, result)
    assert step.arguments["hyperparameters"] == {"learning_rate": 1e-4}


def test_nobody_is_told_to_train_longer_what_has_lost_abilities():
    lost = RegressionRow(capability="arithmetic", base=0.9, finetuned=0.4, status="warn", n=8, evidence="questions")
    result = draw(drawn("no evidence").model_copy(update={"regression": (lost,)}), NOTHING, NOTHING)
    assert not any("longer" in one for one in result.recommendations)
    (step,) = next_steps(REQUEST, result)
    assert step.arguments["hyperparameters"] == {"learning_rate": 1e-4}


def test_the_next_training_names_a_folder_only_where_training_rows_lie(tmp_path: Path):
    request = REQUEST.model_copy(update={"data_path": tmp_path / "valid.jsonl"})
    (step,) = next_steps(request, drawn("improved"))
    assert step.arguments["data_path"] == "<training rows>"
    (tmp_path / "train.jsonl").touch()
    (step,) = next_steps(request, drawn("improved"))
    assert step.arguments["data_path"] == str(tmp_path)


def test_an_undecided_regression_check_says_what_would_decide_it():
    rows = [RegressionRow(capability=name, base=0.6, finetuned=0.6, n=12, evidence="", status="open") for name in "ab"]
    undecided = draw(drawn("improved").model_copy(update={"regression": tuple(rows)}), NOTHING, NOTHING)
    assert any("is undecided" in said and "`benchmarks`" in said for said in undecided.recommendations)
    kept = (rows[0].model_copy(update={"status": "ok"}), rows[1])
    decided = draw(drawn("improved").model_copy(update={"regression": kept}), NOTHING, NOTHING)
    assert not any("is undecided" in said for said in decided.recommendations)


def test_capabilities_that_fell_are_told_together_with_one_advice():
    rows = [RegressionRow(capability=name, base=0.6, finetuned=0.3, n=12, evidence="", status="warn") for name in "ab"]
    result = draw(drawn("improved").model_copy(update={"regression": tuple(rows)}), NOTHING, NOTHING)
    (said,) = (one for one in result.recommendations if "Confirm it with" in one)
    assert said.startswith("A fell from 60% to 30% (12 questions); b fell from 60% to 30% (12 questions). Confirm")


def scored(*verdicts: tuple[str, Verdict]) -> EvaluateResult:
    def row(metric: str, verdict: Verdict) -> ScoreRow:
        values = {"base": 0.1, "finetuned": 0.9, "delta": 0.8, "p_value": 0.001, "n": 40}
        return ScoreRow(name="held-out rows", metric=metric, verdict=verdict, **values)

    result = drawn("no evidence").model_copy(update={"scores": tuple(row(*one) for one in verdicts)})
    return draw(result, NOTHING, NOTHING)


@pytest.mark.parametrize(("form", "right"), [("json_valid", "exact_match"), ("tool_missed", "tool_match")])
def test_better_form_alone_is_not_called_a_better_model(form: str, right: str):
    result = scored((form, "improved"), (right, "no evidence"))
    assert result.verdict == "no evidence"
    assert report(result).headline.startswith("The fine-tuned model's answers are better formed, but not proven")
    assert "That is their form" in result.recommendations[0]
    assert next_steps(REQUEST, result)[0].tool == "train"


def test_form_counts_where_it_got_worse_where_more_is_better_or_where_nothing_else_was_asked_for():
    assert scored(("json_valid", "regressed"), ("exact_match", "no evidence")).verdict == "regressed"
    assert scored(("json_valid", "improved"), ("exact_match", "improved")).verdict == "improved"
    assert scored(("json_valid", "improved"), ("exact_match", "regressed")).verdict == "mixed"
    assert scored(("json_valid", "improved")).verdict == "improved"


def test_scores_of_few_rows_do_not_speak_for_those_of_enough():
    rows = (
        ScoreRow(name="held-out rows", metric="tool_match", base=0.2, finetuned=0.3, delta=0.1, p_value=0.4, n=40,
                 verdict="no evidence"),
        ScoreRow(name="held-out rows", metric="token_f1", base=0.2, finetuned=0.1, delta=-0.1, p_value=0.06, n=5,
                 verdict="too few items"),
    )  # fmt: skip
    result = draw(drawn("regressed").model_copy(update={"scores": rows}), NOTHING, NOTHING)
    assert result.verdict == "no evidence"
    headline = report(result).headline
    assert "predicts the held-out answers worse" in headline
    assert "Tool calls right rose" in headline
    assert "Token F1" not in headline
    few = draw(drawn("regressed").model_copy(update={"scores": rows[1:]}), NOTHING, NOTHING)
    assert few.verdict == "too few items"
