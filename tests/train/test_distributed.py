"""Several processes train as one does, agree on every end, and none outlives the worker."""

import json
import math
import os
import signal
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from faion_finetuner.core import files
from faion_finetuner.core.errors import Cancelled, InputError, TrainingError
from faion_finetuner.core.runs import launch, watch
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.train import member, together
from faion_finetuner.core.train.distributed import LOCAL_RANK, RANK, WORLD_SIZE, Evened
from faion_finetuner.core.train.mode import MODE
from faion_finetuner.core.train.objectives import SupervisedLoss
from faion_finetuner.core.train.recipe import Recipe
from faion_finetuner.core.train.result import TrainResult
from faion_finetuner.core.train.sharing import share

from tests.tiny import write_tiny_rows

from .bench import THIRD_PARTIES, Bench
from .pairs import tiny_pairs, write_records

pytestmark = THIRD_PARTIES

TWO: dict[str, Any] = {"num_processes": 2, "hyperparameters": {"dtype": "float32", "epochs": 2}}
ONE = {"hyperparameters": TWO["hyperparameters"]}
Plant = Callable[[], None]


def nothing() -> None:
    """No fault is planted."""


def forked(bench: Bench, output: str, plants: tuple[Plant, Plant] = (nothing, nothing), **given: Any) -> TrainResult:
    """What two processes come to that are forked from this one, which spares them the start."""
    run = bench.active(output, resume=given.pop("resuming", False))
    folder = run.folder.path / together.FOLDER
    order = member.Order(
        request=bench.request(output, **given), run_dir=run.folder.path, output_dir=run.output_dir, resume=run.resume
    )
    files.write_model(folder / member.ORDER, order)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with together._held(folder / member.ALIVE):
        children = [_fork(folder, rank, port, plant) for rank, plant in enumerate(plants)]
        for child in children:
            os.waitpid(child, 0)
    return together._outcome(2, folder, run)


def _fork(folder: Path, rank: int, port: int, plant: Plant) -> int:
    child = os.fork()
    if child:
        return child
    numbers = {RANK: rank, LOCAL_RANK: rank, WORLD_SIZE: 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in numbers.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"})
    try:
        plant()
        os._exit(member.main(folder))
    except BaseException:  # noqa: BLE001 - a forked process must never come back into the test
        traceback.print_exc()
        os._exit(1)


def losses(result: TrainResult) -> list[tuple[int, float | None, float | None]]:
    return [(metric.step, metric.train_loss, metric.val_loss) for metric in result.metrics]


def approximately(found: list[tuple[int, float | None, float | None]]) -> Any:
    return [tuple(number and pytest.approx(number, rel=1e-5) for number in line) for line in found]


def test_two_processes_have_the_losses_of_one_whatever_is_left_over(bench: Bench):
    write_tiny_rows(bench.root / "data" / "train.jsonl", 41)  # 11 batches of 4: one process lacks one, and 3 rows
    write_tiny_rows(bench.root / "data" / "valid.jsonl", 7, seed=1)
    one, two = bench.train("one", **ONE), forked(bench, "two", **TWO)
    assert losses(two) == approximately(losses(one))
    assert two.configuration.effective_batch == one.configuration.effective_batch == 8
    assert [(d.name, d.effective, d.reason) for d in two.configuration.differences] == [
        ("gradient_accumulation", 1, "2 processes share a step")
    ]
    lines = [json.loads(line) for line in bench.active("two").folder.metrics_path.read_text().splitlines()]
    assert [line["step"] for line in lines if "train_loss" in line] == list(range(1, 13))
    assert two.resources is not None
    assert bench.files("two") - bench.files("one") == {
        f"checkpoints/{checkpoint.name}/rng_state_{rank}.pth" for checkpoint in two.checkpoints for rank in (0, 1)
    }


def test_pairs_left_over_count_once_too(bench: Bench):
    write_records(bench.root / "pairs" / "train.jsonl", tiny_pairs(17))
    write_records(bench.root / "pairs" / "valid.jsonl", tiny_pairs(5, seed=1))
    given: dict[str, Any] = {"data_path": "pairs", "method": "dpo"}
    numbers: dict[str, Any] = {"hyperparameters": {"dtype": "float32", "max_steps": 4, "learning_rate": 1e-3}}
    one = bench.train("one", **given, **numbers)
    two = forked(bench, "two", **given, **numbers, num_processes=2)
    assert losses(two) == approximately(losses(one))


def spoiled() -> None:
    """The loss of the fourth batch is not a number."""
    sound, batches = SupervisedLoss.summed, 0

    def summed(self: SupervisedLoss, model: torch.nn.Module, inputs: dict) -> torch.Tensor:
        nonlocal batches
        batches += torch.is_grad_enabled()
        return sound(self, model, inputs) * (math.nan if batches == 4 and torch.is_grad_enabled() else 1)

    SupervisedLoss.summed = summed


def test_a_number_that_is_not_finite_in_one_process_ends_all_and_names_its_rows(bench: Bench):
    with pytest.raises(TrainingError, match=r"The loss became nan in step \d+ of 12, on rows (\d+(, )?)+ of the"):
        forked(bench, "out", (nothing, spoiled), **TWO)
    assert not (bench.root / "out" / "adapter").exists()


def stops_at(step: int) -> Plant:
    """The first process is asked to stop once it has logged this step; the other is not."""

    def plant() -> None:
        sound = ActiveRun.metric

        def metric(self: ActiveRun, values: Any) -> None:
            sound(self, values)
            if values["step"] >= step and "train_loss" in values:
                self.request_stop()

        ActiveRun.metric = metric

    return plant


def test_a_stop_in_one_process_stops_all_with_a_checkpoint_to_go_on_from(bench: Bench):
    one = bench.train("one", **ONE)
    with pytest.raises(Cancelled):
        forked(bench, "cut", (stops_at(5), nothing), **TWO)
    assert (bench.root / "cut" / "checkpoints" / "checkpoint-5" / "rng_state_1.pth").is_file()
    resumed = forked(bench, "cut", **TWO, resuming=True)
    assert losses(resumed) == approximately(losses(one))
    with pytest.raises(TrainingError, match="were made with"):
        bench.train("cut", **ONE, resume=True, overwrite=True)


def test_more_processes_than_gpus_are_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    machine = together.look().model_copy(update={"device": "cuda"})
    monkeypatch.setattr(together, "look", lambda: machine)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="num_processes is 2, but this machine has 1 GPU"):
        bench.train(num_processes=2)


@pytest.mark.parametrize(
    ("batch", "accumulation", "processes", "shared", "step"),
    [(4, 4, 2, (4, 2), 16), (4, 1, 2, (2, 1), 4), (4, 3, 2, (3, 2), 12), (2, 8, 8, (2, 1), 16), (4, 4, 3, (3, 2), 18)],
)
def test_a_step_is_shared_without_changing_its_rows(
    bench: Bench, batch: int, accumulation: int, processes: int, shared: tuple[int, int], step: int
):
    numbers = bench.request(hyperparameters={"batch_size": batch, "gradient_accumulation": accumulation})
    whole = Recipe(numbers.hyperparameters, 48, 3, 9, 3, 1, ())
    found = share(whole, processes)
    assert (found.batch_size, found.gradient_accumulation) == shared
    assert found.batch_size * found.gradient_accumulation * processes == step
    told = any("instead of" in difference.reason for difference in found.differences)
    assert told == (step != batch * accumulation)


def test_an_evened_order_has_each_row_once_and_whole_batches_for_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(WORLD_SIZE, "3")
    order = list(Evened(range(10), 2))
    assert order == [*range(10), 10, 10]


def started(bench: Bench) -> Any:
    """A run of two processes in a worker of its own, once both train."""
    request = bench.request(num_processes=2, hyperparameters={"epochs": 1000, "early_stopping_patience": 0})
    folder = launch.start(MODE, {}, request, bench.settings)
    while not folder.metrics_path.is_file():
        assert watch.observe(folder).status in ("queued", "running"), folder.log_tail(30)
    return folder


def members(folder: Any) -> list[psutil.Process]:
    worker = psutil.Process(folder.status().pid)
    return [one for one in worker.children(recursive=True) if RANK in one.environ()]


@pytest.mark.slow
def test_torchrun_starts_the_processes_and_a_dead_one_is_named(bench: Bench):
    folder = started(bench)
    processes = members(folder)
    assert len(processes) == 2
    processes[1].kill()
    while watch.observe(folder).status == "running":
        pass
    error = folder.status().error
    assert error is not None
    assert "of 2 was killed (SIGKILL); the others were stopped" in error.problem
    assert not any(process.is_running() for process in processes)


@pytest.mark.slow
def test_no_process_outlives_a_killed_worker(bench: Bench):
    folder = started(bench)
    processes = members(folder)
    os.kill(folder.status().pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
    assert watch.observe(folder).status == "failed"
