"""What is known before the first step: the plan of a dry run."""

import shutil
from dataclasses import replace

from ..checks import Check
from ..errors import TrainingError
from .advice import advise
from .engine import make_trainer
from .estimate import with_measured
from .plan import (
    LESS_MEMORY,
    Duration,
    Setup,
    disk_check,
    duration_by_formula,
    duration_by_rehearsal,
    memory_check,
    plan,
    sharding_checks,
)
from .rehearsal import Rehearsal, Rehearser, rehearsal_check, rehearse_alone
from .result import TrainResult
from .settle import Job
from .trainer import FineTuner

MEASURE_UP_TO = {"cuda": 10_000_000_000}
OTHERWISE = 1_000_000_000  # parameters; larger models take too long to load for an estimate
SCRATCH = "rehearsal"


def dry_run(job: Job) -> TrainResult:
    """The plan: rehearsed with a model that loads quickly, else by estimates alone; nothing is left behind."""
    setup = job.setup
    rehearsal = None
    if _may_rehearse(job):
        job.run.stage("rehearsing the worst batch")
        rehearsal, duration = _rehearsed(job)
        setup = _measured(setup, rehearsal)
    else:
        duration = duration_by_formula(setup)
    job.run.stage("comparing the techniques")
    advice = advise(job.request, setup.estimate, job.estimator)
    checks = (*job.checks, *preflight_checks(job, rehearsal))
    return job.result(checks=checks, plan=plan(setup, job.run.output_dir, duration, advice))


def refuse_hopeless(job: Job) -> None:
    """Say before anything is loaded that memory or disk cannot suffice.

    Raises:
        TrainingError: They cannot.
    """
    for check in (memory_check(job.setup), disk_check(job.setup, job.run.output_dir)):
        if check.status == "fail":
            raise TrainingError(check.details, check.next_step or LESS_MEMORY)


def rehearse_first(job: Job, trainer: FineTuner) -> Rehearser:
    """Let the trainer rehearse its worst batch before its first step."""
    rehearser = Rehearser(trainer, job.run.folder.path / SCRATCH)
    trainer.add_callback(rehearser)
    return rehearser


def preflight_checks(job: Job, rehearsal: Rehearsal | None) -> tuple[Check, ...]:
    """What was found about memory and disk; `rehearsal` is None when there was none."""
    rest = (*sharding_checks(job.setup), disk_check(job.setup, job.run.output_dir))
    if rehearsal is None:
        return memory_check(job.setup), *rest
    estimated = job.setup.estimate.footprint.total
    return rehearsal_check(rehearsal, estimated), memory_check(_measured(job.setup, rehearsal)), *rest


def _measured(setup: Setup, rehearsal: Rehearsal) -> Setup:
    return replace(setup, estimate=with_measured(setup.estimate, rehearsal.peak_bytes))


def _may_rehearse(job: Job) -> bool:
    if job.recipe.sharded:
        return False  # that takes all processes
    small = job.setup.shape.parameters <= MEASURE_UP_TO.get(job.machine.device, OTHERWISE)
    return small and memory_check(job.setup).status != "fail"


def _rehearsed(job: Job) -> tuple[Rehearsal, Duration]:
    scratch = job.run.folder.path / SCRATCH
    try:
        found = rehearse_alone(make_trainer(job, scratch), scratch / "checkpoint")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return found.rehearsal, duration_by_rehearsal(job.setup, found.rehearsal, found.tokens_per_second)
