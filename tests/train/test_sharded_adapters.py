"""An adapter trains on a base of which each process holds a part of every layer, as it does on a whole one."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from faion_finetuner.core.errors import Cancelled
from faion_finetuner.core.models.load import attach_adapter, load_base
from faion_finetuner.core.train import settle
from faion_finetuner.core.train.distributed import rank
from faion_finetuner.core.train.memory import Footprint
from faion_finetuner.core.train.result import TrainResult
from faion_finetuner.core.train.sharded import ShardedBaseTuner
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from tests.tiny import tiny_model, write_tiny_rows

from .bench import THIRD_PARTIES, Bench
from .pairs import tiny_pairs, write_records
from .test_distributed import Plant, approximately, forked, losses, nothing, stops_at
from .test_sharded import NUMBERS, check, estimated, short_of_memory, spoils_one_batch

pytestmark = THIRD_PARTIES

SIZE: dict[str, Any] = {"hidden": 256, "layers": 12}  # so large that sharding saves more than gathering a layer takes
TWO: dict[str, Any] = {"hyperparameters": NUMBERS, "num_processes": 2}
PAIRED = ("dpo", "orpo", "kto")
WEIGHTS = "adapter_model.safetensors"
SHARDED = "So the layers are sharded."


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """17 rows or pairs: of a step's batches of 2 one process lacks one, and a row."""
    tiny_model(bench.root / "tiny", **SIZE)
    for folder, write in (("data", write_tiny_rows), ("pairs", _write_pairs)):
        write(bench.root / folder / "train.jsonl", 17)
        write(bench.root / folder / "valid.jsonl", 5, seed=1)
    return bench


def _write_pairs(path: Path, n: int, seed: int = 0) -> None:
    write_records(path, tiny_pairs(n, seed))


def answers(bench: Bench, result: TrainResult) -> torch.Tensor:
    """The logits of the saved adapter on the plain base, in this process alone."""
    assert result.adapter_path is not None
    base = load_base(bench.root / "tiny", dtype="float32", settings=bench.settings)
    with torch.no_grad():
        return attach_adapter(base, Path(result.adapter_path))(torch.arange(40)[None]).logits


def tells_what_it_holds(folder: Path) -> Plant:
    """A process notes the bytes of the frozen weights that it holds, and fails should any weight be put together."""

    def plant() -> None:
        made = ShardedBaseTuner.__init__

        def init(self: ShardedBaseTuner, **options: Any) -> None:
            made(self, **options)
            frozen = [p for p in self.model.parameters() if not p.requires_grad]
            held = sum(p.to_local().nbytes if isinstance(p, DTensor) else p.nbytes for p in frozen)
            whole = sum(p.numel() * p.element_size() for p in frozen)
            adapter = [p for p in self.model.parameters() if p.requires_grad]
            noted = {"held": held, "whole": whole, "adapter_in_parts": any(isinstance(p, DTensor) for p in adapter)}
            (folder / f"held-{rank()}.json").write_text(json.dumps(noted))

        def gather(*_: Any, **__: Any) -> Any:
            raise AssertionError("a weight was put together")

        ShardedBaseTuner.__init__ = init
        DTensor.full_tensor = gather

    return plant


@pytest.mark.parametrize("method", ["sft", *(pytest.param(name, marks=pytest.mark.slow) for name in PAIRED)])
def test_each_process_holds_its_share_of_the_base_and_the_training_is_that_of_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str
):
    in_pairs = method != "sft"
    asked: dict[str, Any] = {"method": method, "data_path": "pairs" if in_pairs else "data"}
    asked["hyperparameters"] = NUMBERS | {"gradient_checkpointing": in_pairs}
    one = bench.train("one", **asked)
    short_of_memory(bench, monkeypatch, **asked, num_processes=2)
    told = tells_what_it_holds(bench.root)
    two = forked(bench, "two", (told, told), **asked, num_processes=2)
    assert SHARDED in check(two, "Sharding").details
    assert losses(two) == approximately(losses(one))
    norms = [[metric.grad_norm for metric in result.metrics if metric.grad_norm] for result in (one, two)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
    margins = [[metric.reward_margin for metric in result.metrics] for result in (one, two)]
    assert margins[1] == [margin and pytest.approx(margin, rel=1e-3, abs=1e-6) for margin in margins[0]]
    noted = [json.loads((bench.root / f"held-{rank}.json").read_text()) for rank in (0, 1)]
    assert sum(each["held"] for each in noted) == noted[0]["whole"]
    assert all(each["held"] <= 0.51 * each["whole"] and not each["adapter_in_parts"] for each in noted)
    assert torch.allclose(answers(bench, two), answers(bench, one), atol=1e-4)
    base = load_base(bench.root / "tiny", dtype="float32", settings=bench.settings)
    assert not torch.allclose(answers(bench, two), base(torch.arange(40)[None]).logits, atol=1e-2)
    assert bench.files("two") - bench.files("one") == {
        f"checkpoints/{checkpoint.name}/rng_state_{rank}.pth" for checkpoint in two.checkpoints for rank in (0, 1)
    }


@pytest.mark.slow
def test_a_stopped_one_goes_on_sharded_or_not_and_keeps_the_best_checkpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    unlike = [{"messages": [{"role": "user", "content": "say it"}, {"role": "assistant", "content": "zq" * 20}]}]
    write_records(bench.root / "data" / "valid.jsonl", unlike)  # so its loss rises again
    changed = {"learning_rate": 5e-3, "max_steps": 6, "save_steps": 2, "gradient_checkpointing": True}
    asked = {**TWO, "hyperparameters": NUMBERS | changed}
    one = bench.train("one", **asked | {"num_processes": 1})
    plenty = settle.available_bytes
    short_of_memory(bench, monkeypatch, **asked)
    for output in ("cut", "cut-too"):
        with pytest.raises(Cancelled):
            forked(bench, output, (stops_at(3), nothing), **asked)
    resumed = forked(bench, "cut", **asked, resuming=True)
    assert SHARDED in check(resumed, "Sharding").details
    monkeypatch.setattr(settle, "available_bytes", plenty)
    whole = forked(bench, "cut-too", **asked, resuming=True)
    assert "So each has the whole model" in check(whole, "Sharding").details
    assert losses(resumed) == approximately(losses(one))
    assert losses(whole) == approximately(losses(one))
    assert resumed.best is not None
    assert resumed.best.step < 6
    best, saved = (load_file(Path(str(path)) / WEIGHTS) for path in (resumed.best.path, resumed.adapter_path))
    assert all(torch.equal(weight, best[name]) for name, weight in saved.items())


@pytest.mark.slow
def test_a_number_that_is_not_finite_is_got_over_at_a_lower_rate(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    asked = {**TWO, "hyperparameters": NUMBERS | {"on_non_finite": "lower_rate", "save_steps": 1}}
    short_of_memory(bench, monkeypatch, **asked)
    result = forked(bench, "out", (nothing, spoils_one_batch), **asked)
    finite = check(result, "Finite numbers")
    assert finite.status == "warn"
    assert "became nan in step 3 of 3" in finite.details
    assert "went back to checkpoint-2" in finite.details


@pytest.mark.slow
def test_experiments_share_a_sharded_base(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    asked = {**TWO, "experiments": [{"learning_rate": 1e-3}, {"learning_rate": 2e-3}]}
    one = bench.train("one", **asked | {"num_processes": 1})
    short_of_memory(bench, monkeypatch, **TWO)
    two = forked(bench, "two", **asked)
    assert SHARDED in check(two, "Sharding").details
    assert [experiment.error for experiment in two.experiments] == [None, None]
    assert [e.val_loss for e in two.experiments] == [pytest.approx(e.val_loss, rel=1e-5) for e in one.experiments]


@pytest.mark.slow
@pytest.mark.parametrize("method", PAIRED)
def test_all_weights_learn_from_pairs_when_they_are_sharded(bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str):
    given: dict[str, Any] = {"technique": "full", "method": method, "data_path": "pairs"}
    one = bench.train("one", **given, hyperparameters=NUMBERS)
    short_of_memory(bench, monkeypatch, **TWO | given)
    two = forked(bench, "two", **TWO | given)
    assert SHARDED in check(two, "Sharding").details
    assert losses(two) == approximately(losses(one))


def test_a_dry_run_says_what_each_process_needs_both_ways(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    plenty = short_of_memory(bench, monkeypatch, **TWO)
    assert plenty.other_way is not None
    result = bench.train(dry_run=True, **TWO)
    assert result.plan is not None
    assert result.plan.memory_parts_gb == plenty.other_way.parts_gb()
    assert SHARDED in check(result, "Sharding").details
    lora = next(one for one in result.plan.advice if one.technique == "lora")
    assert "each process holds a part of every layer (FSDP2)" in lora.note
    whole, parts = plenty.footprint, plenty.other_way
    assert parts.weights == whole.weights / 2
    assert (parts.adapter, parts.gradients, parts.optimizer) == (whole.adapter, whole.gradients, whole.optimizer)
    layer = 4 * (256 * (256 + 128 + 128 + 256) + 3 * 256 * 512 + 2 * 256)  # float32; a frozen one has no gradient
    matrix = 4 * 256 * load_base(bench.root / "tiny", settings=bench.settings).config.vocab_size
    assert parts.gathered == 3 * layer + 3 * matrix


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"technique": "qlora"}, "4-bit weights are loaded whole"),
        ({"use_dora": True}, "DoRA begins with the norms of whole weights"),
        ({"init_lora_weights": "pissa"}, "PiSSA begins by decomposing whole weights"),
    ],
)
def test_what_cannot_be_sharded_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], reason: str
):
    short_of_memory(bench, monkeypatch, **TWO)
    technique = given.pop("technique", "lora")
    asked = TWO | {"technique": technique, "hyperparameters": NUMBERS | given}
    assert not estimated(bench, **asked).sharded
    monkeypatch.setattr(settle, "available_bytes", lambda *_: 1e9)
    result = bench.train(dry_run=True, **asked)
    assert check(result, "Sharding").details.endswith(f"its layers are not sharded, since {reason}.")


def test_an_adapter_is_counted_whole():
    whole = Footprint(1.0, 40.0, 4.0, 4.0, 8.0, 7.0, "counted")
    assert whole.sharded(4, gathered=5.0) == Footprint(1.0, 10.0, 4.0, 4.0, 8.0, 7.0, "counted", 5.0)
