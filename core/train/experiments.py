"""Several trainings over one base: the base is loaded once, and the adapters are trained one after the other."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel

from .. import files
from ..checks import Check
from ..errors import Cancelled, FinetunerError, TrainingError
from ..runs.active import ActiveRun
from . import distributed
from .hyperparameters import Hyperparameters
from .request import TrainRequest
from .result import Experiment, Plan, TrainResult
from .settle import Job
from .variants import FOLDER, Variant, variants

RESULT = "result.json"
"""In an experiment's folder, once it has come to its end."""

SHAPING = ("dtype", "gradient_checkpointing", "max_seq_length", "packing", "target_modules", "use_dora")
"""Hyperparameters that the loaded base is made ready for, beyond what an adapter takes away with it."""

COMPARABLE = ("max_seq_length", "beta")
"""Hyperparameters that change what the validation loss is a loss of."""


class ExperimentRun(ActiveRun):
    """The run as one of its experiments sees it: a folder of its own, and its name on what it tells."""

    def __init__(self, run: ActiveRun, name: str, place: str, resume: bool) -> None:
        super().__init__(run.folder, run.output_dir / FOLDER / name, resume)
        self.run = run
        self.name = name
        self.place = place

    def progress(self, done: float, total: float | None, unit: str, message: str = "") -> None:
        """Tell how far this experiment is."""
        self.run.progress(done, total, unit, f"{self.place}: {message}")

    def stage(self, message: str) -> None:
        """Name what begins now, in this experiment."""
        self.run.stage(f"{self.place}: {message}")

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Append one line, with this experiment's name in it."""
        self.run.metric({"experiment": self.name} | dict(values))

    @property
    def stop_requested(self) -> bool:
        """Whether the whole run was asked to end."""
        return self.run.stop_requested

    def request_stop(self) -> None:
        """Ask the whole run to end."""
        self.run.request_stop()


class KeptBase:
    """The base model that the experiments share, free of adapters between them."""

    def __init__(self) -> None:
        self._model: PreTrainedModel | None = None
        self._shape: tuple[object, ...] | None = None

    def take(self, job: Job) -> PreTrainedModel | None:
        """The base of the experiment before; None when there is none, or it was made ready for other numbers."""
        shape = (job.recipe.sharded, *_shape(job.recipe.numbers))
        model = self._model if shape == self._shape else None
        self._model, self._shape = None, shape
        return model

    def give_back(self, model: Any, job: Job) -> None:
        """Keep the base under this adapter, and let the adapter go. PiSSA has changed the base: that one goes too."""
        if isinstance(model, PeftModel) and job.recipe.numbers.init_lora_weights is None:
            self._model = model.unload()


def _shape(numbers: Hyperparameters) -> tuple[object, ...]:
    return tuple(getattr(numbers, name) for name in SHAPING)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came out of one experiment."""

    variant: Variant
    result: TrainResult | None = None
    error: FinetunerError | None = None


Train = Callable[[TrainRequest, ActiveRun], TrainResult]


def try_all(request: TrainRequest, run: ActiveRun, train: Train) -> TrainResult:
    """Carry out every experiment and compare them; the result is the best one's.

    A run that goes on takes the experiments that had ended as they are, and the one that was cut off from its last
    checkpoint.

    Raises:
        Cancelled: The run was stopped.
        FinetunerError: No experiment came to its end; the first one's error.
    """
    resuming = request.resume or run.resume
    if not resuming and not request.dry_run and distributed.rank() == 0:
        shutil.rmtree(run.output_dir / FOLDER, ignore_errors=True)
    distributed.by_the_first(lambda: None)  # nobody begins in a folder that is being deleted
    found = variants(request)
    tried = []
    for number, variant in enumerate(found, start=1):
        place = f"experiment {number} of {len(found)}"
        tried.append(_try(variant, ExperimentRun(run, variant.name, place, resuming), train))
    return _compared(request, tried)


def _try(variant: Variant, run: ExperimentRun, train: Train) -> Tried:
    run.raise_if_stopped()
    path = run.output_dir / RESULT
    earlier = distributed.by_the_first(lambda: _earlier(path, variant)) if run.resume else None
    if earlier is not None:
        return Tried(variant, earlier)
    run.resume = run.resume and any(run.output_dir.glob("checkpoints/checkpoint-*"))
    alone = variant.request.model_copy(update={"output_dir": run.output_dir, "resume": run.resume})
    try:
        result = train(alone, run)
    except Cancelled:
        raise
    except FinetunerError as error:
        return Tried(variant, error=error)
    if not alone.dry_run and distributed.rank() == 0:
        files.write_model(path, result)
    return Tried(variant, result)


def _earlier(path: Path, variant: Variant) -> TrainResult | None:
    """The result of an experiment that had ended, unless it was asked for with other numbers."""
    if not path.is_file():
        return None
    result = TrainResult.model_validate_json(path.read_bytes())
    return result if result.configuration.requested == variant.request.hyperparameters else None


def _compared(request: TrainRequest, tried: list[Tried]) -> TrainResult:
    ended = [(one, one.result) for one in tried if one.result is not None]
    if not ended:
        first = next(one.error for one in tried if one.error is not None)
        raise type(first)(f"All {len(tried)} experiments failed. The first: {first.problem}", first.next_step)
    best = min(ended, key=lambda pair: _rank(pair[1]))[1]
    rows = sorted((_row(one, best) for one in tried), key=_order)
    if request.dry_run:
        return best.model_copy(update={"experiments": tuple(rows), "plan": _planned([result for _, result in ended])})
    checks = (*best.checks, _check(tried), *_comparable([result for _, result in ended]))
    return best.model_copy(update={"experiments": tuple(rows), "checks": checks})


def _rank(result: TrainResult) -> float:
    """What the experiments are compared by: the validation loss of the best checkpoint, else the last training loss."""
    row = _numbers(result)
    found = row["val_loss"] if row["val_loss"] is not None else row["train_loss"]
    return float("inf") if found is None else found


def _numbers(result: TrainResult) -> dict[str, float | None]:
    best = result.best
    return {
        "train_loss": result.last_train_loss,
        "val_loss": best.val_loss if best else None,
        "training_time_s": result.resources.training_time_s if result.resources else None,
    }


def _row(one: Tried, best: TrainResult) -> Experiment:
    known = {"name": one.variant.name, "hyperparameters": one.variant.changes}
    if one.result is None:
        assert one.error is not None
        return Experiment.model_validate({**known, "error": f"{one.error.problem} {one.error.next_step}"})
    found = _numbers(one.result) | {"adapter_path": one.result.adapter_path}
    return Experiment.model_validate({**known, **found, "is_best": one.result is best and best.plan is None})


def _order(row: Experiment) -> tuple[bool, float]:
    loss = row.val_loss if row.val_loss is not None else row.train_loss
    return row.error is not None, float("inf") if loss is None else loss


def _check(tried: list[Tried]) -> Check:
    failed = [one.variant.name for one in tried if one.result is None]
    if not failed:
        return Check(name="Experiments", status="pass", details=f"All {len(tried)} came to their end.", count=0)
    return Check(
        name="Experiments",
        status="warn",
        details=f"{len(failed)} of {len(tried)} failed: {', '.join(failed)}. Why stands in the comparison.",
        count=len(failed),
        next_step="Correct them and start a run of these alone.",
    )


def _comparable(results: list[TrainResult]) -> tuple[Check, ...]:
    """A warning when the losses are not of the same thing."""
    used = [result.configuration.effective for result in results]
    varied = [name for name in COMPARABLE if len({getattr(numbers, name) for numbers in used}) > 1]
    if not varied:
        return ()
    details = f"The experiments differ in {' and '.join(varied)}, so their validation losses are of different things."
    step = "Compare them with `evaluate` on the same rows."
    return (Check(name="Comparison", status="warn", details=details, next_step=step),)


def _planned(results: list[TrainResult]) -> Plan:
    """All together: time and disk add up, memory is that of the largest."""
    plans = [result.plan for result in results if result.plan is not None]
    if not plans:
        raise TrainingError("No experiment could be planned.", "Look at the experiments' errors.")
    times = [plan.time_s for plan in plans if plan.time_s is not None]
    largest = max(plans, key=lambda plan: plan.memory_gb)
    return largest.model_copy(
        update={
            "steps": sum(plan.steps for plan in plans),
            "time_s": round(sum(times), 1) if times else None,
            "disk_gb": round(sum(plan.disk_gb for plan in plans), 3),
        }
    )
