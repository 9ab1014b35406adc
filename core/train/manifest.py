"""What checkpoints were made with, so that a training only goes on from those of the same training."""

import hashlib
import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ..schema import Model
from . import distributed
from .hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from .settle import Job

LIBRARIES = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes", "faion-finetuner")
LENGTH = ("epochs", "max_steps")  # may change: the learning rate then follows the new length's curve
FREE = (
    *("logging_steps", "early_stopping_patience", "save_total_limit", "save_steps"),
    *("on_non_finite", "gradient_checkpointing"),
)  # may change: nothing that is learned depends on them
SAMPLES, SAMPLE_BYTES = 64, 65_536  # of each file of weights


class Manifest(Model):
    """Everything that decides the course of a training."""

    model_name: str
    technique: str
    method: str
    seed: int
    processes: int
    """World size: each one takes its share of every batch."""

    base: str
    """Digest of the base model's configuration and weights."""

    template: str
    """Digest of the chat template."""

    data: str
    """Digest of the tokens and labels of all training rows."""

    validation: str
    """The same of the validation rows, which decide about the best checkpoint."""

    numbers: Hyperparameters
    versions: dict[str, str]
    """Of the libraries that compute."""


def manifest_of(job: "Job") -> Manifest:
    """What this training's checkpoints are made with."""
    request = job.request
    return Manifest(
        model_name=request.model_name,
        technique=request.technique,
        method=request.method,
        seed=request.seed,
        processes=distributed.world_size(),
        base=base_digest(job.base),
        template=hashlib.sha256(job.tokenizer.template.encode()).hexdigest(),
        data=_rows_digest(job.rows.train),
        validation=_rows_digest(job.rows.valid),
        numbers=job.recipe.numbers,
        versions={name: metadata.version(name) for name in LIBRARIES if _installed(name)},
    )


def _installed(name: str) -> bool:
    return next(iter(metadata.distributions(name=name)), None) is not None


def _rows_digest(rows: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(row).encode())
    return digest.hexdigest()


def base_digest(folder: Path) -> str:
    """A digest of config.json and of each weight file's size and samples from end to end.

    Samples, because training changes all weights of a model, and reading 140 GB at each start would take minutes.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for place in sorted({size * part // SAMPLES for part in range(SAMPLES)}):
                file.seek(place)
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


WORDS = {
    "base": "another base model (its weights or config.json have changed)",
    "template": "another chat template",
    "data": "other training rows (their tokens or labels differ)",
    "validation": "other validation rows (their tokens or labels differ)",
}


def differences(earlier: Manifest, now: Manifest) -> list[str]:
    """Why a training with `now` would not go on the one with `earlier`; empty when it would."""
    fixed = [name for name in Manifest.model_fields if name not in ("numbers", "versions")]
    changed = [
        WORDS.get(name) or _other(name, getattr(earlier, name), getattr(now, name))
        for name in fixed
        if getattr(earlier, name) != getattr(now, name)
    ]
    numbers = [name for name in Hyperparameters.model_fields if name not in (*LENGTH, *FREE)]
    return changed + _changed(earlier.numbers, now.numbers, numbers)


def remarks(earlier: Manifest, now: Manifest) -> list[str]:
    """What is allowed to have changed, and lets the losses differ from those of an unbroken training."""
    versions = [
        _other(f"version of {name}", earlier.versions.get(name), now.versions.get(name))
        for name in sorted({*earlier.versions, *now.versions})
        if earlier.versions.get(name) != now.versions.get(name)
    ]
    return versions + _changed(earlier.numbers, now.numbers, LENGTH)


def _changed(earlier: Hyperparameters, now: Hyperparameters, names: Iterable[str]) -> list[str]:
    return [
        _other(name, getattr(earlier, name), getattr(now, name))
        for name in names
        if getattr(earlier, name) != getattr(now, name)
    ]


def _other(name: str, earlier: object, now: object) -> str:
    return f"another {name} ({json.dumps(earlier, default=str)}, now {json.dumps(now, default=str)})"
