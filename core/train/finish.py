"""The end of a training: the result saved, and what it used."""

from typing import Any

import torch

from ..checks import Check
from . import checkpoints
from .callbacks import course
from .diagnosis import diagnose
from .meter import Spent, gpu_peak_gb, host_peak_gb
from .model import Base, save_result
from .recovery import incidents
from .result import Resources, TrainResult
from .rows import Rows
from .settle import Job
from .trainer import FineTuner


def finish(job: Job, trainer: FineTuner, checks: tuple[Check, ...], spent: Spent) -> TrainResult:
    """Write the adapter or model, and put the result together."""
    metrics = course(trainer.state.log_history)
    full = job.request.technique == "full"
    folder = job.run.output_dir / ("model" if full else "adapter")
    save_result(trainer.model, folder, Base(job.request.model_name, job.base), job.tokenizer)
    best = trainer.state.best_global_step if job.rows.valid else None
    return job.result(
        metrics=metrics,
        resources=_resources(job, spent),
        checkpoints=checkpoints.listed(job.checkpoints_dir, metrics, best),
        adapter_path=None if full else str(folder),
        model_path=str(folder) if full else None,
        checks=checks,
        diagnosis=(*incidents(trainer), *diagnose(metrics, job.recipe.numbers)),
    )


def probe_place(rows: Rows) -> list[int]:
    """The prompt of the shortest row."""
    row = min(rows.train, key=lambda row: len(row.input_ids))
    first = next(place for place, label in enumerate(row.labels) if label != -100)
    return row.input_ids[: max(1, first)]


def changed_check(model: Any, before: torch.Tensor, after: torch.Tensor) -> Check:
    """Whether the training left a trace: an adapter whose second matrices are all zero adds nothing."""
    difference = float((after - before).abs().max())
    second = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    idle = all(not bool(weight.any()) for weight in second) if second else difference == 0
    return Check(
        name="Training changed the model",
        status="fail" if idle else "warn" if difference == 0 else "pass",
        details=f"The largest change of a logit on a training prompt is {difference:.3g}.",
        next_step=None if difference else "Raise the learning rate or the number of steps, or lower warmup_ratio.",
    )


def _resources(job: Job, spent: Spent) -> Resources:
    total = job.machine.gpu_memory_total_bytes
    speed = spent.tokens / spent.busy_s if spent.tokens and spent.busy_s > 0 else None
    gpu_peak = gpu_peak_gb()
    share = job.rows.trained_tokens / job.rows.total_tokens
    return Resources(
        device=f"{job.machine.device_name}, {job.recipe.numbers.dtype}",
        gpu_memory_used_gb=round(gpu_peak, 2) if gpu_peak is not None else None,
        gpu_memory_total_gb=round(total / 1e9, 2) if total else None,
        host_memory_gb=round(host_peak_gb(), 2),
        training_time_s=round(spent.seconds, 1),
        tokens_per_second=round(speed, 1) if speed else None,
        trained_tokens_per_second=round(speed * share, 1) if speed else None,
        trained_tokens=job.rows.trained_tokens,
        total_tokens=job.rows.total_tokens,
    )
