"""The training, from the request to the result."""

import torch

from ..checks import Check
from ..errors import TrainingError
from ..runs.active import ActiveRun
from . import checkpoints
from .engine import make_trainer
from .finish import changed_check, finish, probe_place
from .model import probe
from .plan import memory_check
from .preflight import dry_run
from .request import TrainRequest
from .result import TrainResult
from .settle import Job, settle_job

OUT_OF_MEMORY = "Reduce batch_size (and raise gradient_accumulation), reduce max_seq_length, or use technique qlora."


def run(request: TrainRequest, run: ActiveRun) -> TrainResult:
    """Fine-tune the model, or in a dry run say what that would take.

    Raises:
        DataError, ModelError, InputError: Something given cannot be used.
        TrainingError: Training cannot go on; the weights are untouched by what went wrong.
        Cancelled: The run was stopped; a checkpoint stands.
    """
    try:
        job = settle_job(request, run)
        return dry_run(job) if request.dry_run else _train(job)
    except torch.OutOfMemoryError as error:
        raise TrainingError("The accelerator ran out of memory.", OUT_OF_MEMORY) from error


def _train(job: Job) -> TrainResult:
    memory = memory_check(job.setup)
    if memory.status == "fail":
        raise TrainingError(memory.details, memory.next_step or OUT_OF_MEMORY)
    manifest = checkpoints.manifest_of(job.request, job.rows, job.recipe.numbers)
    resuming = job.request.resume or job.run.resume
    last = checkpoints.prepare_folder(job.checkpoints_dir, manifest, resuming)
    job.run.stage("loading the model")
    trainer = make_trainer(job, job.checkpoints_dir, from_start=last is None)
    place = probe_place(job.rows)
    before = probe(trainer.model, place)
    job.run.raise_if_stopped()
    job.run.stage("training")
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    spent = trainer.spent()
    job.run.stage("saving")
    checks = [*job.rows.checks, memory, changed_check(trainer.model, before, probe(trainer.model, place))]
    if last is not None:
        checks.append(Check(name="Resumed", status="pass", details=f"Training went on from {last.name}."))
    return finish(job, trainer, tuple(checks), spent)
