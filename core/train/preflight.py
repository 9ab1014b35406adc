"""What is known before the first step: the plan of a dry run."""

from .engine import make_trainer
from .plan import Estimate, memory_check, plan, time_by_formula, time_by_step
from .result import TrainResult
from .settle import Job

MEASURE_UP_TO = 1_000_000_000  # parameters; larger models take too long to load for an estimate


def dry_run(job: Job) -> TrainResult:
    """The plan: with one real batch for a small model, by formula for a large one; writes nothing."""
    memory = memory_check(job.setup)
    if job.setup.shape.parameters > MEASURE_UP_TO or memory.status == "fail":
        estimate = time_by_formula(job.setup)
    else:
        job.run.stage("measuring one batch")
        estimate = _measured(job)
    planned = plan(job.setup, job.run.output_dir, estimate)
    return job.result(checks=(*job.rows.checks, memory), plan=planned)


def _measured(job: Job) -> Estimate:
    trainer = make_trainer(job, job.run.folder.path)
    batch = next(iter(trainer.get_train_dataloader()))

    def step() -> int:
        before = trainer.tokens_seen
        trainer.training_step(trainer.model, dict(batch), num_items_in_batch=1)
        return trainer.tokens_seen - before

    return time_by_step(step, job.setup)
