"""The training, from the request to the result."""

from dataclasses import replace
from pathlib import Path

from ..runs.active import ActiveRun
from . import checkpoints, distributed, recovery
from .engine import make_trainer
from .experiments import KeptBase, try_all
from .finish import changed_check, finish, probe_place
from .guards import explained
from .logs import logging_to
from .manifest import manifest_of
from .model import probe
from .preflight import dry_run, preflight_checks, refuse_hopeless, rehearse_first
from .request import TrainRequest
from .result import TrainResult
from .settle import Job, settle_job
from .sharded import was_sharded
from .sharing import share
from .together import train_together


def run(request: TrainRequest, run: ActiveRun) -> TrainResult:
    """Fine-tune the model, or in a dry run say what that would take.

    Raises:
        DataError, ModelError, InputError: Something given cannot be used.
        TrainingError: Training cannot go on; the weights are untouched by what went wrong.
        Cancelled: The run was stopped; a checkpoint stands.
    """
    if request.num_processes > 1 and not request.dry_run:
        return train_together(request, run)
    return carry_out(request, run)


def carry_out(request: TrainRequest, run: ActiveRun) -> TrainResult:
    """The same in this process, alone or as one of several; only the first one writes."""
    if not request.experiments:
        return _carry_out_one(request, run, run.output_dir, KeptBase())
    kept = KeptBase()
    return try_all(request, run, lambda alone, within: _carry_out_one(alone, within, run.output_dir, kept))


def _carry_out_one(request: TrainRequest, run: ActiveRun, log_dir: Path, kept: KeptBase) -> TrainResult:
    experiment = "" if run.output_dir == log_dir else run.output_dir.name
    with explained(run.output_dir), logging_to(request.log_to, log_dir, experiment):
        job = _agreed(settle_job(request, run))
        return dry_run(job) if request.dry_run else _train(job, kept)


def _agreed(job: Job) -> Job:
    """The job with each process's share, by the first one's numbers: another may have found less memory free."""
    recipe, estimate = distributed.by_the_first(
        lambda: (share(job.recipe, job.request.num_processes), job.setup.estimate)
    )
    return replace(job, setup=replace(job.setup, recipe=recipe, estimate=estimate))


def _as_begun(job: Job, checkpoint: Path | None) -> Job:
    """The job with the layers sharded, or not, as they were when the checkpoint was written.

    An adapter's checkpoint is the same either way, so there memory decides anew.
    """
    if checkpoint is None or job.request.technique != "full":
        return job
    estimate = job.setup.estimate.turned(was_sharded(checkpoint))
    recipe = replace(job.recipe, sharded=was_sharded(checkpoint))
    return replace(job, setup=replace(job.setup, recipe=recipe, estimate=estimate))


def _train(job: Job, kept: KeptBase) -> TrainResult:
    refuse_hopeless(job)
    resuming = job.request.resume or job.run.resume
    start = distributed.by_the_first(
        lambda: checkpoints.prepare_folder(job.checkpoints_dir, manifest_of(job), resuming)
    )
    job = _as_begun(job, start.checkpoint)
    job.run.stage("loading the model")
    trainer = make_trainer(job, job.checkpoints_dir, from_start=start.checkpoint is None, base=kept.take(job))
    rehearser = rehearse_first(job, trainer) if start.checkpoint is None else None
    place = probe_place(job.rows)
    before = probe(trainer.model, place)
    job.run.raise_if_stopped()
    job.run.stage("training")
    recovery.train(job, trainer, start.checkpoint)
    spent = trainer.spent()
    job.run.stage("saving")
    changed = changed_check(trainer.model, before, probe(trainer.model, place))
    checks = (
        *job.checks,
        *preflight_checks(job, rehearser and rehearser.rehearsal),
        *start.checks,
        *recovery.checks(trainer),
        changed,
    )
    result = finish(recovery.as_trained(job, trainer), trainer, checks, spent)
    kept.give_back(trainer.model, job)
    return result
