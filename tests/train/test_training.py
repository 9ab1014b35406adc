"""Whole trainings on the tiny model: what they leave behind, and that it is worth something."""

import json
import math
from pathlib import Path

import pytest
import torch
from faion_finetuner.core.errors import Cancelled, DataError, InputError, TrainingError
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.files import read_examples
from faion_finetuner.core.examples.mask import tokenize
from faion_finetuner.core.models.load import attach_adapter, load_base
from faion_finetuner.core.train.job import run
from faion_finetuner.core.train.objectives import SupervisedLoss
from faion_finetuner.core.train.result import TrainResult
from safetensors.torch import load_file

from tests.tiny import tiny_model

from .bench import THIRD_PARTIES, Bench, StopAfter, Told

pytestmark = THIRD_PARTIES

ADAPTER = {"adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer.json"}
ADAPTER |= {"tokenizer_config.json"}
CHECKPOINT = ADAPTER | {"README.md", "optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json"}
CHECKPOINT |= {"training_args.bin", "complete.json"}


def validation_loss(model: torch.nn.Module, bench: Bench) -> float:
    """Token-weighted loss of the validation rows, computed the plain way."""
    tokenizer = ChatTokenizer.load(bench.root / "tiny")
    total, count = 0.0, 0
    for example in read_examples(bench.root / "data" / "valid.jsonl"):
        row = tokenize(example, tokenizer, None)
        labels = torch.tensor(row.labels[1:])
        with torch.no_grad():
            logits = model(torch.tensor([row.input_ids])).logits[0, :-1].float()
        total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        count += int((labels != -100).sum())
    return total / count


def best_loss(result: TrainResult) -> float:
    assert result.best is not None
    assert result.best.val_loss is not None
    return result.best.val_loss


def test_lora_leaves_an_adapter_and_checkpoints_and_nothing_else(bench: Bench):
    result = bench.train()
    steps = {checkpoint.step for checkpoint in result.checkpoints}
    expected = {f"adapter/{name}" for name in ADAPTER} | {"checkpoints/manifest.json"}
    expected |= {f"checkpoints/checkpoint-{step}/{name}" for step in steps for name in CHECKPOINT}
    assert bench.files() == expected
    assert steps == {10, 15, 18}  # of 5, 10, 15 and 18 the last three are kept
    assert [check.status for check in result.checks if check.name == "Training changed the model"] == ["pass"]


def test_the_loss_falls_and_each_line_of_metrics_is_complete(bench: Bench):
    result = bench.train()
    first, *rest = result.metrics
    assert (first.step, first.train_loss) == (0, None)
    assert first.val_loss is not None
    assert best_loss(result) < 0.95 * first.val_loss
    assert [metric.step for metric in rest] == list(range(1, 19))
    assert all(metric.train_loss and metric.grad_norm and metric.learning_rate is not None for metric in rest)
    written = [json.loads(line) for line in bench.active().folder.metrics_path.read_text().splitlines()]
    assert [line["val_loss"] for line in written if "val_loss" in line] == [
        metric.val_loss for metric in result.metrics if metric.val_loss is not None
    ]


def test_the_saved_adapter_has_the_validation_loss_that_was_reported(bench: Bench):
    result = bench.train(hyperparameters={"dtype": "float32"})
    assert result.adapter_path is not None
    base = load_base(bench.root / "tiny", dtype="float32", settings=bench.settings)
    assert validation_loss(base, bench) == pytest.approx(result.metrics[0].val_loss, rel=1e-4)
    tuned = attach_adapter(base, Path(result.adapter_path))
    assert validation_loss(tuned, bench) == pytest.approx(best_loss(result), rel=1e-4)
    assert tuned.peft_config["default"].base_model_name_or_path == str(bench.root / "tiny")


def test_full_fine_tuning_leaves_a_model_in_the_base_s_number_format(bench: Bench):
    result = bench.train(technique="full", hyperparameters={"learning_rate": 2e-3, "dtype": "float32"})
    assert result.adapter_path is None
    assert result.model_path == str(bench.root / "out" / "model")
    assert load_file(bench.root / "out" / "model" / "model.safetensors")["model.norm.weight"].dtype == torch.float32
    tuned = load_base(bench.root / "out" / "model", dtype="float32", settings=bench.settings)
    assert validation_loss(tuned, bench) == pytest.approx(best_loss(result), rel=1e-4)
    assert best_loss(result) < 0.9 * (result.metrics[0].val_loss or 0)
    generation = json.loads((bench.root / "out" / "model" / "generation_config.json").read_text())
    assert generation == json.loads((bench.root / "tiny" / "generation_config.json").read_text())


def test_qlora_learns_about_as_well_as_lora(bench: Bench):
    lora = bench.train("lora", hyperparameters={"max_steps": 12, "batch_size": 4, "gradient_accumulation": 2})
    qlora = bench.train(
        "qlora", technique="qlora", hyperparameters={"max_steps": 12, "batch_size": 4, "gradient_accumulation": 2}
    )
    # a gradient that does not pass through the 4-bit layers learns far less; bitsandbytes has such a mode
    assert best_loss(qlora) == pytest.approx(best_loss(lora), rel=0.02)
    assert qlora.configuration.effective.batch_size == 4


def test_a_run_that_was_stopped_goes_on_to_the_same_losses(bench: Bench):
    whole = bench.train("whole")
    request = bench.request("cut")
    with pytest.raises(Cancelled):
        run(request, StopAfter(bench.active("cut"), 7))
    assert (bench.root / "cut" / "checkpoints" / "checkpoint-7" / "trainer_state.json").is_file()
    assert not (bench.root / "cut" / "adapter").exists()
    resumed = run(request, bench.active("cut", resume=True))
    assert [metric.step for metric in resumed.metrics] == [metric.step for metric in whole.metrics]
    for one, other in zip(resumed.metrics, whole.metrics, strict=True):
        assert (one.train_loss or 0) == pytest.approx(other.train_loss or 0, rel=1e-6)
        assert (one.val_loss or 0) == pytest.approx(other.val_loss or 0, rel=1e-6)
    assert any(check.name == "Resumed" and "checkpoint-7" in check.details for check in resumed.checks)


def test_a_new_request_may_resume_with_more_epochs_but_not_with_another_rank(bench: Bench):
    bench.train(hyperparameters={"epochs": 1})
    with pytest.raises(TrainingError, match="another rank"):
        bench.train(resume=True, hyperparameters={"epochs": 2, "rank": 8})
    result = bench.train(resume=True, hyperparameters={"epochs": 2})
    assert [metric.step for metric in result.metrics][-1] == 12


def test_a_half_written_checkpoint_is_passed_over(bench: Bench):
    with pytest.raises(Cancelled):
        run(bench.request(), StopAfter(bench.active(), 7))
    (bench.root / "out" / "checkpoints" / "checkpoint-9").mkdir()
    result = run(bench.request(), bench.active(resume=True))
    assert any("checkpoint-7" in check.details for check in result.checks if check.name == "Resumed")


def test_a_run_cut_off_after_its_last_step_only_saves_and_counts_the_time_of_both_attempts(bench: Bench):
    request = bench.request()
    first = run(request, bench.active())
    second = run(request, bench.active(resume=True))
    assert second.metrics == first.metrics
    assert first.resources is not None
    assert second.resources is not None
    assert second.resources.training_time_s >= first.resources.training_time_s
    assert second.resources.tokens_per_second


def test_stopping_before_the_first_step_saves_nothing(bench: Bench):
    active = bench.active()
    active.request_stop()
    with pytest.raises(Cancelled):
        run(bench.request(), active)
    assert bench.files() == set()


def spoil(monkeypatch: pytest.MonkeyPatch, step: int, value: float, seen: dict[str, torch.Tensor]) -> None:
    """Let the loss of one step (two batches each) be multiplied by `value`, and note the weights that it began with."""
    sound = SupervisedLoss.summed
    batches = 0

    def summed(self: SupervisedLoss, model: torch.nn.Module, inputs: dict) -> torch.Tensor:
        nonlocal batches
        loss = sound(self, model, inputs)
        batches += model.training
        if not model.training or (batches - 3) // 2 != step:  # one for the estimate, one rehearsed
            return loss
        seen.update({n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad})
        seen["live"] = model  # pyright: ignore[reportArgumentType]
        return loss * value

    monkeypatch.setattr(SupervisedLoss, "summed", summed)


@pytest.mark.parametrize(("value", "what"), [(math.nan, "loss"), (math.inf, "loss"), (1e35, "gradient")])
def test_a_number_that_is_not_finite_stops_training_before_the_weights_change(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, value: float, what: str
):
    seen: dict[str, torch.Tensor] = {}
    spoil(monkeypatch, step=6, value=value, seen=seen)
    with pytest.raises(TrainingError, match=rf"The {what} became .* in step 7 of 18, on rows \d+") as caught:
        bench.train(hyperparameters={"dtype": "float32"})
    assert "the last checkpoint is checkpoint-5" in caught.value.problem
    assert "learning_rate" in caught.value.next_step
    live = dict(seen.pop("live").named_parameters())  # pyright: ignore[reportAttributeAccessIssue]
    assert all(torch.equal(live[name], weight) for name, weight in seen.items())
    assert not (bench.root / "out" / "adapter").exists()
    saved = load_file(bench.root / "out" / "checkpoints" / "checkpoint-5" / "adapter_model.safetensors")
    assert all(bool(torch.isfinite(weight).all()) for weight in saved.values())


def test_training_stops_early_when_validation_gets_worse_and_keeps_the_best(bench: Bench):
    result = bench.train(
        hyperparameters={"learning_rate": 0.2, "epochs": 20, "save_steps": 3, "early_stopping_patience": 2}
    )
    steps = [metric.step for metric in result.metrics if metric.val_loss is not None]
    assert steps[-1] < 120
    best = result.best
    assert best is not None
    assert steps[-1] == best.step + 2 * 3
    adapter = load_file(Path(str(result.adapter_path)) / "adapter_model.safetensors")
    checkpoint = load_file(Path(best.path) / "adapter_model.safetensors")
    assert all(torch.equal(adapter[name], checkpoint[name]) for name in checkpoint)


def test_a_training_that_changes_nothing_fails_its_check(bench: Bench, told: Told):
    result = bench.train(hyperparameters={"learning_rate": 1e-60, "max_steps": 2})
    (changed,) = (check for check in result.checks if check.name == "Training changed the model")
    assert changed.status == "fail"
    told("The adapter changes nothing", f"{changed.status}: {changed.details}")


def test_rows_without_an_answer_end_the_run_before_training(bench: Bench):
    row = {"messages": [{"role": "user", "content": "x " * 200}, {"role": "assistant", "content": "y"}]}
    (bench.root / "long.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="None of the 1 training rows"):
        bench.train(data_path="long.jsonl", hyperparameters={"max_seq_length": 16})
    assert bench.files() == set()


def test_cut_rows_are_counted_with_what_they_lose(bench: Bench):
    result = bench.train(hyperparameters={"max_seq_length": 30, "max_steps": 1})
    check = next(check for check in result.checks if check.name == "Truncation")
    assert check.status in ("warn", "fail")
    assert check.count
    assert "rows are cut after 30 tokens" in check.details
    assert check.next_step is not None
    assert "max_seq_length" in check.next_step


def test_a_dry_run_estimates_and_writes_nothing(bench: Bench):
    result = run(bench.request(dry_run=True), bench.active())
    assert bench.files() == set()
    assert result.plan is not None
    assert result.plan.steps == 18
    assert result.plan.trainable_parameters == 2 * 16 * (4 * (64 + 64) - 2 * 32 + 3 * (64 + 128))
    assert result.plan.time_s
    assert result.resources is None


def test_without_validation_rows_the_last_checkpoint_counts_and_the_result_says_so(bench: Bench):
    result = bench.train(data_path="data/train.jsonl", hyperparameters={"early_stopping_patience": 2})
    assert result.best is not None
    assert result.best.step == 18
    assert all(metric.val_loss is None for metric in result.metrics)
    assert [c.status for c in result.checks if c.name == "Validation data"] == ["warn"]
    assert [d.name for d in result.configuration.differences] == ["early_stopping_patience"]


def test_packing_trains_on_fewer_sequences(bench: Bench):
    result = bench.train(hyperparameters={"packing": True, "max_seq_length": 120, "epochs": 2})
    assert result.configuration.effective.max_steps == 4
    assert best_loss(result) < (result.metrics[0].val_loss or 0)


def test_more_rows_a_step_than_there_are_is_named_as_a_difference(bench: Bench):
    result = bench.train(hyperparameters={"batch_size": 64, "gradient_accumulation": 4, "max_steps": 1})
    changed = {d.name: (d.requested, d.effective) for d in result.configuration.differences}
    assert changed == {"batch_size": (64, 48), "gradient_accumulation": (4, 1), "epochs": (3, 1)}


def test_layers_that_are_not_there_are_refused_with_those_that_are(bench: Bench):
    with pytest.raises(InputError, match="name no layers") as caught:
        bench.train(hyperparameters={"target_modules": ["query"]})
    assert "q_proj" in caught.value.next_step


def test_an_adapter_on_the_built_in_model_names_it_and_nothing_is_looked_up_on_the_hub(bench: Bench):
    # a look-up would warn that the hub cannot be reached, and a warning fails a test
    tiny_model(bench.settings.cache_dir / "models" / "smollm2-135m-instruct")
    bench.train(model_name="smollm2-135m-instruct", hyperparameters={"max_steps": 2})
    config = json.loads((bench.root / "out" / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "smollm2-135m-instruct"
