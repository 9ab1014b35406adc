"""The training, from the request to the result."""

import os
import resource
import sys
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback
from transformers.trainer_utils import set_seed
from trl.trainer.sft_config import SFTConfig

from ..checks import Check
from ..errors import TrainingError
from ..examples.chat import ChatTokenizer
from ..examples.files import Prepared, load_prepared
from ..models.load import load_tokenizer
from ..models.machine import Machine, look
from ..models.source import local_path, read_config, resolve_model
from ..runs.active import ActiveRun
from ..runs.record import now
from ..settings import Settings
from . import checkpoints
from .batches import Collator, sequences
from .callbacks import Reporter, course
from .diagnosis import diagnose
from .model import Base, build, probe, save_result
from .plan import (
    MARGIN,
    Estimate,
    Setup,
    available_bytes,
    measure_shape,
    memory_bytes,
    memory_check,
    plan,
    time_by_formula,
    time_by_step,
)
from .recipe import Recipe, settle
from .request import TrainRequest
from .result import Resources, TrainResult
from .rows import Rows, tokenise
from .trainer import FineTuner, Spent

MEASURE_UP_TO = 1_000_000_000  # parameters; larger models take too long to load for an estimate
OUT_OF_MEMORY = "Reduce batch_size (and raise gradient_accumulation), reduce max_seq_length, or use technique qlora."


@dataclass(frozen=True)
class Job:
    """Everything that is settled before the first step."""

    request: TrainRequest
    run: ActiveRun
    settings: Settings
    started_at: datetime
    base: Path
    tokenizer: ChatTokenizer
    prepared: Prepared
    rows: Rows
    train_set: Any
    setup: Setup

    @property
    def recipe(self) -> Recipe:
        return self.setup.recipe

    @property
    def machine(self) -> Machine:
        return self.setup.machine

    @property
    def checkpoints_dir(self) -> Path:
        return self.run.output_dir / checkpoints.FOLDER

    @property
    def packed_length(self) -> int | None:
        return self.rows.max_seq_length if self.recipe.numbers.packing else None

    def result(self, **found: Any) -> TrainResult:
        """The result with what is known from the beginning."""
        return TrainResult(
            model_name=self.request.model_name,
            technique=self.request.technique,
            method=self.request.method,
            backend=self.request.backend,
            started_at=self.started_at,
            configuration=self.recipe.configuration(self.request, self.rows),
            validation_path=str(self.prepared.valid_path) if self.prepared.valid_path else None,
            **found,
        )


def run(request: TrainRequest, run: ActiveRun) -> TrainResult:
    """Fine-tune the model, or in a dry run say what that would take.

    Raises:
        DataError, ModelError, InputError: Something given cannot be used.
        TrainingError: Training cannot go on; the weights are untouched by what went wrong.
        Cancelled: The run was stopped; a checkpoint stands.
    """
    try:
        job = _settle(request, run)
        return _rehearse(job) if request.dry_run else _train(job)
    except torch.OutOfMemoryError as error:
        raise TrainingError("The accelerator ran out of memory.", OUT_OF_MEMORY) from error


def _settle(request: TrainRequest, run: ActiveRun) -> Job:
    settings = Settings.from_environment()
    started_at = now()
    run.stage("finding the model")
    base = local_path(resolve_model(request.model_name, settings), settings)
    run.raise_if_stopped()
    run.stage("tokenising the rows")
    tokenizer = ChatTokenizer.load(base)
    prepared = load_prepared(request.data_path)
    rows = tokenise(prepared, tokenizer, request.hyperparameters.max_seq_length, _model_limit(base))
    train_set = sequences(rows.train, rows.max_seq_length if request.hyperparameters.packing else None)
    machine = look()
    recipe = settle(request, rows, len(train_set), machine)
    shape = measure_shape(base, request.technique, recipe, settings)
    setup = _with_checkpointing(Setup(request.technique, shape, recipe, rows, machine))
    run.raise_if_stopped()
    return Job(
        request=request,
        run=run,
        settings=settings,
        started_at=started_at,
        base=base,
        tokenizer=tokenizer,
        prepared=prepared,
        rows=rows,
        train_set=train_set,
        setup=setup,
    )


def _model_limit(base: Path) -> int:
    config = read_config(base)
    text = config.get("text_config")
    limit = (text if isinstance(text, dict) else config).get("max_position_embeddings")
    return limit if isinstance(limit, int) else sys.maxsize


def _with_checkpointing(setup: Setup) -> Setup:
    """The same with gradient checkpointing decided: on only when memory would not suffice without."""
    numbers = setup.recipe.numbers
    if numbers.gradient_checkpointing is not None:
        return setup
    tight = memory_bytes(setup) > MARGIN * available_bytes(setup.machine)
    numbers = numbers.model_copy(update={"gradient_checkpointing": tight})
    return replace(setup, recipe=replace(setup.recipe, numbers=numbers))


def _rehearse(job: Job) -> TrainResult:
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
    trainer = _trainer(job, job.run.folder.path)
    batch = next(iter(trainer.get_train_dataloader()))

    def step() -> int:
        before = trainer.tokens_seen
        trainer.training_step(trainer.model, dict(batch), num_items_in_batch=1)
        return trainer.tokens_seen - before

    return time_by_step(step, job.setup)


def _train(job: Job) -> TrainResult:
    memory = memory_check(job.setup)
    if memory.status == "fail":
        raise TrainingError(memory.details, memory.next_step or OUT_OF_MEMORY)
    manifest = checkpoints.manifest_of(job.request, job.rows, job.recipe.numbers)
    resuming = job.request.resume or job.run.resume
    last = checkpoints.prepare_folder(job.checkpoints_dir, manifest, resuming)
    job.run.stage("loading the model")
    trainer = _trainer(job, job.checkpoints_dir, from_start=last is None)
    place = _probe_place(job.rows)
    before = probe(trainer.model, place)
    job.run.raise_if_stopped()
    job.run.stage("training")
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    spent = trainer.spent()
    job.run.stage("saving")
    checks = [*job.rows.checks, memory, _changed_check(trainer.model, before, probe(trainer.model, place))]
    if last is not None:
        checks.append(Check(name="Resumed", status="pass", details=f"Training went on from {last.name}."))
    return _saved(job, trainer, tuple(checks), spent)


def _saved(job: Job, trainer: FineTuner, checks: tuple[Check, ...], spent: Spent) -> TrainResult:
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
        diagnosis=diagnose(metrics),
    )


def _trainer(job: Job, folder: Path, from_start: bool = True) -> FineTuner:
    request, numbers = job.request, job.recipe.numbers
    set_seed(request.seed)  # the adapter begins with random numbers
    model = build(job.base, request.technique, numbers, job.settings)
    if request.log_to:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(job.run.output_dir / request.log_to)  # there is no argument for it
    validates = bool(job.rows.valid)
    callbacks: list[Any] = [Reporter(job.run, validates)]
    if numbers.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=numbers.early_stopping_patience))
    return FineTuner(
        run=job.run,
        model=model,
        args=_arguments(job, folder, from_start),
        data_collator=Collator(job.tokenizer.pad_id or job.tokenizer.eos_id or 0, packed=bool(numbers.packing)),
        train_dataset=job.train_set,
        eval_dataset=sequences(job.rows.valid, job.packed_length) if validates else None,
        processing_class=load_tokenizer(job.base),
        callbacks=callbacks,
    )


def _arguments(job: Job, folder: Path, from_start: bool) -> SFTConfig:
    recipe, numbers, validates = job.recipe, job.recipe.numbers, bool(job.rows.valid)
    on_cpu = job.machine.device == "cpu"
    return SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        max_steps=recipe.steps,
        learning_rate=recipe.get("learning_rate"),
        weight_decay=recipe.get("weight_decay"),
        warmup_steps=recipe.get("warmup_ratio"),
        max_grad_norm=recipe.get("max_grad_norm"),
        lr_scheduler_type="constant_with_warmup" if numbers.scheduler == "constant" else numbers.scheduler or "cosine",
        optim="adamw_torch" if job.machine.device == "mps" else "adamw_torch_fused",
        eval_strategy="steps" if validates else "no",
        eval_steps=recipe.save_steps,
        eval_on_start=validates and from_start,
        save_strategy="steps",
        save_steps=recipe.save_steps,
        save_total_limit=numbers.save_total_limit,
        load_best_model_at_end=validates,
        metric_for_best_model="eval_loss" if validates else None,
        greater_is_better=False if validates else None,
        logging_steps=recipe.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # a NaN must be seen, not replaced by an average
        restore_callback_states_from_checkpoint=True,  # the patience of early stopping goes on where it was
        bf16=numbers.dtype == "bfloat16",
        use_cpu=on_cpu,
        gradient_checkpointing=bool(numbers.gradient_checkpointing),
        dataloader_pin_memory=not on_cpu,
        remove_unused_columns=False,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},  # the rows are tokenised and masked already
        seed=job.request.seed,
        disable_tqdm=True,
        report_to=[job.request.log_to] if job.request.log_to else [],
    )


def _probe_place(rows: Rows) -> list[int]:
    """The prompt of the shortest row."""
    row = min(rows.train, key=lambda row: len(row.input_ids))
    first = next(place for place, label in enumerate(row.labels) if label != -100)
    return row.input_ids[: max(1, first)]


def _changed_check(model: Any, before: torch.Tensor, after: torch.Tensor) -> Check:
    """Whether the training left a trace: an adapter whose second matrices are all zero adds nothing."""
    difference = float((after - before).abs().max())
    second = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    idle = all(not bool(weight.any()) for weight in second) if second else difference == 0
    return Check(
        name="Training changed the model",
        status="fail" if idle else "warn" if difference == 0 else "pass",
        details=f"The largest change of a logit on a training prompt is {difference:.3g}.",
        next_step=None if difference else "Raise the learning rate or the number of steps.",
    )


def _resources(job: Job, spent: Spent) -> Resources:
    on_gpu = job.machine.device == "cuda"
    total = job.machine.gpu_memory_total_bytes
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, KiB elsewhere
    busy = spent.seconds - spent.evaluation_s
    speed = spent.tokens / busy if spent.tokens and busy > 0 else None
    share = job.rows.trained_tokens / job.rows.total_tokens
    return Resources(
        device=f"{job.machine.device_name}, {job.recipe.numbers.dtype}",
        gpu_memory_used_gb=round(torch.cuda.max_memory_reserved() / 1e9, 2) if on_gpu else None,
        gpu_memory_total_gb=round(total / 1e9, 2) if total else None,
        host_memory_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 2),
        training_time_s=round(spent.seconds, 1),
        tokens_per_second=round(speed, 1) if speed else None,
        trained_tokens_per_second=round(speed * share, 1) if speed else None,
        trained_tokens=job.rows.trained_tokens,
        total_tokens=job.rows.total_tokens,
    )
