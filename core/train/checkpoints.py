"""Checkpoints: which there are, and whether one may be resumed."""

import hashlib
import shutil
from pathlib import Path

from pydantic import ValidationError

from .. import files
from ..errors import TrainingError
from ..schema import Model
from .hyperparameters import Hyperparameters
from .request import TrainRequest
from .result import Checkpoint, Metric
from .rows import Rows

FOLDER = "checkpoints"
MANIFEST = "manifest.json"
STATE = "trainer_state.json"  # the last file of a checkpoint to be written
MAY_CHANGE = ("epochs", "max_steps", "logging_steps", "early_stopping_patience", "save_total_limit", "save_steps")


class Manifest(Model):
    """What the checkpoints were made with; a training goes on from them only with the same."""

    model_name: str
    technique: str
    seed: int
    data: str
    """Digest of the tokens and labels of all training rows."""

    numbers: Hyperparameters


def manifest_of(request: TrainRequest, rows: Rows, numbers: Hyperparameters) -> Manifest:
    """What this training's checkpoints are made with."""
    digest = hashlib.sha256()
    for row in rows.train:
        digest.update(repr((row.input_ids, row.labels)).encode())
    return Manifest(
        model_name=request.model_name,
        technique=request.technique,
        seed=request.seed,
        data=digest.hexdigest(),
        numbers=numbers,
    )


def prepare_folder(folder: Path, manifest: Manifest, resume: bool) -> Path | None:
    """Make the folder ready: emptied for a new training, or with the checkpoint to go on from.

    Returns:
        The checkpoint to resume; None to begin at the beginning.

    Raises:
        TrainingError: The checkpoints were made with something else.
    """
    last = _last(folder) if resume else None
    if last is None:
        shutil.rmtree(folder, ignore_errors=True)
        files.write_model(folder / MANIFEST, manifest)
        return None
    changed = _changed(folder, manifest)
    if changed:
        raise TrainingError(
            f"The checkpoints in '{folder}' were made with another {', '.join(changed)}.",
            "Resume with the same, or start anew in another output_dir.",
        )
    return last


def _last(folder: Path) -> Path | None:
    """The newest whole checkpoint; one that was cut off while it was written does not count."""
    whole = [path for path in folder.glob("checkpoint-*") if (path / STATE).is_file()]
    return max(whole, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint's name."""
    return int(checkpoint.name.rpartition("-")[2])


def _changed(folder: Path, manifest: Manifest) -> list[str]:
    try:
        earlier = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return ["version of this program (there is no readable manifest.json)"]
    names = [name for name in ("model_name", "technique", "seed", "data") if _differs(earlier, manifest, name)]
    numbers = [name for name in Hyperparameters.model_fields if name not in MAY_CHANGE]
    return names + [name for name in numbers if _differs(earlier.numbers, manifest.numbers, name)]


def _differs(one: Model, other: Model, name: str) -> bool:
    return getattr(one, name) != getattr(other, name)


def listed(folder: Path, metrics: tuple[Metric, ...], best_step: int | None) -> tuple[Checkpoint, ...]:
    """The checkpoints that are there, oldest first; without validation the last one counts as best."""
    losses = {metric.step: metric.val_loss for metric in metrics if metric.val_loss is not None}
    found = sorted((path for path in folder.glob("checkpoint-*") if (path / STATE).is_file()), key=step_of)
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
