"""What a training says about itself: diagnosis, report, next calls."""

import pytest
from faion_finetuner.core.evaluate.request import EvaluateRequest
from faion_finetuner.core.merge.request import MergeRequest
from faion_finetuner.core.train.diagnosis import diagnose
from faion_finetuner.core.train.hyperparameters import Hyperparameters
from faion_finetuner.core.train.report import report
from faion_finetuner.core.train.request import TrainRequest
from faion_finetuner.core.train.result import Metric
from faion_finetuner.tools.train import next_steps

from .bench import THIRD_PARTIES, Bench

pytestmark = THIRD_PARTIES


def course(train: list[float], valid: list[float | None] | None = None, norms: list[float] | None = None):
    """Metrics of consecutive steps, from 0."""
    return [
        Metric(
            epoch=step / 10,
            step=step,
            train_loss=loss,
            val_loss=valid[step] if valid else None,
            grad_norm=norms[step] if norms else 1.0,
        )
        for step, loss in enumerate(train)
    ]


FALLING = [3.0, 2.5, 2.0, 1.6, 1.3, 1.1, 1.0, 0.9]


@pytest.mark.parametrize(
    ("metrics", "symptoms"),
    [
        (course(FALLING), []),
        (course(FALLING, [2.9, None, 2.2, None, 1.8, None, 1.7, 1.7]), []),
        (course([3.0, 3.01, 2.99, 3.0, 3.02, 2.98, 3.0, 3.0]), ["Loss not decreasing"]),
        (course(FALLING, [2.9, None, 1.5, None, 1.7, None, 1.9, 2.0]), ["Overfitting"]),
        (course(FALLING, norms=[1, 1, 1.2, 1, 400, 1, 1, 1]), ["The gradient exploded"]),
        (course(FALLING, [1.0, None, 1.1, None, 1.2, None, 1.2, 1.3]), ["The model is no better than before"]),
        (course([0.02] * 8), []),
        (course([3.0]), []),
        ([], []),
    ],
)
def test_symptoms_are_named_when_the_numbers_show_them(metrics: list[Metric], symptoms: list[str]):
    found = diagnose(metrics, Hyperparameters(learning_rate=1e-3))
    assert [one.symptom for one in found] == symptoms
    assert all(one.evidence and one.next_step for one in found)


def test_the_report_has_the_mission_s_sections_and_says_the_result_first(bench: Bench):
    result = bench.train(hyperparameters={"epochs": 1})
    made = report(result)
    lines = made.markdown.splitlines()
    sections = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert sections[:4] == ["Configuration", "Training Metrics", "Resource Usage", "Checkpoints"]
    assert set(sections[4:]) <= {"Diagnosis", "Quality Checks", "Mask preview"}
    assert lines[0] == "# Training Progress Report"
    assert lines[2].startswith("**Validation loss fell from 5.")
    assert "| best | 6 |" in made.markdown
    assert [figure.name for figure in made.figures] == ["loss.png", "learning_rate.png", "gradient_norm.png"]
    assert all(figure.image.startswith(b"\x89PNG") for figure in made.figures)
    assert made.headline.startswith("lora: validation loss 5.")


def test_the_plan_of_a_dry_run_has_a_report_of_its_own(bench: Bench):
    result = bench.train(dry_run=True)
    made = report(result)
    assert "Dry run, nothing was written" in made.markdown
    assert "## Plan" in made.markdown
    assert made.figures == ()


def test_the_next_calls_can_be_made_as_they_are(bench: Bench):
    request = bench.request(hyperparameters={"epochs": 1})
    evaluate, merge = next_steps(request, bench.train(hyperparameters={"epochs": 1}))
    assert EvaluateRequest.model_validate(evaluate.arguments).finetuned_path == bench.root / "out" / "adapter"
    assert MergeRequest.model_validate(merge.arguments)
    dry = bench.request(dry_run=True)
    (again,) = next_steps(dry, bench.train("plan", dry_run=True))
    assert TrainRequest.model_validate(again.arguments) == dry.model_copy(update={"dry_run": False})


def test_a_dry_run_says_first_which_checks_did_not_pass(bench: Bench):
    cut = {"max_seq_length": 30, "max_steps": 40}
    result = bench.train(dry_run=True, hyperparameters=cut)
    finding = report(result).markdown.split("\n")[2]
    assert finding.endswith(
        "**Mend this before training: Truncation, End of turn.** Checks that warn: Validation data, Learning rate."
    )
    (again,) = next_steps(bench.request(dry_run=True, hyperparameters=cut), result)
    assert again.why == "Once this is mended: Truncation, End of turn."
