"""What a training would take: memory, time and disk, side by side."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checks import Check
from ..models.machine import Machine
from .estimate import Estimate, Shape
from .memory import ADAM_BYTES
from .recipe import Recipe
from .rehearsal import Rehearsal
from .result import Advice, Plan
from .rows import Rows
from .sharing import kept_whole

SURELY_TOO_MUCH = 1.3  # times the available memory; the estimate is not off by more
EFFICIENCY = 0.35  # of the speed of a lone matrix product that a training step reaches
LESS_MEMORY = "Use a smaller batch_size (and larger gradient_accumulation), a shorter max_seq_length, or qlora."
DISK_MARGIN = 0.9  # share of the free disk that may be filled


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be trained, with what, where."""

    estimate: Estimate
    recipe: Recipe
    rows: Rows
    machine: Machine

    @property
    def shape(self) -> Shape:
        return self.estimate.shape


@dataclass(frozen=True, slots=True)
class Duration:
    """A time and where it comes from."""

    seconds: float
    basis: str


def memory_check(setup: Setup) -> Check:
    """Whether the planned peak fits."""
    estimate = setup.estimate
    needed, free, footprint = estimate.footprint.total, estimate.available, estimate.footprint
    parts = ", ".join(f"{name} {size:.2f}" for name, size in footprint.parts_gb().items())
    each = f" by each of {setup.recipe.processes} processes" if setup.recipe.processes > 1 else ""
    details = (
        f"About {needed / 1e9:.2f} GB are needed{each} ({parts}), {free / 1e9:.1f} GB are available. "
        f"Found {footprint.basis}."
    )
    return Check(
        name="Memory",
        status="pass" if estimate.fits else "warn" if needed <= SURELY_TOO_MUCH * free else "fail",
        details=details,
        next_step=None if estimate.fits else LESS_MEMORY,
    )


def sharding_checks(setup: Setup) -> tuple[Check, ...]:
    """Whether each of several processes has the whole model or a part of every layer, and why; none of a single one."""
    estimate = setup.estimate
    if estimate.other_way is None:
        return () if setup.recipe.processes == 1 else (_whole_check(setup),)
    found = (estimate.footprint, estimate.other_way)
    whole, parts = (f"{one.total / 1e9:.2f} GB" for one in (found[::-1] if estimate.sharded else found))
    details = (
        f"Each of {setup.recipe.processes} processes needs about {whole} with the whole model, {parts} when its layers "
        f"are sharded (FSDP2), and {estimate.available / 1e9:.2f} GB are available to each. "
    )
    details += "So the layers are sharded." if estimate.sharded else "So each has the whole model, which is faster."
    return (Check(name="Sharding", status="pass", details=details),)


def _whole_check(setup: Setup) -> Check:
    fits, reason = setup.estimate.fits, kept_whole(setup.estimate.technique, setup.recipe.numbers)
    return Check(
        name="Sharding",
        status="pass" if fits else "warn",
        details=f"Each of {setup.recipe.processes} processes has the whole model; its layers are not sharded, since "
        f"{reason}.",
        next_step=None if fits else "Use technique lora without DoRA or PiSSA: its base model can be sharded.",
    )


def disk_check(setup: Setup, folder: Path) -> Check:
    """Whether checkpoints and result fit on the disk; `folder` is where they would go."""
    needed, free = disk_bytes(setup), free_disk_bytes(folder)
    fits = needed <= DISK_MARGIN * free
    return Check(
        name="Disk",
        status="pass" if fits else "fail",
        details=f"Checkpoints and result take about {needed / 1e9:.2f} GB, {free / 1e9:.1f} GB are free.",
        next_step=None if fits else "Make room, or lower save_total_limit.",
    )


def disk_bytes(setup: Setup) -> float:
    """Of all checkpoints that are kept at once, and the result."""
    shape, recipe = setup.shape, setup.recipe
    saved = shape.trainable * (4 + ADAM_BYTES)
    kept = min((recipe.numbers.save_total_limit or 1) + 1, -(-recipe.steps // recipe.save_steps))
    return kept * saved + shape.trainable * (4 if shape.adapter else 2)


def free_disk_bytes(folder: Path) -> float:
    """Where a folder lies, or would lie."""
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    return float(shutil.disk_usage(parent).free)


def plan(setup: Setup, folder: Path, duration: Duration, advice: tuple[Advice, ...]) -> Plan:
    """The estimates side by side; `folder` is where the result would go."""
    shape, recipe, rows, estimate = setup.shape, setup.recipe, setup.rows, setup.estimate
    return Plan(
        total_parameters=shape.parameters,
        trainable_parameters=shape.trainable,
        train_rows=len(rows.train),
        valid_rows=len(rows.valid),
        steps=recipe.steps,
        time_s=round(duration.seconds, 1),
        time_basis=duration.basis,
        memory_gb=round(estimate.footprint.total / 1e9, 2),
        memory_parts_gb=estimate.footprint.parts_gb(),
        advice=advice,
        memory_available_gb=round(estimate.available / 1e9, 2),
        disk_gb=round(disk_bytes(setup) / 1e9, 3),
        disk_available_gb=round(free_disk_bytes(folder) / 1e9, 1),
    )


def _evaluations(recipe: Recipe) -> int:
    """One at the beginning, one at each save."""
    return 1 + -(-recipe.steps // recipe.save_steps)


def _valid_tokens(rows: Rows) -> int:
    return sum(len(part.input_ids) for row in rows.valid for part in row.parts)


def _train_tokens(recipe: Recipe, rows: Rows) -> float:
    epoch = sum(len(part.input_ids) for row in rows.train for part in row.parts)
    return epoch * recipe.steps / recipe.steps_per_epoch


def duration_by_rehearsal(setup: Setup, rehearsal: Rehearsal, tokens_per_second: float) -> Duration:
    """From one measured evaluation and save, and the speed of batches of the usual mix of lengths."""
    recipe, rows = setup.recipe, setup.rows
    seconds = _train_tokens(recipe, rows) / tokens_per_second / recipe.processes
    if rehearsal.evaluation_s and rehearsal.evaluation_tokens:
        each = rehearsal.evaluation_s * _valid_tokens(rows) / rehearsal.evaluation_tokens
        seconds += _evaluations(recipe) * each / recipe.processes
    seconds += -(-recipe.steps // recipe.save_steps) * (rehearsal.save_s or 0.0)
    basis = f"measured: batches of the usual mix of lengths, {tokens_per_second:,.0f} tokens/s; an evaluation, a save"
    return Duration(seconds, basis)


def duration_by_formula(setup: Setup) -> Duration:
    """From floating-point operations: 4 a weight and token when the base is frozen, else 6, 2 more when recomputing.

    An evaluation is forward only, a third of the work.
    """
    shape, recipe, rows = setup.shape, setup.recipe, setup.rows
    speed = _matrix_speed(setup.machine, recipe)
    work = (4 if shape.adapter else 6) + (2 if recipe.numbers.gradient_checkpointing else 0)
    tokens = _train_tokens(recipe, rows) + _valid_tokens(rows) * _evaluations(recipe) / 3
    seconds = tokens * work * shape.parameters / (speed * EFFICIENCY)
    basis = f"formula: {work} operations a weight and token at {EFFICIENCY:.0%} of {speed / 1e12:.1f} TFLOP/s, measured"
    return Duration(seconds, basis)


def _matrix_speed(machine: Machine, recipe: Recipe) -> float:
    size = 1024
    dtype = getattr(torch, recipe.numbers.dtype or machine.dtype)
    matrix: Any = torch.randn(size, size, device=machine.device).to(dtype)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
