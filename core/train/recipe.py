"""The numbers that a training really uses: what was asked for, the defaults, and what data and machine decide."""

import math
from dataclasses import dataclass

from ..models.machine import Machine
from .hyperparameters import Hyperparameters, with_defaults
from .request import TrainRequest
from .result import Choice, Configuration, Difference
from .rows import Rows

EVALUATIONS = 4  # at least, in a whole run
MAX_SAVE_STEPS = 500
LOG_LINES = 40


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the course of a training."""

    numbers: Hyperparameters
    """With nothing left open that matters."""

    sequences: int
    """Per epoch: rows, or packed sequences."""

    steps_per_epoch: int
    steps: int
    """Optimizer steps in all."""

    save_steps: int
    logging_steps: int
    differences: tuple[Difference, ...]

    processes: int = 1
    """That share each step; batch_size and gradient_accumulation are those of one of them."""

    sharded: bool = False
    """Whether each process holds a part of every layer instead of a whole copy of the model."""

    choices: tuple[Choice, ...] = ()
    """What `auto` chose."""

    def get(self, name: str) -> float | int:
        """A number that has a default, by name."""
        value = getattr(self.numbers, name)
        assert isinstance(value, int | float)
        return value

    @property
    def batch_size(self) -> int:
        return int(self.get("batch_size"))

    @property
    def gradient_accumulation(self) -> int:
        return int(self.get("gradient_accumulation"))

    def configuration(self, request: TrainRequest, rows: Rows) -> Configuration:
        """As the result shows it."""
        return Configuration(
            requested=request.hyperparameters,
            effective=self.numbers,
            effective_batch=round(
                len(rows.train) / self.sequences * self.batch_size * self.gradient_accumulation * self.processes
            ),
            differences=self.differences,
            choices=self.choices,
        )


def settle(request: TrainRequest, rows: Rows, sequences: int, machine: Machine) -> Recipe:
    """Fix every number.

    Args:
        request: What was asked for.
        rows: The tokenised data.
        sequences: How many sequences an epoch has.
        machine: Decides the number format.
    """
    asked = request.hyperparameters
    numbers = with_defaults(asked, request.technique, request.method)
    batch, accumulation = numbers.batch_size or 1, numbers.gradient_accumulation or 1
    differences = []
    if batch * accumulation > sequences:
        # more than all rows in one step would only be asked for, never done
        batch = min(batch, sequences)
        accumulation = math.ceil(sequences / batch)
        differences += _shrunk(numbers, batch, accumulation, sequences)
    steps_per_epoch = math.ceil(math.ceil(sequences / batch) / accumulation)
    steps = numbers.max_steps or math.ceil((numbers.epochs or 1) * steps_per_epoch)
    save_steps = numbers.save_steps or max(1, min(math.ceil(steps / EVALUATIONS), steps_per_epoch, MAX_SAVE_STEPS))
    patience = numbers.early_stopping_patience
    if not rows.valid and asked.early_stopping_patience:
        differences.append(_difference("early_stopping_patience", patience, 0, "there are no validation rows"))
    if asked.max_seq_length and asked.max_seq_length > rows.max_seq_length:
        reason = "the model cannot read more"
        differences.append(_difference("max_seq_length", asked.max_seq_length, rows.max_seq_length, reason))
    settled = {
        "batch_size": batch,
        "gradient_accumulation": accumulation,
        "epochs": round(steps / steps_per_epoch, 3) if numbers.max_steps else numbers.epochs,
        "max_steps": steps,
        "max_seq_length": rows.max_seq_length,
        "save_steps": save_steps,
        "logging_steps": numbers.logging_steps or math.ceil(steps / LOG_LINES),
        "early_stopping_patience": patience if rows.valid else 0,
        "dtype": numbers.dtype or machine.dtype,
    }
    if asked.epochs and asked.max_steps:
        differences.append(_difference("epochs", asked.epochs, settled["epochs"], "max_steps decides"))
    return Recipe(
        numbers=numbers.model_copy(update=settled),
        sequences=sequences,
        steps_per_epoch=steps_per_epoch,
        steps=steps,
        save_steps=save_steps,
        logging_steps=settled["logging_steps"],
        differences=tuple(differences),
    )


def _difference(name: str, requested: float | None, effective: float | None, reason: str) -> Difference:
    return Difference(name=name, requested=requested, effective=effective, reason=reason)


def _shrunk(numbers: Hyperparameters, batch: int, accumulation: int, sequences: int) -> list[Difference]:
    reason = f"there are only {sequences} sequences"
    pairs = (
        ("batch_size", numbers.batch_size, batch),
        ("gradient_accumulation", numbers.gradient_accumulation, accumulation),
    )
    return [_difference(name, asked, used, reason) for name, asked, used in pairs if asked != used]
