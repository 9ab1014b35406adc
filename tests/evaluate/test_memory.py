"""What the fine-tuned model has seen: held-out rows among training rows, answers by heart, a loss that fell there."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core import files
from faion_finetuner.core.checks import unquoted
from faion_finetuner.core.evaluate import training_rows
from faion_finetuner.core.evaluate.findings import copies, overfitting
from faion_finetuner.core.evaluate.findings.leakage import held_out
from faion_finetuner.core.evaluate.local.likelihood import ItemLikelihood
from faion_finetuner.core.evaluate.measured import Measured
from faion_finetuner.core.evaluate.request import EvaluateRequest
from faion_finetuner.core.evaluate.training_rows import TrainingRows
from faion_finetuner.core.examples.dialects import read_record
from faion_finetuner.core.models.generate import Generation
from faion_finetuner.core.runs.record import RunFolder, RunRecord
from faion_finetuner.core.settings import Settings

from tests.evaluate.conftest import write_rows

LONG = " ".join(f"word{n}" for n in range(30))


def row(prompt: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}


def examples(*rows: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(map(read_record, rows))


def leave_run(output_dir: Path, mode: str, **resolved: Any) -> None:
    """A run folder as a finished run leaves it."""
    folder = RunFolder(path=output_dir / ".run" / f"{mode}-1")
    folder.path.mkdir(parents=True)
    record = RunRecord(
        run_id=folder.run_id, mode=mode, address="", request_key="", request={}, resolved=resolved,
        output_dir=output_dir, slot=None, environment=(), created_at=datetime.now(UTC), packages={}, host={},
    )  # fmt: skip
    files.write_model(folder.record_path, record)


def found(settings: Settings, finetuned: Path, data: Path) -> TrainingRows:
    finetuned.mkdir(parents=True, exist_ok=True)
    request = EvaluateRequest(model_name="m", finetuned_path=finetuned, data_path=data, output_dir=data.parent / "out")
    return training_rows.find(request, settings)


def test_training_rows_are_found_through_the_run_folders_of_adapter_experiment_and_merged_model(settings: Settings):
    root = settings.roots[0]
    trained_on = write_rows(root / "mine.jsonl", [row("a", "b")])
    (root / "elsewhere").mkdir()
    data = write_rows(root / "elsewhere" / "valid.jsonl", [row("c", "d")])
    leave_run(root / "tuned", "train", data_path=str(trained_on))
    leave_run(root / "shipped", "merge", adapter_path=[str(root / "tuned" / "adapter")])
    for finetuned in ("tuned/adapter", "tuned/experiments/hot/adapter", "shipped/merged"):
        assert found(settings, root / finetuned, data).files == (trained_on,), finetuned


def test_a_run_folder_that_points_out_of_the_roots_is_not_followed(settings: Settings, tmp_path_factory: Any):
    outside = write_rows(tmp_path_factory.mktemp("outside") / "secret.jsonl", [row("a", "b")])
    root = settings.roots[0]
    data = write_rows(root / "valid.jsonl", [row("c", "d")])
    leave_run(root / "tuned", "train", data_path=str(outside))
    assert found(settings, root / "tuned" / "adapter", data) == TrainingRows()


def test_rows_that_were_trained_on_are_counted_word_for_word_and_but_for_spelling():
    training = TrainingRows(examples(row("One?", "1"), row("Two?", "2"), row("Three?", "3")), (Path("p/train.jsonl"),))
    rows = examples(row("One?", "1"), row("two?", " 2"), row("Three?", "another"), row("Four?", "4"))
    check = held_out(rows, training, Path("p/valid.jsonl"))
    assert (check.status, check.count) == ("fail", 3)
    assert "Of 4 held-out rows, 2 stand in the 3 training rows" in check.details
    assert "1 of them word for word" in check.details
    assert held_out(rows[3:], training, Path("p/valid.jsonl")).status == "pass"
    assert held_out(rows, TrainingRows(), Path("p/valid.jsonl")).status == "warn"


class Answered:
    """As much of a subject as the check for copies reads."""

    def __init__(self, prompts: list[str], references: list[str], training: TrainingRows) -> None:
        self.prompts, self.references, self.training = prompts, references, training
        self.asked = range(len(prompts))


def answers(*texts: str) -> Measured:
    return Measured(
        likelihoods=(), probes=(), benchmarks=(), answers=tuple(Generation(text, True, 1) for text in texts)
    )


def test_answers_that_repeat_training_answers_are_found_unless_their_own_row_says_so():
    training = TrainingRows(examples(row("q", LONG), row("r", "we close at six on fridays")), (Path("train.jsonl"),))
    prompts = ["a", "b", "c", f"repeat: {LONG}", "e"]
    subject: Any = Answered(prompts, ["x", "y", LONG, "z", "w"], training)
    middle = " ".join(LONG.upper().split()[4:25])
    tuned = answers(f"Well, {middle} and so on", "We close at six on Fridays", LONG, LONG, "six on fridays")
    (check,) = copies.check(subject, answers(*["no"] * 5), tuned)
    assert (check.name, check.status, check.count) == ("copied_answers", "warn", 2)
    assert "0 of the base" in check.details
    assert "«Well, WORD4" in check.details
    assert unquoted(check).endswith("0 of the base do.")  # what a blind judge may read
    (same,) = copies.check(subject, tuned, tuned)
    assert same.status == "pass"


def losses(*rows: tuple[float, int]) -> tuple[ItemLikelihood, ...]:
    return tuple(ItemLikelihood(loss * tokens, tokens, loss * tokens, tokens) for loss, tokens in rows)


def fitted(seen: float, unseen: float) -> Any:
    """Both models: the base at a loss of 3 everywhere, the fine-tuned one lower by so much."""
    sizes = [(3.0 + 0.1 * (n % 3), 5 + n % 4) for n in range(40)]
    base = Measured(likelihoods=losses(*sizes), training=losses(*sizes), answers=(), probes=(), benchmarks=())
    tuned = Measured(
        likelihoods=losses(*((loss - unseen, size) for loss, size in sizes)),
        training=losses(*((loss - seen - 0.05 * (size % 2), size) for loss, size in sizes)),
        answers=(),
        probes=(),
        benchmarks=(),
    )
    return overfitting.fit(base, tuned, seed=1)


@pytest.mark.parametrize(
    ("seen", "unseen", "status"), [(2.0, 1.9, "pass"), (2.0, 0.5, "warn"), (1.0, -0.5, "warn"), (0.0, 0.0, "pass")]
)
def test_a_loss_that_fell_on_training_rows_alone_is_called_overfitting(seen: float, unseen: float, status: str):
    fit = fitted(seen, unseen)
    assert fit.held_out_base - fit.held_out_finetuned == pytest.approx(unseen)
    assert fit.gap == pytest.approx(fit.base - fit.finetuned - unseen)
    assert fit.ci95.low <= fit.gap <= fit.ci95.high
    (check,) = overfitting.check(fit)
    assert check.status == status
    assert f"on {fit.n} training rows" in check.details


def test_without_training_rows_nothing_is_said_of_overfitting():
    nothing = Measured(likelihoods=losses((1.0, 2)), answers=(), probes=(), benchmarks=())
    assert overfitting.fit(nothing, nothing, seed=1) is None
    assert overfitting.check(None) == ()


def test_one_row_of_a_kind_gives_the_fall_no_interval():
    before, after = losses((3.0, 5), (2.0, 4)), losses((1.0, 5), (1.5, 4))
    empty: Any = {"answers": (), "probes": (), "benchmarks": ()}
    base = Measured(likelihoods=before, training=before[:1], **empty)
    fit = overfitting.fit(base, Measured(likelihoods=after, training=after[:1], **empty), seed=1)
    assert fit is not None
    assert (fit.gap, fit.ci95) == (pytest.approx(2.0 - 12 / 9), None)


def test_a_sample_of_the_training_rows_is_no_larger_than_what_is_held_out():
    rows = examples(*(row(f"q{n}", "a") for n in range(50)))
    assert len(training_rows.sample(rows, 20, seed=1)) == 20
    assert training_rows.sample(rows, 20, seed=1) == training_rows.sample(rows, 20, seed=1)
    assert len(training_rows.sample(rows, 500, seed=1)) == 50
