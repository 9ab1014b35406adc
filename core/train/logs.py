"""Other programs that a training's numbers are shown in: TensorBoard, Weights & Biases, trackio.

Each writes into a folder of its name in output_dir. Nothing leaves this machine unless WANDB_MODE asks for it.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ..errors import MissingExtraError

LogTarget = Literal["tensorboard", "wandb", "trackio"]
PROJECT = "faion-finetuner"
ELSEWHERE = "Every step's numbers are in the run's metrics.jsonl too, and its curves in the report."
WANDB = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL")


def missing(target: LogTarget | None) -> list[MissingExtraError]:
    """What is to be installed before this target can be used; empty when it is there."""
    if target is None or importlib.util.find_spec(target) is not None:
        return []
    problem = f"log_to: {target} needs the package '{target}', which is not installed."
    return [MissingExtraError(problem, f"Run: pip install {target}. {ELSEWHERE}")]


def environment(target: LogTarget | None) -> tuple[str, ...]:
    """Variables that the worker may see for this target's sake, W&B's key among them."""
    return WANDB if target == "wandb" else ()


@contextmanager
def logging_to(target: LogTarget | None, output_dir: Path, experiment: str = "") -> Iterator[None]:
    """Let a training inside the block log to the target, below `output_dir`; the targets have no arguments for it."""
    if target is None:
        yield
        return
    own = _variables(target, output_dir, experiment)
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
        if target == "wandb":
            _finish_wandb()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _variables(target: LogTarget, output_dir: Path, experiment: str) -> dict[str, str]:
    if target == "tensorboard":  # a folder for each curve, and the others name their runs
        return {"TENSORBOARD_LOGGING_DIR": str(output_dir / target / experiment)}
    if target == "trackio":
        return {"TRACKIO_DIR": str(output_dir / target)}
    return {
        "WANDB_DIR": str(output_dir),  # it makes the folder wandb itself
        "WANDB_MODE": os.environ.get("WANDB_MODE") or "offline",
        "WANDB_PROJECT": os.environ.get("WANDB_PROJECT") or PROJECT,
        "WANDB_LOG_MODEL": "false",
        "WANDB_WATCH": "false",
        "WANDB_CONSOLE": "off",
        "WANDB_SILENT": "true",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_ERROR_REPORTING": "false",
    }


def _finish_wandb() -> None:
    import wandb

    wandb.finish()
