"""The trainer, made from what was settled."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, PreTrainedModel
from transformers.trainer_utils import set_seed
from trl.trainer.sft_config import SFTConfig

from ..models.load import load_tokenizer
from . import distributed
from .batches import sequences
from .callbacks import Reporter, Watch
from .logs import PROJECT
from .model import build, with_adapter
from .objectives import objective_of
from .settle import Job
from .sharded import ShardedBaseTuner, ShardedFineTuner, give_back_freed_memory
from .trainer import FineTuner


def make_trainer(job: Job, folder: Path, from_start: bool = True, base: PreTrainedModel | None = None) -> FineTuner:
    """The model with its trainable weights, inside a trainer that writes checkpoints to `folder`.

    Args:
        job: What was settled.
        folder: For checkpoints.
        from_start: Whether this training begins at step 0; a resumed one does not measure the base again.
        base: A base that is loaded and made ready already; None: it is loaded.
    """
    request, numbers = job.request, job.recipe.numbers
    set_seed(request.seed)  # the adapter begins with random numbers
    shards = job.recipe.processes if job.recipe.sharded else 1
    if shards > 1:
        give_back_freed_memory()
    model = with_adapter(base, numbers) if base else build(job.base, request.technique, numbers, job.settings, shards)
    validates = bool(job.rows.valid)
    watch = Watch(numbers)
    callbacks: list[Any] = [watch, Reporter(job.run, validates, watch)]
    if numbers.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=numbers.early_stopping_patience))
    return _kind(job)(
        run=job.run,
        objective=objective_of(request.method, numbers),
        save_total_limit=numbers.save_total_limit,
        model=model,
        args=_arguments(job, folder, from_start),
        data_collator=job.collator,
        train_dataset=distributed.with_filler(job.train_set),
        eval_dataset=distributed.with_filler(sequences(job.rows.valid, job.packed_length)) if validates else None,
        processing_class=load_tokenizer(job.base),
        callbacks=callbacks,
    )


def _kind(job: Job) -> Callable[..., FineTuner]:
    if not job.recipe.sharded:
        return FineTuner
    return functools.partial(ShardedFineTuner, job.settings) if job.request.technique == "full" else ShardedBaseTuner


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
        run_name=f"{job.run.output_dir.name} {job.run.folder.run_id}",
        project=PROJECT,
        trackio_static_space_id=False,  # what it shows stays here
    )
