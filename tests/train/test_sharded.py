"""A model of which each process holds a part of every layer trains, stops, resumes and is saved as any other."""

import math
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from faion_finetuner.core.errors import Cancelled
from faion_finetuner.core.models.load import load_base
from faion_finetuner.core.models.machine import look
from faion_finetuner.core.train import estimate, settle
from faion_finetuner.core.train.distributed import WORLD_SIZE
from faion_finetuner.core.train.estimate import MARGIN, Estimate
from faion_finetuner.core.train.memory import Footprint
from faion_finetuner.core.train.result import TrainResult
from faion_finetuner.core.train.trainer import FineTuner

from tests.tiny import tiny_model, write_tiny_rows

from .bench import THIRD_PARTIES, Bench
from .pairs import write_records
from .test_distributed import approximately, forked, losses, nothing, stops_at

pytestmark = THIRD_PARTIES

SIZE: dict[str, Any] = {"hidden": 192, "layers": 6}  # so large that sharding saves more than gathering a layer takes
NUMBERS: dict[str, Any] = {
    **{"dtype": "float32", "gradient_checkpointing": False},
    **{"batch_size": 2, "gradient_accumulation": 4, "learning_rate": 1e-3, "epochs": 1},
}
FULL: dict[str, Any] = {"technique": "full", "hyperparameters": NUMBERS}
TWO = {**FULL, "num_processes": 2}


@pytest.fixture
def bench(bench: Bench) -> Bench:
    tiny_model(bench.root / "tiny", **SIZE)
    write_tiny_rows(bench.root / "data" / "train.jsonl", 41)  # 21 batches of 2: one process lacks one, and a row
    write_tiny_rows(bench.root / "data" / "valid.jsonl", 7, seed=1)
    return bench


def estimated(bench: Bench, **given: Any) -> Estimate:
    return settle.settle_job(bench.request(**given), bench.active()).setup.estimate


def short_of_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Estimate:
    """From now on a process may use less than the whole model needs, and more than its part; returns the estimate."""
    monkeypatch.setattr(settle, "process_bytes", lambda *_: 0.0)
    plenty = estimated(bench, **given)
    assert plenty.other_way is not None
    between = (plenty.footprint.total + plenty.other_way.total) / 2 / MARGIN
    monkeypatch.setattr(settle, "available_bytes", lambda *_: between)
    return plenty


def answers(bench: Bench, folder: Path | str | None) -> torch.Tensor:
    """The logits of a saved model, loaded in this process alone."""
    assert folder is not None
    model = load_base(Path(folder), dtype="float32", settings=bench.settings)
    with torch.no_grad():
        return model(torch.arange(40)[None]).logits


def check(result: TrainResult, name: str) -> Any:
    return next(one for one in result.checks if one.name == name)


def test_sharded_layers_have_the_losses_of_one_process_and_give_a_plain_model(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    one = bench.train("one", **FULL)
    short_of_memory(bench, monkeypatch, **TWO)
    two = forked(bench, "two", **TWO)
    assert losses(two) == approximately(losses(one))
    assert "So the layers are sharded." in check(two, "Sharding").details
    assert {path.name for path in (bench.root / "two" / "model").iterdir()} == {
        path.name for path in (bench.root / "one" / "model").iterdir()
    }
    whole, saved = (answers(bench, result.model_path) for result in (one, two))
    assert torch.allclose(saved, whole, atol=0.02)
    assert not torch.allclose(saved, answers(bench, bench.root / "tiny"), atol=0.5)


@pytest.mark.slow
def test_a_stopped_one_goes_on_as_it_began_and_keeps_the_best_checkpoint(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    tiny_model(bench.root / "tiny", **SIZE, tied=False)
    unlike = [{"messages": [{"role": "user", "content": "say it"}, {"role": "assistant", "content": "zq" * 20}]}]
    write_records(bench.root / "data" / "valid.jsonl", unlike)  # so its loss rises again
    asked = {
        **TWO,
        "hyperparameters": NUMBERS
        | {"learning_rate": 1e-2, "max_steps": 9, "save_steps": 3, "gradient_checkpointing": True},
    }
    one = bench.train("one", **asked | {"num_processes": 1})
    plenty = settle.available_bytes
    short_of_memory(bench, monkeypatch, **asked)
    with pytest.raises(Cancelled):
        forked(bench, "cut", (stops_at(4), nothing), **asked)
    monkeypatch.setattr(settle, "available_bytes", plenty)
    resumed = forked(bench, "cut", **asked, resuming=True)
    assert losses(resumed) == approximately(losses(one))
    assert "So the layers are sharded." in check(resumed, "Sharding").details
    assert resumed.best is not None
    assert resumed.best.step < 9
    assert torch.allclose(answers(bench, resumed.model_path), answers(bench, resumed.best.path), atol=0.02)


def spoils_one_batch() -> None:
    """The loss of a batch of the third step is not a number; when the step comes again, it is."""
    sound, done = FineTuner.with_gradient, False

    def with_gradient(self: FineTuner, model: Any, inputs: dict[str, Any], units: Any) -> torch.Tensor:
        nonlocal done
        loss = sound(self, model, inputs, units)
        done, now = done or self.state.global_step == 2, self.state.global_step == 2 and not done
        return loss * math.nan if now else loss

    FineTuner.with_gradient = with_gradient


@pytest.mark.slow
def test_a_number_that_is_not_finite_is_got_over_at_a_lower_rate(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    asked = {**TWO, "hyperparameters": NUMBERS | {"on_non_finite": "lower_rate", "save_steps": 1}}
    short_of_memory(bench, monkeypatch, **asked)
    result = forked(bench, "out", (nothing, spoils_one_batch), **asked)
    finite = check(result, "Finite numbers")
    assert finite.status == "warn"
    assert "became nan in step 3 of 6" in finite.details
    assert "went back to checkpoint-2" in finite.details
    assert result.metrics[-1].step == 6


def test_a_dry_run_says_what_each_process_needs_both_ways(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    found = short_of_memory(bench, monkeypatch, **TWO)
    assert found.other_way is not None
    result = bench.train(dry_run=True, **TWO)
    assert result.plan is not None
    assert result.plan.memory_parts_gb == found.other_way.parts_gb()
    assert (
        "processes needs about 0.04 GB with the whole model, 0.03 GB when its layers are sharded"
        in check(result, "Sharding").details
    )
    assert "by each of 2 processes" in check(result, "Memory").details
    assert "formula" in result.plan.time_basis


def test_layers_are_sharded_only_where_the_whole_model_does_not_fit_and_sharding_helps(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    assert not estimated(bench, **TWO).sharded
    assert estimated(bench, **FULL).other_way is None
    assert estimated(bench, num_processes=2, technique="qlora").other_way is None
    short_of_memory(bench, monkeypatch, **TWO)
    assert estimated(bench, **TWO).sharded
    tiny_model(bench.root / "tiny", hidden=192, layers=1)
    assert not estimated(bench, **TWO).sharded


def test_a_part_is_counted_with_the_layers_that_are_gathered():
    whole = Footprint(1.0, 40.0, 0.0, 40.0, 80.0, 7.0, "counted")
    assert whole.sharded(4, gathered=5.0) == Footprint(1.0, 10.0, 0.0, 10.0, 20.0, 7.0, "counted", 5.0)
    assert whole.sharded(4, gathered=5.0).total == 53.0


def test_processes_on_a_processor_share_its_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(estimate, "_left_in_group", lambda _: 8e9)
    own = psutil.Process().memory_info().rss
    machine = look().model_copy(update={"device": "cpu"})
    assert estimate.available_bytes(machine) == pytest.approx(8e9 + own, rel=0.01)
    assert estimate.available_bytes(machine, 4) == pytest.approx((8e9 + own) / 4, rel=0.01)  # the others come yet
    monkeypatch.setenv(WORLD_SIZE, "4")
    assert estimate.available_bytes(machine, 4) == pytest.approx(8e9 / 4 + own, rel=0.01)
