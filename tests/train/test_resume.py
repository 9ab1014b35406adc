"""A training that was cut off, at any moment, goes on to the losses of an unbroken one, or says why it cannot."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faion_finetuner.core.errors import TrainingError
from faion_finetuner.core.train import checkpoints
from faion_finetuner.core.train.job import run
from faion_finetuner.core.train.result import TrainResult
from faion_finetuner.core.train.trainer import FineTuner
from safetensors.torch import load_file, save_file

from tests.tiny import write_tiny_rows

from .bench import THIRD_PARTIES, Bench

pytestmark = THIRD_PARTIES

# 18 steps of 6 an epoch; saved at 5, 10, 15, 18; a line of metrics every 3 steps, so none when something is saved;
# dropout needs the random numbers' state
NUMBERS = {"dropout": 0.1, "logging_steps": 3}


def die(*_: Any, **__: Any) -> None:
    """What kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(step: int) -> Callable[[], None]:
    """Die in the backward pass of a step."""

    def plant() -> None:
        sound = FineTuner._clip_grad_norm
        FineTuner._clip_grad_norm = lambda self, model: (
            die() if self.state.global_step == step - 1 else sound(self, model)
        )

    return plant


def while_saving() -> None:
    """Die when half of checkpoint-10's optimizer is written."""
    sound = torch.save

    def save(what: Any, path: Any, *rest: Any, **options: Any) -> None:
        sound(what, path, *rest, **options)
        if "checkpoint-10/optimizer" in str(path):
            os.truncate(path, os.path.getsize(path) // 2)
            die()

    torch.save = save


def before_sealing() -> None:
    """Die when checkpoint-10 is written, but for its seal."""
    sound = checkpoints.seal
    checkpoints.seal = lambda folder, **noted: die() if folder.name == "checkpoint-10" else sound(folder, **noted)


def while_deleting() -> None:
    """Die when checkpoint-5 is half deleted, to make room for the newer ones."""
    sound = shutil.rmtree

    def rmtree(path: Any, *rest: Any, **options: Any) -> None:
        if str(path).endswith("checkpoint-5"):
            (Path(path) / "adapter_model.safetensors").unlink()
            die()
        sound(path, *rest, **options)

    shutil.rmtree = rmtree


def killed(bench: Bench, output: str, plant: Callable[[], None], **given: Any) -> None:
    """Train in a process of its own, which dies where it was planted."""
    child = os.fork()
    if child == 0:
        os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = (
            "1"  # a fork has none of the threads that its parent loaded weights with
        )
        try:
            plant()
            bench.train(output, **given)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def losses(result: TrainResult) -> list[tuple[int, float | None, float | None, float | None]]:
    return [(m.step, m.train_loss, m.val_loss, m.grad_norm) for m in result.metrics]


def resumed_from(result: TrainResult) -> str:
    (check,) = (check for check in result.checks if check.name == "Resumed")
    return f"{check.status}: {check.details}"


@pytest.fixture(scope="module")
def unbroken() -> dict[str, TrainResult]:
    """The result of a technique's training that nothing has cut off, made when first needed."""
    return {}


@pytest.mark.parametrize(
    ("plant", "last"),
    [
        pytest.param(at_step(3), None, id="before any save", marks=pytest.mark.slow),
        pytest.param(at_step(6), 5, id="step 6", marks=pytest.mark.slow),
        pytest.param(at_step(13), 10, id="step 13"),
        pytest.param(while_saving, 5, id="while saving"),
        pytest.param(before_sealing, 5, id="before sealing", marks=pytest.mark.slow),
        pytest.param(while_deleting, 18, id="while deleting"),
    ],
)
def test_a_killed_training_goes_on_to_the_same_losses_to_the_last_digit(
    bench: Bench, unbroken: dict[str, TrainResult], plant: Callable[[], None], last: int | None
):
    if "lora" not in unbroken:
        unbroken["lora"] = bench.train("whole", hyperparameters=NUMBERS)
    killed(bench, "cut", plant, hyperparameters=NUMBERS)
    resumed = run(bench.request("cut", hyperparameters=NUMBERS), bench.active("cut", resume=True))
    assert losses(resumed) == losses(unbroken["lora"])
    assert (f"checkpoint-{last}," in resumed_from(resumed)) == (last is not None)
    assert {checkpoint.step for checkpoint in resumed.checkpoints} == {10, 15, 18}


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked",
    [
        {"technique": "full", "hyperparameters": {"logging_steps": 4}},
        {"technique": "qlora", "hyperparameters": NUMBERS | {"batch_size": 4, "gradient_accumulation": 2}},
        {"hyperparameters": NUMBERS | {"packing": True, "max_seq_length": 120, "save_steps": 2, "batch_size": 2}},
    ],
    ids=["full", "qlora", "packed"],
)
def test_so_does_a_killed_training_of_another_kind(bench: Bench, asked: dict[str, Any]):
    whole = bench.train("whole", **asked)
    killed(bench, "cut", at_step(4 if "packing" in str(asked) else 8), **asked)
    resumed = run(bench.request("cut", **asked), bench.active("cut", resume=True))
    assert losses(resumed) == losses(whole)
    assert resumed_from(resumed).startswith("pass: Training went on from checkpoint-")


def refused(bench: Bench, **asked: Any) -> str:
    """What a resumed run says that was asked for something else than the first one."""
    with pytest.raises(TrainingError, match=r"The checkpoints in .* were made with") as caught:
        bench.train("out", resume=True, **({"hyperparameters": {"max_steps": 3}} | asked))
    assert "another output_dir" in caught.value.next_step
    return caught.value.problem


def test_another_training_is_not_gone_on_with(bench: Bench):
    bench.train(hyperparameters={"max_steps": 3})
    changed = {"max_steps": 3, "rank": 8, "learning_rate": 1e-3, "batch_size": 2, "gradient_accumulation": 4}
    said = refused(bench, seed=7, hyperparameters=changed)
    for words in ("seed (42, now 7)", "rank (16, now 8)", "learning_rate (0.005, now 0.001)", "batch_size (4, now 2)"):
        assert f"another {words}" in said
    path = bench.root / "tiny" / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] += 1e-3
    save_file(weights, path, metadata={"format": "pt"})
    assert "another base model" in refused(bench)
    path = bench.root / "tiny" / "chat_template.jinja"
    path.write_text(path.read_text() + " ")
    write_tiny_rows(bench.root / "data" / "train.jsonl", 48, seed=7)
    write_tiny_rows(bench.root / "data" / "valid.jsonl", 8, seed=8)
    said = refused(bench)
    assert all(words in said for words in ("another chat template", "other training rows", "other validation rows"))


def test_what_may_change_is_named_when_it_does(bench: Bench):
    bench.train(hyperparameters={"max_steps": 3})
    path = bench.root / "out" / "checkpoints" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(manifest))
    said = resumed_from(bench.train(resume=True, hyperparameters={"max_steps": 4}))
    assert said.startswith('warn: Training went on from checkpoint-3, but with another version of torch ("1.0", now ')
    assert "another max_steps (3, now 4)" in said


def test_without_a_whole_checkpoint_it_is_said_that_training_began_anew(bench: Bench):
    bench.train(hyperparameters={"max_steps": 1})
    (bench.root / "out" / "checkpoints" / "checkpoint-1" / checkpoints.SEAL).unlink()
    said = resumed_from(bench.train(resume=True, hyperparameters={"max_steps": 1}))
    assert said.startswith("warn: There was no whole checkpoint yet")


def test_checkpoints_of_another_program_are_neither_gone_on_with_nor_deleted(bench: Bench):
    theirs = bench.root / "out" / "checkpoints" / "checkpoint-500" / "model.safetensors"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    with pytest.raises(TrainingError, match=r"no manifest\.json of this version"):
        bench.train(resume=True, hyperparameters={"max_steps": 1})
    assert theirs.read_bytes() == b"theirs"
