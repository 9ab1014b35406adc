"""Checkpoints: which there are, which of them are whole, and from which one a training goes on."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from .. import files
from ..checks import Check
from ..errors import TrainingError
from ..schema import Model
from . import distributed
from .manifest import Manifest, differences, remarks
from .result import Checkpoint, Metric

FOLDER = "checkpoints"
MANIFEST = "manifest.json"
SEAL = "complete.json"


class Seal(Model):
    """complete.json, the last file of a checkpoint to be written, and in one piece: what has no seal is not whole."""

    files: dict[str, int]
    """Bytes of each file."""

    unlogged_loss: float = 0.0
    """Losses of the steps since the last line of metrics, added up."""

    logged_step: int = 0
    """The step of that line."""

    rows_at_once: int = 0
    """Sequences of a batch that are computed at once; 0: all."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a training begins."""

    checkpoint: Path | None
    """None: at the beginning."""

    checks: tuple[Check, ...] = ()


def seal(checkpoint: Path, **noted: float | int) -> None:
    """Declare a checkpoint whole."""
    sizes = {str(path.relative_to(checkpoint)): path.stat().st_size for path in _files(checkpoint)}
    files.write_model(checkpoint / SEAL, Seal.model_validate({"files": sizes, **noted}))


def seal_of(checkpoint: Path) -> Seal | None:
    """The seal of a checkpoint that is whole; None when it was cut off while it was written or deleted."""
    try:
        found = Seal.model_validate_json((checkpoint / SEAL).read_bytes())
        sizes = {name: (checkpoint / name).stat().st_size for name in found.files}
    except (OSError, ValidationError):
        return None
    return found if sizes == found.files else None


def _files(checkpoint: Path) -> list[Path]:
    return [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != SEAL]


def whole(folder: Path) -> list[Path]:
    """The whole checkpoints in a folder, oldest first."""
    return sorted((path for path in folder.glob("checkpoint-*") if seal_of(path)), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint's name."""
    return int(checkpoint.name.rpartition("-")[2])


def prepare_folder(folder: Path, manifest: Manifest, resume: bool) -> Start:
    """Make the folder ready: emptied for a new training, or with the checkpoint to go on from.

    Raises:
        TrainingError: The checkpoints were made with something else, or the folder cannot be written.
    """
    found = whole(folder) if resume else []
    if resume and not found and any(folder.glob("checkpoint-*")):
        _manifest(folder)  # only what a training of ours has left may go
    if not found:
        if distributed.rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)
            files.write_model(folder / MANIFEST, manifest)
        return Start(None, (_nothing_to_resume(),) if resume else ())
    earlier = _manifest(folder)
    changed = differences(earlier, manifest)
    if changed:
        raise TrainingError(
            f"The checkpoints in '{folder}' were made with {', '.join(changed)}.",
            "Resume with the same, or start anew in another output_dir.",
        )
    if distributed.rank() == 0:
        for path in {*folder.glob("checkpoint-*")}.difference(found):
            shutil.rmtree(path, ignore_errors=True)
        files.write_model(folder / MANIFEST, manifest)
    return Start(found[-1], (_resumed(found[-1], remarks(earlier, manifest)),))


def _manifest(folder: Path) -> Manifest:
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise TrainingError(
            f"There is no manifest.json of this version beside the checkpoints in '{folder}', "
            "so nobody can tell what they were made with.",
            "Start anew in another output_dir.",
        ) from error


def _nothing_to_resume() -> Check:
    return Check(
        name="Resumed",
        status="warn",
        details="There was no whole checkpoint yet, so training began at the beginning.",
        next_step="For long steps, a smaller hyperparameters.save_steps saves more often.",
    )


def _resumed(checkpoint: Path, changed: Sequence[str]) -> Check:
    went_on = f"Training went on from {checkpoint.name}"
    if not changed:
        return Check(name="Resumed", status="pass", details=f"{went_on}, with everything as it was.")
    return Check(
        name="Resumed",
        status="warn",
        details=f"{went_on}, but with {', '.join(changed)}.",
        next_step="Expect other losses than those of an unbroken training.",
    )


def listed(folder: Path, metrics: tuple[Metric, ...], best_step: int | None) -> tuple[Checkpoint, ...]:
    """The checkpoints that are there, oldest first; without validation the last one counts as best."""
    losses = {metric.step: metric.val_loss for metric in metrics if metric.val_loss is not None}
    found = whole(folder)
    best = best_step if best_step is not None else step_of(found[-1]) if found else None
    return tuple(
        Checkpoint(
            name=path.name,
            path=str(path),
            step=step_of(path),
            val_loss=losses.get(step_of(path)),
            is_best=step_of(path) == best,
        )
        for path in found
    )
