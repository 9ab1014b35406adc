"""Where an adapter comes from, and how well it does: the runs that made it and measured it, if there are any.

Runs of other modes are read by their files in the run folders, whose form the modes promise.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import PathError, RunNotFoundError
from ..paths import confine
from ..runs import index
from ..runs.record import RunFolder, RunRecord
from ..settings import Settings
from .adapter import WEIGHTS
from .request import MERGED

RUNS = ".run"
LEVELS = 3  # output_dir/adapter, output_dir/checkpoints/checkpoint-N


@dataclass(frozen=True, slots=True)
class Training:
    """What is known of an adapter's training."""

    run_id: str
    technique: str | None
    data_path: Path | None
    """The training data; None when it is gone or lies outside the allowed folders."""
    data_sha256: str | None = None
    """Of the training rows' file; None when it is gone or has changed since."""
    method: str | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """The hyperparameters as used."""
    best_val_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One number of an evaluation, base beside fine-tuned."""

    name: str
    """Data or benchmark."""
    metric: str
    base: float | None
    finetuned: float
    n: int
    ci95: tuple[float, float] | None
    """Of the difference, or of the change in per cent for perplexity."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the newest evaluation of an adapter found."""

    run_id: str
    data: str
    """Name of the held-out file."""
    rows: int
    verdict: str | None
    scores: tuple[Score, ...]


def find_training(adapter: Path, settings: Settings) -> Training | None:
    """The newest successful train run in the folder that the adapter lies in; None for an adapter from elsewhere."""
    for parent in list(adapter.parents)[:LEVELS]:
        if not (parent / RUNS).is_dir():
            continue
        runs = sorted((parent / RUNS).iterdir(), reverse=True)  # a run's name begins with the time of its start
        return next((training for folder in runs if (training := _read(folder, settings))), None)
    return None


def merged_before(base: Path, adapter: Path) -> str | None:
    """The run by which a merged model came to hold these very weights of an adapter; None where none is known."""
    runs = base.parent / RUNS
    if base.name != MERGED or not runs.is_dir():
        return None
    for folder in sorted(runs.iterdir(), reverse=True):
        record = _succeeded(RunFolder(path=folder), "merge")
        if record is None or record.resolved.get("dry_run"):
            continue
        held = str(adapter) in (record.resolved.get("adapter_path") or ())
        return record.run_id if held and not _changed_since(adapter / WEIGHTS, record.created_at) else None
    return None


def find_evaluation(adapter: Path, settings: Settings) -> Evaluation | None:
    """The newest successful evaluation of this very adapter, wherever it lies; None where none is known."""
    for pointer in index.pointers(settings):
        record = _succeeded(RunFolder(path=pointer.run_dir), "evaluate") if pointer.mode == "evaluate" else None
        if record is None or record.resolved.get("dry_run") or record.resolved.get("finetuned_path") != str(adapter):
            continue
        if _changed_since(adapter / WEIGHTS, record.created_at):
            continue
        result = _result(pointer.run_dir)
        return Evaluation(
            run_id=record.run_id,
            data=Path(str(result.get("data_path"))).name,
            rows=int(result.get("rows") or 0),
            verdict=result.get("verdict"),
            scores=tuple(_scores(result)),
        )
    return None


def _scores(result: Mapping[str, Any]) -> Iterable[Score]:
    data = Path(str(result.get("data_path"))).name
    measured = [{"name": data, "metric": name, **(result.get(name) or {})} for name in ("perplexity", "loss")]
    for row in [*measured, *(result.get("scores") or ()), *(result.get("benchmarks") or ())]:
        if row.get("finetuned") is not None:
            interval = row.get("ci95")
            yield Score(
                row["name"], row["metric"], row.get("base"), row["finetuned"], row["n"], tuple(interval or ()) or None
            )


def _read(folder: Path, settings: Settings) -> Training | None:
    run = RunFolder(path=folder)
    if (record := _succeeded(run, "train")) is None:
        return None
    result, data_path = _result(folder), _data(record.resolved.get("data_path"), settings)
    best = [one.get("val_loss") for one in result.get("checkpoints") or () if one.get("is_best")]
    effective = (result.get("configuration") or {}).get("effective") or {}
    return Training(
        run_id=run.run_id,
        technique=record.resolved.get("technique"),
        data_path=data_path,
        data_sha256=_sha256(data_path, record.created_at),
        method=record.resolved.get("method"),
        configuration={name: value for name, value in effective.items() if value is not None},
        best_val_loss=best[0] if best else None,
    )


def _succeeded(run: RunFolder, mode: str) -> RunRecord | None:
    try:
        record = run.record()
        return record if record.mode == mode and run.status().status == "succeeded" else None
    except (RunNotFoundError, OSError, ValueError):
        return None


def _result(folder: Path) -> dict[str, Any]:
    try:
        return json.loads(RunFolder(path=folder).result_path.read_bytes())
    except (OSError, ValueError):
        return {}


def _data(given: object, settings: Settings) -> Path | None:
    if not isinstance(given, str):
        return None
    try:
        path = confine(given, settings)
    except PathError:
        return None
    return path if path.exists() else None


def _sha256(data_path: Path | None, trained_at: datetime) -> str | None:
    """Of train.jsonl, or of the one file."""
    rows = data_path / "train.jsonl" if data_path and data_path.is_dir() else data_path
    if rows is None or not rows.is_file() or _changed_since(rows, trained_at):
        return None
    with rows.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _changed_since(file: Path, moment: datetime) -> bool:
    return file.is_file() and datetime.fromtimestamp(file.stat().st_mtime, UTC) > moment
