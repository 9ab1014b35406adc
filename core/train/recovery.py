"""A training that gets over what can be got over: a number that is not finite, and too little memory."""

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from .. import files
from ..checks import Check
from ..garbage import give_back_memory
from ..schema import Model
from . import checkpoints, distributed
from .guards import NonFiniteError
from .portions import Portion
from .result import Diagnosis, Difference
from .settle import Job
from .trainer import FineTuner

LOWER = 10  # times; the mission's remedy is a lower rate, and a tenth is below what a factor two or three would miss
LOWERED = "lowered.json"


class Lowered(Model):
    """lowered.json beside the checkpoints: the one time that this training went on at a lower rate."""

    learning_rate: float
    """Since then."""

    checkpoint: str
    """Name of the one that it went back to."""

    problem: str
    """What had happened."""


def train(job: Job, trainer: FineTuner, checkpoint: Path | None) -> None:
    """Train to the end, from a checkpoint or from the beginning.

    Raises:
        NonFiniteError: A number is not finite, and the run is not to go on at a lower rate, or has done that already.
        Cancelled, TrainingError: As the trainer raises them.
    """
    lowers = job.recipe.numbers.on_non_finite == "lower_rate"
    lowered = _lowered(trainer)
    if lowered:
        trainer.args.learning_rate = lowered.learning_rate
    trainer.saves_beginning = lowers and checkpoint is None
    failed = _failed(trainer, checkpoint)
    sound = checkpoints.whole(trainer.checkpoints_dir)[-1:]
    if failed and lowers and sound and not lowered:
        lowered = _lower(trainer, sound[0], failed.problem)
        failed = None  # it holds the failed step's tensors
        give_back_memory()
        job.run.stage(f"training again from {lowered.checkpoint}, at a {LOWER}th of the learning rate")
        failed = _failed(trainer, sound[0])
    if failed and lowered:
        raise NonFiniteError(
            f"{failed.problem} The rate had been lowered before. {lowered.problem}",
            "So the rate is not to blame. Look at the named rows, and whether the base model is sound; train with "
            "dtype float32.",
        )
    if failed:
        raise failed


def _failed(trainer: FineTuner, checkpoint: Path | None) -> NonFiniteError | None:
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except NonFiniteError as error:
        return error.with_traceback(None)
    return None


def _lower(trainer: FineTuner, checkpoint: Path, problem: str) -> Lowered:
    trainer.args.learning_rate /= LOWER
    trainer.args.eval_on_start = checkpoints.step_of(checkpoint) == 0
    trainer.saves_beginning = False
    lowered = Lowered(learning_rate=trainer.args.learning_rate, checkpoint=checkpoint.name, problem=problem)
    if distributed.rank() == 0:
        files.write_model(trainer.checkpoints_dir / LOWERED, lowered)
    return lowered


def _lowered(trainer: FineTuner) -> Lowered | None:
    try:
        return Lowered.model_validate_json((trainer.checkpoints_dir / LOWERED).read_bytes())
    except (OSError, ValidationError):
        return None


def as_trained(job: Job, trainer: FineTuner) -> Job:
    """The job with the numbers that the training ended with, and every change of them as a difference."""
    recipe, changes = job.recipe, {}
    differences = list(recipe.differences)
    if lowered := _lowered(trainer):
        changes["learning_rate"] = lowered.learning_rate
        reason = f"from {lowered.checkpoint} on, since a number was not finite"
        differences.append(_difference(job, "learning_rate", lowered.learning_rate, reason))
    portion = trainer.portion
    if portion.portions > 1:
        changes |= {
            "batch_size": portion.size,
            "gradient_accumulation": recipe.gradient_accumulation * portion.portions,
        }
        differences += [
            _difference(job, name, value, "memory ran out; the rows per step stay")
            for name, value in changes.items()
            if name != "learning_rate"
        ]
    numbers = recipe.numbers.model_copy(update=changes)
    recipe = replace(recipe, numbers=numbers, differences=tuple(differences))
    return replace(job, setup=replace(job.setup, recipe=recipe))


def _difference(job: Job, name: str, effective: float, reason: str) -> Difference:
    return Difference(name=name, requested=job.recipe.get(name), effective=effective, reason=reason)


def checks(trainer: FineTuner) -> tuple[Check, ...]:
    """Whether all numbers stayed finite, and memory sufficed."""
    return _finite_check(_lowered(trainer)), _memory_check(trainer.portion, trainer.evaluated)


def _finite_check(lowered: Lowered | None) -> Check:
    name = "Finite numbers"
    if lowered is None:
        details = "Every loss, every gradient and every saved weight was a finite number."
        return Check(name=name, status="pass", details=details)
    return Check(
        name=name,
        status="warn",
        details=f"{lowered.problem} Training went back to {lowered.checkpoint} and on with a learning rate of "
        f"{lowered.learning_rate:.3g}.",
        count=1,
        next_step=f"Look at the named rows; next time begin with learning_rate {lowered.learning_rate:.3g}.",
    )


def _memory_check(portion: Portion, evaluated: Portion) -> Check:
    name = "Memory while training"
    short = [
        f"{what} computes {each.size} of {each.whole} sequences at once"
        for what, each in (("a step", portion), ("an evaluation", evaluated))
        if each.portions > 1
    ]
    if not short:
        return Check(name=name, status="pass", details="It sufficed for whole batches.")
    return Check(
        name=name,
        status="warn",
        details=f"Memory ran out, so {' and '.join(short)}; the rows per step and their loss are the same.",
        count=len(short),
        next_step=_smaller(portion),
    )


def _smaller(portion: Portion) -> str:
    return (
        f"Next time ask for batch_size {portion.size} and {portion.portions} times the gradient_accumulation, "
        "or use technique qlora."
    )


def incidents(trainer: FineTuner) -> tuple[Diagnosis, ...]:
    """What was got over, as the diagnosis says it."""
    found = []
    if lowered := _lowered(trainer):
        found.append(
            Diagnosis(
                symptom="NaN loss",
                cause="learning rate too high, or a row unlike the others",
                next_step="Lower the learning rate, check data quality.",
                evidence=lowered.problem,
            )
        )
    if trainer.portion.portions > 1 or trainer.evaluated.portions > 1:
        memory = _memory_check(trainer.portion, trainer.evaluated)
        found.append(
            Diagnosis(
                symptom="Out of memory",
                cause="insufficient memory for the batch",
                next_step=memory.next_step or "",
                evidence=memory.details,
            )
        )
    return tuple(found)
