"""Where an adapter comes from: the train run whose output folder it lies in, if there is one."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import PathError, RunNotFoundError
from ..paths import confine
from ..runs.record import RunFolder
from ..settings import Settings

RUNS = ".run"
LEVELS = 3  # output_dir/adapter, output_dir/checkpoints/checkpoint-N


@dataclass(frozen=True, slots=True)
class Training:
    """What is known of an adapter's training."""

    run_id: str
    technique: str | None
    data_path: Path | None
    """The training data; None when it is gone or lies outside the allowed folders."""


def find_training(adapter: Path, settings: Settings) -> Training | None:
    """The newest successful train run in the folder that the adapter lies in; None for an adapter from elsewhere."""
    for parent in list(adapter.parents)[:LEVELS]:
        if not (parent / RUNS).is_dir():
            continue
        runs = sorted((parent / RUNS).iterdir(), reverse=True)  # a run's name begins with the time of its start
        return next((training for folder in runs if (training := _read(folder, settings))), None)
    return None


def _read(folder: Path, settings: Settings) -> Training | None:
    run = RunFolder(path=folder)
    try:
        record = run.record()
        if record.mode != "train" or run.status().status != "succeeded":
            return None
    except (RunNotFoundError, OSError, ValueError):
        return None
    return Training(run.run_id, record.resolved.get("technique"), _data(record.resolved.get("data_path"), settings))


def _data(given: object, settings: Settings) -> Path | None:
    if not isinstance(given, str):
        return None
    try:
        path = confine(given, settings)
    except PathError:
        return None
    return path if path.exists() else None
