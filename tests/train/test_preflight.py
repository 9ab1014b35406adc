"""What is known before the first step: memory, the rehearsal, advice, and that none of it changes the training."""

import dataclasses
import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from faion_finetuner.core.errors import TrainingError
from faion_finetuner.core.models.load import load_base
from faion_finetuner.core.settings import Settings
from faion_finetuner.core.train import advice, estimate, memory, rehearsal
from faion_finetuner.core.train.estimate import Estimate
from faion_finetuner.core.train.hyperparameters import Hyperparameters, Technique, with_defaults
from faion_finetuner.core.train.memory import Footprint, Load
from faion_finetuner.core.train.model import trainable, weights_dtype
from faion_finetuner.core.train.objectives import SupervisedLoss
from faion_finetuner.core.train.rehearsal import Rehearser
from faion_finetuner.core.train.report import report
from faion_finetuner.core.train.result import Plan, TrainResult
from faion_finetuner.core.train.weightless import weightless_base

from tests.tiny import tiny_model

from .bench import THIRD_PARTIES, Bench

pytestmark = THIRD_PARTIES


def batch(rows: int, length: int, trained: int) -> dict[str, Any]:
    ids = torch.arange(rows * length).reshape(rows, length) % 300
    labels = ids.clone()
    labels[:, : length - trained] = -100
    return {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)}


def footprint_of(folder: Path, settings: Settings, technique: Technique, inputs: Any, **numbers: Any) -> Footprint:
    length = inputs["input_ids"].shape[1]
    chosen = with_defaults(Hyperparameters(max_seq_length=length, dtype="float32", **numbers), technique)
    base = weightless_base(folder, weights_dtype(technique, chosen), technique == "qlora", settings)
    model = trainable(base, technique, chosen, "cpu")
    return memory.footprint(model, Load(technique, chosen, SupervisedLoss(), inputs, "cpu", 0.0))


def kept_for_backward(model: torch.nn.Module, inputs: dict[str, Any]) -> int:
    """Bytes that a real forward pass keeps for the backward pass, weights not counted."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = SupervisedLoss().summed(model, inputs)
    bytes_kept = sum(storage.nbytes() for storage in kept.values())
    loss.backward()
    return bytes_kept


@pytest.mark.parametrize(("technique", "rows", "length"), [("lora", 4, 96), ("lora", 2, 600), ("full", 4, 96)])
def test_what_a_pass_keeps_without_numbers_is_what_it_keeps_with_them(
    settings: Settings, technique: Technique, rows: int, length: int
):
    folder = tiny_model(settings.roots[0] / "tiny", layers=4, hidden=128)
    inputs = batch(rows, length, length // 3)
    numbers = with_defaults(Hyperparameters(max_seq_length=length, dtype="float32"), technique)
    real = trainable(load_base(folder, dtype="float32", settings=settings), technique, numbers, "cpu")
    real.train()
    weightless = trainable(weightless_base(folder, "float32", False, settings), technique, numbers, "cpu")
    found = memory._run(weightless, Load(technique, numbers, SupervisedLoss(), inputs, "cpu", 0.0))
    assert found.kept == pytest.approx(kept_for_backward(real, inputs), rel=0.06)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_few_layers_tell_the_memory_of_many(settings: Settings, checkpointing: bool):
    folder = tiny_model(settings.roots[0] / "tiny", layers=9)
    chosen = with_defaults(
        Hyperparameters(max_seq_length=80, dtype="bfloat16", gradient_checkpointing=checkpointing), "lora"
    )
    model = trainable(weightless_base(folder, "bfloat16", False, settings), "lora", chosen, "cpu")
    load = Load("lora", chosen, SupervisedLoss(), batch(4, 80, 30), "cpu", 0.0)
    short = memory._by_few_layers(model, load)
    assert short is not None
    whole = memory._run(model, load)
    assert (short.peak, short.kept) == pytest.approx((whole.peak, whole.kept), rel=1e-3)


def test_weights_gradients_and_moments_are_counted_exactly(settings: Settings):
    folder = tiny_model(settings.roots[0] / "tiny")
    lora = footprint_of(folder, settings, "lora", batch(2, 40, 10))
    full = footprint_of(folder, settings, "full", batch(2, 40, 10))
    qlora = footprint_of(folder, settings, "qlora", batch(2, 40, 10))
    trained = 2 * 16 * (4 * (64 + 64) - 2 * 32 + 3 * (64 + 128))
    assert (lora.adapter, lora.gradients, lora.optimizer) == (4 * trained, 4 * trained, 8 * trained)
    base = load_base(folder, dtype="float32", settings=settings)
    parameters = sum(weight.numel() for weight in base.parameters())
    assert lora.weights == pytest.approx(4 * parameters, rel=1e-3)
    assert (full.weights, full.adapter, full.optimizer) == (pytest.approx(4 * parameters, rel=1e-3), 0, 8 * parameters)
    assert qlora.weights < 0.6 * lora.weights
    assert lora.basis == memory.BY_RUNNING


def test_memory_grows_with_rows_and_length_and_falls_with_checkpointing(settings: Settings):
    folder = tiny_model(settings.roots[0] / "tiny", layers=6)
    usual = footprint_of(folder, settings, "lora", batch(4, 100, 30)).activations
    assert footprint_of(folder, settings, "lora", batch(8, 100, 30)).activations > 1.8 * usual
    assert footprint_of(folder, settings, "lora", batch(4, 200, 60)).activations > 1.9 * usual
    twice = footprint_of(folder, settings, "lora", batch(4, 100, 30), gradient_checkpointing=True)
    assert twice.activations < 0.6 * usual


def test_a_model_whose_code_needs_numbers_is_estimated_by_formula(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def stumble(*_: Any) -> None:
        raise RuntimeError("data-dependent")

    monkeypatch.setattr(estimate, "footprint", stumble)
    result = bench.train(dry_run=True)
    check = found(result, "Memory")
    assert check.status == "pass"
    # 2 layers of 64 and 128 are little beside the libraries; the rehearsal then corrects it
    assert "measured" in check.details


def found(result: TrainResult, name: str) -> Any:
    return next(check for check in result.checks if check.name == name)


def planned(result: TrainResult) -> Plan:
    assert result.plan is not None
    return result.plan


def test_a_dry_run_says_what_each_technique_would_take_and_leaves_nothing_behind(bench: Bench):
    result = bench.train(dry_run=True)
    assert bench.files() == set()
    assert {path.name for path in bench.active().folder.path.iterdir()} == {"status.json"}
    plan = planned(result)
    assert [one.technique for one in plan.advice] == ["lora", "qlora", "full"]
    assert [one.note.startswith("recommended here") for one in plan.advice] == [True, False, False]
    assert sum(plan.memory_parts_gb.values()) == pytest.approx(plan.memory_gb, abs=0.01)
    assert {"process", "adapter", "gradients", "optimizer"} <= set(plan.memory_parts_gb)
    assert found(result, "Rehearsal").status == "pass"
    assert "tokens/s" in plan.time_basis
    text = report(result).markdown
    assert "## Technique" in text
    assert "## Mask preview" in text


def test_the_rehearsed_step_has_the_optimizers_moments_beside_it_as_all_steps_but_the_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    moments, step = [], rehearsal._step

    def watched(trainer: Any, batch: Any) -> float:
        optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
        moments.append(sum(state["exp_avg"].numel() for state in optimizer.state.values()))
        return step(trainer, batch)

    monkeypatch.setattr(rehearsal, "_step", watched)
    plan = planned(bench.train(dry_run=True, technique="full"))
    assert moments[0] == plan.trainable_parameters


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_the_rehearsal_changes_nothing_of_the_training(bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str):
    given = {"hyperparameters": {"dropout": 0.2, "max_steps": 4}, "method": method}
    if method == "dpo":
        write_pairs(bench.root / "pairs.jsonl")
        given["data_path"] = "pairs.jsonl"
    rehearsed = bench.train("rehearsed", **given)
    assert "The most that is computed at once, " in found(rehearsed, "Rehearsal").details
    assert not (bench.active("rehearsed").folder.path / "rehearsal").exists()
    monkeypatch.setattr(Rehearser, "on_train_begin", lambda *_, **__: None)
    plain = bench.train("plain", **given)
    assert [m.train_loss for m in rehearsed.metrics] == [m.train_loss for m in plain.metrics]
    assert [m.grad_norm for m in rehearsed.metrics] == [m.grad_norm for m in plain.metrics]
    assert [m.val_loss for m in rehearsed.metrics] == [m.val_loss for m in plain.metrics]
    assert [m.reward_margin for m in rehearsed.metrics] == [m.reward_margin for m in plain.metrics]


def write_pairs(path: Path) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"A {n}?"}],
            "chosen": [{"role": "assistant", "content": f"good {n}"}],
            "rejected": [{"role": "assistant", "content": f"bad answer {n}"}],
        }
        for n in range(16)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_disk_that_takes_no_checkpoint_is_noticed_before_the_first_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    from faion_finetuner.core.train.trainer import FineTuner

    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FineTuner, "save_model", full_disk)
    with pytest.raises(TrainingError, match=r"checkpoint.*disk is full") as caught:
        bench.train()
    assert "room" in caught.value.next_step or "space" in caught.value.next_step
    assert not (bench.root / "out" / "adapter").exists()
    assert not bench.active().folder.metrics_path.exists()


def test_memory_that_suffices_for_fewer_rows_at_once_is_found_out_before_the_first_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    sound = SupervisedLoss.summed
    failed: list[int] = []

    def summed(self: SupervisedLoss, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        real = type(next(model.parameters()).data) is torch.Tensor  # not the estimate's
        if real and model.training and len(inputs["input_ids"]) > 2:
            failed.append(len(inputs["input_ids"]))
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return sound(self, model, inputs)

    monkeypatch.setattr(SupervisedLoss, "summed", summed)
    result = bench.train(hyperparameters={"max_steps": 3})
    assert failed == [4]  # once, in the rehearsal
    assert result.metrics[-1].step == 3


def test_a_disk_that_is_too_small_for_the_checkpoints_refuses_the_training(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    from faion_finetuner.core.train import plan

    monkeypatch.setattr(plan, "free_disk_bytes", lambda _: 1e5)
    with pytest.raises(TrainingError, match="Checkpoints and result take about"):
        bench.train()


def need(technique: Technique, gigabytes: float, available: float = 10.0) -> Estimate:
    part = Footprint(0, gigabytes * 1e9, 0, 0, 0, 0, "by hand")
    shape: Any = None
    return Estimate(technique, Hyperparameters(), shape, part, available * 1e9)


@pytest.mark.parametrize(
    ("lora", "qlora", "full", "best"),
    [(5, 3, 8, "lora"), (12, 6, 80, "qlora"), (20, 15, 80, None), (5, 3, 4, "lora"), (9, 5, 80, "qlora")],
)
def test_lora_is_recommended_where_it_fits_with_a_margin_else_qlora(lora: int, qlora: int, full: int, best: str | None):
    assert advice.recommended([need("lora", lora), need("qlora", qlora), need("full", full)]) == best


def test_checkpointing_is_turned_on_only_when_memory_needs_it(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    roomy = bench.train(dry_run=True)
    assert roomy.configuration.effective.gradient_checkpointing is False
    monkeypatch.setattr(Estimate, "fits", property(lambda self: bool(self.numbers.gradient_checkpointing)))
    tight = bench.train(dry_run=True)
    assert tight.configuration.effective.gradient_checkpointing is True


def test_a_container_s_limit_counts_and_files_in_its_cache_do_not(tmp_path: Path):
    assert estimate._left_in_group(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("anon 1000\ninactive_file 500\n")
    assert estimate._left_in_group(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("8000\n")
    assert estimate._left_in_group(tmp_path) == 5500


def test_a_measured_peak_corrects_the_activations():
    part = Footprint(1e9, 2e9, 0, 0, 0, 3e9, "estimated")
    assert part.corrected(7e9, "measured").parts_gb() == {"process": 1.0, "weights": 2.0, "activations": 4.0}
    assert dataclasses.replace(part, activations=0.5e9).corrected(1e9, "measured").activations == 0
