"""A training on the tiny model, carried out in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings
from faion_finetuner.core.train.job import run
from faion_finetuner.core.train.request import TrainRequest, resolve
from faion_finetuner.core.train.result import TrainResult

from tests.tiny import tiny_model, write_tiny_rows

THIRD_PARTIES = [
    # peft 0.21 still reads the old name of activation checkpointing
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*is deprecated:FutureWarning"),
]

QUICK = {"learning_rate": 5e-3, "epochs": 3, "batch_size": 4, "gradient_accumulation": 2}


@dataclass(frozen=True)
class Bench:
    """A folder with a tiny model and rows, in which trainings are carried out."""

    settings: Settings

    @property
    def root(self) -> Path:
        return self.settings.roots[0]

    def request(self, output: str = "out", **given: Any) -> TrainRequest:
        numbers = QUICK | given.pop("hyperparameters", {})
        asked = {"data_path": "data", "model_name": "tiny", "output_dir": output, "hyperparameters": numbers}
        return resolve(TrainRequest.model_validate(asked | given), self.settings)

    def active(self, output: str = "out", resume: bool = False) -> ActiveRun:
        folder = RunFolder(path=self.root / output / ".run" / "train-1")
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_status(RunStatus(status="running", launched_at=now()))
        return ActiveRun(folder, self.root / output, resume)

    def train(self, output: str = "out", **given: Any) -> TrainResult:
        return run(self.request(output, **given), self.active(output))

    def files(self, output: str = "out") -> set[str]:
        """What lies in the output folder, the run's own files left out."""
        folder = self.root / output
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        return {name for name in found if not name.startswith(".run/")}


class StopAfter(ActiveRun):
    """A run that is asked to stop once training has logged this many steps."""

    def __init__(self, run: ActiveRun, step: int) -> None:
        super().__init__(run.folder, run.output_dir, run.resume)
        self.step = step

    def metric(self, values: Any) -> None:
        super().metric(values)
        if values["step"] >= self.step and "train_loss" in values:
            self.request_stop()


def make_bench(settings: Settings, rows: int = 48) -> Bench:
    """The tiny model, `rows` rows to train on and 8 other ones to validate with."""
    bench = Bench(settings)
    write_tiny_rows(bench.root / "data" / "train.jsonl", rows)
    write_tiny_rows(bench.root / "data" / "valid.jsonl", 8, seed=1)
    tiny_model(bench.root / "tiny")
    return bench


Told = Callable[[str, str], None]
"""Keeps a line of the table of planted faults: the fault, and what the run said."""
