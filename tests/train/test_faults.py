"""Planted faults: each test breaks one thing on purpose, and asserts that the run says so.

`pytest tests/train --fault-table` prints what was said as a table, with faults that other tests plant.
"""

import errno
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faion_finetuner.core.errors import DataError, FinetunerError, TrainingError
from faion_finetuner.core.settings import Settings
from faion_finetuner.core.train.job import run
from faion_finetuner.core.train.objectives import SupervisedLoss
from faion_finetuner.core.train.result import TrainResult
from faion_finetuner.core.train.trainer import FineTuner
from safetensors.torch import load_file, save_file

from tests.tiny import tiny_rows

from .bench import THIRD_PARTIES, Bench, Told, make_bench

pytestmark = THIRD_PARTIES

QUICK = {"max_steps": 6, "save_steps": 2, "logging_steps": 1, "dtype": "float32"}
LOWER = QUICK | {"on_non_finite": "lower_rate"}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """The training that nothing disturbs."""
    root = tmp_path_factory.mktemp("sound")
    settings = Settings(roots=(root,), state_dir=root / "state", cache_dir=root / "cache")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.as_environment().items():
            environment.setenv(name, value)
        return make_bench(settings).train(hyperparameters=QUICK)


def check(result: TrainResult, name: str) -> str:
    (found,) = (check for check in result.checks if check.name == name)
    return f"{found.status}: {found.details}"


def symptom(result: TrainResult, name: str) -> str:
    (found,) = (one for one in result.diagnosis if one.symptom == name)
    return f"{found.symptom}. {found.evidence} Likely: {found.cause}. {found.next_step}"


def differences(result: TrainResult) -> dict[str, tuple[object, object]]:
    return {each.name: (each.requested, each.effective) for each in result.configuration.differences}


def losses(result: TrainResult) -> list[float]:
    return [metric.train_loss for metric in result.metrics if metric.train_loss is not None]


Fault = Callable[[torch.Tensor, dict[str, Any], int | None], torch.Tensor]
"""The loss instead of the sound one, by the batch and the training step, which is None in an evaluation."""


def plant(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """Let `fault` change the loss of every batch; what is tried before the first step stays sound."""
    train, sound = FineTuner.training_step, SupervisedLoss.summed
    steps: list[int] = []

    def training_step(self: FineTuner, *rest: Any, **options: Any) -> torch.Tensor:
        steps.append(self.state.global_step + 1)
        return train(self, *rest, **options)

    def summed(self: SupervisedLoss, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss = sound(self, model, inputs)
        if model.training and not steps:
            return loss
        return fault(loss, inputs, steps[-1] if model.training else None)

    monkeypatch.setattr(FineTuner, "training_step", training_step)
    monkeypatch.setattr(SupervisedLoss, "summed", summed)


def spoiled(*times: int) -> Fault:
    """NaN the first time that the first of these steps comes, then that the second one comes, and so on."""
    left = list(times)

    def fault(loss: torch.Tensor, inputs: dict[str, Any], step: int | None) -> torch.Tensor:
        if not left or step != left[0]:
            return loss
        left.pop(0)
        return loss * math.nan

    return fault


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_rows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told
):
    plant(monkeypatch, spoiled(5))
    with pytest.raises(TrainingError, match=r"loss became nan in step 5 of 6, on rows \d+, .*checkpoint-4") as caught:
        bench.train(hyperparameters=QUICK)
    assert "on_non_finite lower_rate, which goes on from checkpoint-4" in caught.value.next_step
    assert "learning_rate 5e-04" in caught.value.next_step
    assert not (bench.root / "out" / "adapter").exists()
    told("The loss of a batch is NaN", caught.value.problem)


def test_a_base_that_is_unsound_is_told_from_a_training_that_went_wrong(bench: Bench):
    path = bench.root / "tiny" / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = math.nan
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="nan before the first step: the base model is unsound"):
        bench.train(hyperparameters=QUICK)


def test_asked_to_a_training_goes_back_and_on_at_a_tenth_of_the_rate(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told
):
    plant(monkeypatch, spoiled(5))
    result = bench.train(hyperparameters=LOWER)
    assert [metric.step for metric in result.metrics] == [0, 1, 2, 3, 4, 5, 6]
    rates = {metric.step: metric.learning_rate or 0 for metric in result.metrics}
    assert rates[5] < 0.2 * rates[4]
    assert differences(result)["learning_rate"] == (pytest.approx(5e-3), pytest.approx(5e-4))
    assert result.configuration.effective.learning_rate == pytest.approx(5e-4)
    assert check(result, "Finite numbers").startswith("warn: The loss became nan in step 5")
    assert "went back to checkpoint-4" in check(result, "Finite numbers")
    weights = load_file(Path(str(result.adapter_path)) / "adapter_model.safetensors")
    assert all(bool(torch.isfinite(weight).all()) for weight in weights.values())
    told("The same, with on_non_finite lower_rate", symptom(result, "NaN loss"))


def test_before_the_first_save_it_goes_back_to_the_beginning(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    numbers = LOWER | {"max_steps": 3}
    sound = bench.train("sound", hyperparameters=numbers | {"learning_rate": 5e-4})
    plant(monkeypatch, spoiled(2))
    result = bench.train(hyperparameters=numbers)
    assert "went back to checkpoint-0" in check(result, "Finite numbers")
    assert losses(result) == pytest.approx(losses(sound), rel=1e-5)


def test_the_rate_is_lowered_once_only_also_when_the_run_is_resumed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told
):
    plant(monkeypatch, spoiled(5, 6))
    with pytest.raises(TrainingError, match=r"step 6.* had been lowered before") as caught:
        bench.train(hyperparameters=LOWER)
    assert "rate is not to blame" in caught.value.next_step
    plant(monkeypatch, spoiled(5))
    with pytest.raises(TrainingError, match="had been lowered before"):
        run(bench.request(hyperparameters=LOWER), bench.active(resume=True))
    told("The loss is NaN at the lowered rate too", caught.value.next_step)


def test_a_weight_that_is_no_number_is_never_saved(bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told):
    sound = FineTuner._clip_grad_norm

    def clip(self: FineTuner, model: Any) -> Any:
        norm = sound(self, model)
        if self.state.global_step == 3:  # the next save is after this step
            next(p for p in model.parameters() if p.requires_grad).data[0] = math.nan
        return norm

    monkeypatch.setattr(FineTuner, "_clip_grad_norm", clip)
    monkeypatch.setattr(FineTuner, "evaluate", lambda *_, **__: {"eval_loss": 1.0})
    with pytest.raises(TrainingError, match="The weights became nan") as caught:
        bench.train(hyperparameters=QUICK)
    assert {path.name for path in (bench.root / "out" / "checkpoints").iterdir()} == {"manifest.json", "checkpoint-2"}
    told("A weight becomes NaN in an optimizer step", caught.value.problem)


def too_little_memory(rows: int, training: bool) -> Fault:
    """Memory for `rows` sequences at once, and for no more; the failure comes when part of the gradient is there."""

    def fault(loss: torch.Tensor, inputs: dict[str, Any], step: int | None) -> torch.Tensor:
        if training == (step is not None) and len(inputs["input_ids"]) > rows:
            if training:
                (17 * loss).backward()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return loss

    return fault


def test_too_little_memory_for_a_batch_makes_smaller_ones_of_the_same_step(
    bench: Bench, sound: TrainResult, monkeypatch: pytest.MonkeyPatch, told: Told
):
    plant(monkeypatch, too_little_memory(2, training=True))
    result = bench.train(hyperparameters=QUICK)
    assert losses(result) == pytest.approx(losses(sound), rel=1e-5)
    assert differences(result) | {"epochs": None} == {
        "batch_size": (4, 2),
        "gradient_accumulation": (2, 4),
        "epochs": None,
    }
    assert result.configuration.effective_batch == sound.configuration.effective_batch == 8
    assert "a step computes 2 of 4 sequences at once" in check(result, "Memory while training")
    told("Memory does not suffice for a batch", symptom(result, "Out of memory"))


def test_too_little_memory_in_an_evaluation_makes_it_smaller(
    bench: Bench, sound: TrainResult, monkeypatch: pytest.MonkeyPatch, told: Told
):
    plant(monkeypatch, too_little_memory(1, training=False))
    result = bench.train(hyperparameters=QUICK)
    for one, other in zip(result.metrics, sound.metrics, strict=True):
        assert (one.val_loss or 0) == pytest.approx(other.val_loss or 0, rel=1e-5)
    assert result.configuration.effective.batch_size == 4
    told("The same in an evaluation", check(result, "Memory while training"))


def test_too_little_memory_for_one_row_ends_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told):
    plant(monkeypatch, too_little_memory(0, training=True))
    with pytest.raises(TrainingError, match=r"step 1, even with one sequence at once \(on rows \d") as caught:
        bench.train(hyperparameters=QUICK)
    assert "max_seq_length" in caught.value.next_step
    told("Memory does not suffice for one row", f"{caught.value.problem} {caught.value.next_step}")


def test_a_resumed_training_begins_with_the_batches_that_fitted(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as planted:
        plant(planted, too_little_memory(2, training=True))
        first = bench.train(hyperparameters=QUICK)
    again = bench.train(resume=True, hyperparameters=QUICK | {"max_steps": 8})
    assert again.configuration.effective.batch_size == first.configuration.effective.batch_size == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 128 vs 16"), "the disk is full"),
        pytest.param(OSError(errno.ENOSPC, "planted"), "the disk is full", marks=pytest.mark.slow),
        pytest.param(OSError(errno.EACCES, "planted"), "writing there is not allowed", marks=pytest.mark.slow),
    ],
)
def test_a_checkpoint_that_cannot_be_written_leaves_nothing_of_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told, error: Exception, words: str
):
    sound = torch.save

    def save(what: Any, path: Any, *rest: Any, **options: Any) -> None:
        if "checkpoint-4" in str(path):
            raise error
        sound(what, path, *rest, **options)

    with monkeypatch.context() as planted:
        planted.setattr(torch, "save", save)
        with pytest.raises(TrainingError, match=f"Checkpoint checkpoint-4 could not be written .*{words}") as caught:
            bench.train(hyperparameters=QUICK)
    folder = bench.root / "out" / "checkpoints"
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "checkpoint-2"}
    resumed = run(bench.request(hyperparameters=QUICK), bench.active(resume=True))
    assert "checkpoint-2, with everything as it was" in check(resumed, "Resumed")
    told(f"Saving fails: {words}", caught.value.problem.replace(str(bench.root), "…"))


def test_a_dead_data_loader_ends_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told):
    def fetch(self: FineTuner, *_: Any) -> None:
        raise RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed.")

    monkeypatch.setattr(FineTuner, "get_batch_samples", fetch)
    with pytest.raises(TrainingError, match=r"process that loads the rows died: .*4711") as caught:
        bench.train(hyperparameters=QUICK)
    told("The data loader's process is killed", caught.value.problem)


def test_a_loss_without_gradient_is_seen_while_training(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told, caplog: pytest.LogCaptureFixture
):
    plant(monkeypatch, lambda loss, inputs, step: loss * (0.0 if step else 1.0))
    result = bench.train(hyperparameters=QUICK | {"max_steps": 12, "early_stopping_patience": 0})
    assert "exactly 0 in all 12 lines" in symptom(result, "No gradient")
    assert any("norm was exactly 0 in all 6 lines" in line for line in caplog.messages)  # in the middle of the run
    assert check(result, "Training changed the model").startswith("fail")
    told("The loss has no gradient", symptom(result, "No gradient"))


def test_a_frozen_learning_rate_is_named(bench: Bench, told: Told):
    result = bench.train(hyperparameters=QUICK | {"learning_rate": 1e-60})
    told("The learning rate is frozen", symptom(result, "Frozen learning rate"))


def test_an_exploding_gradient_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told):
    plant(monkeypatch, lambda loss, inputs, step: loss * (1e4 if step == 4 else 1.0))
    told("A gradient explodes", symptom(bench.train(hyperparameters=QUICK), "The gradient exploded"))


def test_overfitting_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Told):
    last = 0

    def fault(loss: torch.Tensor, inputs: dict[str, Any], step: int | None) -> torch.Tensor:
        nonlocal last
        last = step or last
        return loss if step else loss * (1 + 0.1 * max(0, last - 3))

    plant(monkeypatch, fault)
    told("The validation loss rises again", symptom(bench.train(hyperparameters=QUICK), "Overfitting"))


def data(bench: Bench, rows: list[dict[str, Any]]) -> str:
    (bench.root / "planted.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "planted.jsonl"


def answered(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def test_a_mask_that_trains_nothing_is_refused(bench: Bench, told: Told):
    with pytest.raises(DataError, match="None of the 3 training rows has a token to learn") as caught:
        bench.train(data_path=data(bench, [answered("x " * 100, "y")] * 3), hyperparameters={"max_seq_length": 16})
    told("The answers lie beyond max_seq_length", str(caught.value.problem))


def test_rows_without_a_trained_token_are_left_out_and_named(bench: Bench, told: Told):
    rows = [*tiny_rows(12), answered("x " * 200, "y")]
    result = bench.train(data_path=data(bench, rows), hyperparameters=QUICK | {"max_seq_length": 60, "max_steps": 1})
    assert "row 13" in check(result, "Loss mask")
    told("A row has no trained token", check(result, "Loss mask"))


def test_cut_answers_are_counted(bench: Bench, told: Told):
    result = bench.train(hyperparameters=QUICK | {"max_seq_length": 30, "max_steps": 1})
    told("Answers are cut", check(result, "Truncation"))


def test_validation_rows_that_were_trained_on_are_found(bench: Bench, told: Told):
    (bench.root / "data" / "valid.jsonl").write_bytes((bench.root / "data" / "train.jsonl").read_bytes())
    told("Validation rows are training rows", check(bench.train(hyperparameters=QUICK), "Validation data"))


def test_other_rows_cannot_be_trained_on_where_a_training_is_resumed(bench: Bench, told: Told):
    bench.train(hyperparameters=QUICK)
    path = bench.root / "data" / "train.jsonl"
    path.write_text(path.read_text().replace("colour", "color", 1))
    with pytest.raises(FinetunerError, match="other training rows") as caught:
        bench.train(resume=True, hyperparameters=QUICK)
    told("The data has changed before a resume", caught.value.problem.replace(str(bench.root), "…"))
