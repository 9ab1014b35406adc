"""The worst batch, tried before the first step: one training step, one evaluation, one save, all without a trace."""

import contextlib
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from transformers import TrainerCallback
from trl.trainer.sft_trainer import SFTTrainer

from .. import files
from ..checks import Check
from . import distributed
from .guards import unwritable
from .model import trained_parameters

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"  # Linux: the peak of this process's memory starts anew
SAVE_UP_TO = 10e9  # bytes of a checkpoint; writing more takes longer than it tells


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the worst batch took."""

    rows: int
    """Sequences computed at once."""

    tokens: int
    """In all of them, padding counted."""

    step_s: float
    """Forward, backward and optimizer."""

    peak_bytes: float | None
    """Of the GPU, or of this process without one; None where it cannot be measured."""

    loss: float
    evaluation_s: float | None
    """Of the fullest portion of validation rows; None without validation rows."""

    evaluation_tokens: int
    save_s: float | None
    """None when a checkpoint is too large to be written for a try."""

    checkpoint_bytes: int


class Rehearser(TrainerCallback):
    """Rehearses when training begins: model and optimizer are as they will be, and nothing has happened yet.

    Attributes:
        rehearsal: What was measured; None before.
    """

    def __init__(self, trainer: Any, scratch: Path) -> None:
        self.trainer = trainer
        self.scratch = scratch
        self.rehearsal: Rehearsal | None = None

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """See the class; a training that goes on after a stop begins again, and needs no second rehearsal."""
        if self.rehearsal is None:
            self.rehearsal = rehearse(self.trainer, self.scratch)


@dataclass(frozen=True, slots=True)
class Alone:
    """A rehearsal that no training followed."""

    rehearsal: Rehearsal
    tokens_per_second: float
    """Forward and backward, over batches of the usual mix of lengths."""


class _Done(Exception):
    def __init__(self, found: Alone) -> None:
        super().__init__()
        self.found = found


class _Leave(Rehearser):
    """Rehearses, times usual batches, and leaves the training before its first step."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        raise _Done(Alone(rehearse(self.trainer, self.scratch), typical_speed(self.trainer)))


def rehearse_alone(trainer: Any, scratch: Path) -> Alone:
    """Rehearse without training afterwards."""
    trainer.add_callback(_Leave(trainer, scratch))
    try:
        SFTTrainer.train(trainer)  # not the trainer's own: what a method computes over all rows beforehand is spared
    except _Done as done:
        return done.found
    raise AssertionError("a training begins with on_train_begin")


def rehearse(trainer: Any, scratch: Path) -> Rehearsal:
    """One step on the fullest portion of a batch, one evaluation, one save to `scratch`, which is removed.

    Weights, optimizer, random numbers and counters are afterwards as before.

    Raises:
        TrainingError: A checkpoint cannot be written.
    """
    batch = trainer.portion.fullest(trainer.train_dataset)
    with _random_numbers_kept(), _peak() as peak:
        began = time.perf_counter()
        with _optimizer_stepped(trainer):
            loss = _step(trainer, batch)
            step_s = time.perf_counter() - began
            evaluation_s, evaluation_tokens = _evaluation(trainer)
            save_s, size = _save(trainer, scratch)
    trainer.model.zero_grad()
    return Rehearsal(
        rows=len(batch),
        tokens=_tokens(trainer, batch),
        step_s=step_s,
        peak_bytes=peak.bytes,
        loss=loss,
        evaluation_s=evaluation_s,
        evaluation_tokens=evaluation_tokens,
        save_s=save_s,
        checkpoint_bytes=size,
    )


def typical_speed(trainer: Any) -> float:
    """Tokens a second, forward and backward, over a batch of the data's usual mix of lengths."""
    dataset, size = trainer.train_dataset, trainer.args.per_device_train_batch_size
    batches = max(1, min(4, trainer.args.gradient_accumulation_steps, len(dataset) // size))
    lengths = [len(ids) for ids in dataset["input_ids"]]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    tokens, seconds = 0, 0.0
    with _random_numbers_kept():
        for number in range(batches):
            middle = int(len(order) * (number + 0.5) / batches)
            start = max(0, min(middle - size // 2, len(order) - size))
            chosen = order[start : start + size]
            began = time.perf_counter()
            _step(trainer, [dataset[place] for place in chosen])
            seconds += time.perf_counter() - began
            tokens += sum(lengths[place] for place in chosen)
    trainer.model.zero_grad()
    return tokens / seconds


def _step(trainer: Any, batch: Sequence[dict[str, Any]]) -> float:
    """Forward and backward; the loss."""
    inputs = trainer.data_collator(batch)
    units = trainer._get_num_items_in_batch([inputs], trainer.args.device)
    loss = trainer.with_gradient(trainer.model_wrapped, inputs, units)
    trainer.batches_of_step.clear()
    return float(loss)


def _tokens(trainer: Any, batch: Sequence[dict[str, Any]]) -> int:
    return int(trainer.data_collator(batch)["input_ids"].numel())


@contextlib.contextmanager
def _optimizer_stepped(trainer: Any) -> Iterator[None]:
    """Inside, the optimizer has the state of a first step that moved no weight; afterwards it has none again.

    From the second step on its moments lie beside the activations; of a fully trained model they are half of all. So
    do the gradients where several batches make a step.
    """
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    groups = [(group, group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    try:
        for group, _, _ in groups:
            group["lr"] = group["weight_decay"] = 0.0
        for parameter in trained_parameters(trainer.model):
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        if trainer.args.gradient_accumulation_steps == 1:
            trainer.model.zero_grad()
        yield
    finally:
        for group, rate, decay in groups:
            group["lr"], group["weight_decay"] = rate, decay
        optimizer.state.clear()


def _evaluation(trainer: Any) -> tuple[float | None, int]:
    """Seconds and tokens of the fullest portion of validation rows, forward only."""
    if trainer.eval_dataset is None:
        return None, 0
    batch = trainer.evaluated.fullest(trainer.eval_dataset)
    trainer.model.eval()
    began = time.perf_counter()
    trainer.loss_of(trainer.data_collator(batch))
    seconds = time.perf_counter() - began
    trainer.objective.noticed(training=False)  # these rows will be counted when they are evaluated
    trainer.model.train()
    return seconds, sum(len(sequence["input_ids"]) for sequence in batch)


def _save(trainer: Any, scratch: Path) -> tuple[float | None, int]:
    """Seconds and bytes of a checkpoint."""
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    if trained * 12 > SAVE_UP_TO:
        return None, trained * 12
    began = time.perf_counter()
    try:
        trainer.save_model(str(scratch), _internal_call=True)
        trainer._save_optimizer_and_scheduler(str(scratch))
        distributed.gathered(None)  # every process has written
        size = distributed.by_the_first(lambda: files.folder_bytes(scratch))
    except (OSError, RuntimeError) as error:  # torch tells of a full disk as a RuntimeError
        raise unwritable("A checkpoint, written to try it before the first step,", scratch.parent, error) from error
    finally:
        if distributed.rank() == 0:
            shutil.rmtree(scratch, ignore_errors=True)
    return time.perf_counter() - began, size


@contextlib.contextmanager
def _random_numbers_kept() -> Iterator[None]:
    """Random numbers go on afterwards as if nothing had been drawn inside."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)


class Peak:
    """The most memory there was."""

    bytes: float | None = None


@contextlib.contextmanager
def _peak() -> Iterator[Peak]:
    """Measures the peak of the GPU's memory, or of this process's own."""
    peak = Peak()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        yield peak
        peak.bytes = float(torch.cuda.max_memory_reserved())
    elif CLEAR_REFS.exists():
        with contextlib.suppress(OSError):  # some sandboxes forbid it; then the peak so far counts
            CLEAR_REFS.write_text(RESET_PEAK)
        yield peak
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        peak.bytes = float(line.split()[1]) * 1024
    else:
        yield peak
        peak.bytes = float(psutil.Process().memory_info().rss)


def rehearsal_check(rehearsal: Rehearsal, estimated: float) -> Check:
    """What the rehearsal showed, beside the estimated peak in bytes."""
    sequences = "one sequence" if rehearsal.rows == 1 else f"{rehearsal.rows} sequences"
    details = (
        f"The most that is computed at once, {rehearsal.tokens:,} tokens of {sequences}: a step in "
        f"{rehearsal.step_s:.2f} s"
    )
    if rehearsal.peak_bytes is not None:
        details += f", {rehearsal.peak_bytes / 1e9:.2f} GB at the peak ({estimated / 1e9:.2f} estimated)"
    if rehearsal.evaluation_s is not None:
        details += f"; an evaluation batch in {rehearsal.evaluation_s:.2f} s"
    if rehearsal.save_s is not None:
        details += f"; a checkpoint of {rehearsal.checkpoint_bytes / 1e6:.1f} MB in {rehearsal.save_s:.2f} s"
    if np.isfinite(rehearsal.loss):
        return Check(name="Rehearsal", status="pass", details=details + ".")
    return Check(
        name="Rehearsal",
        status="warn",
        details=f"{details}. Their loss is {rehearsal.loss} before anything is trained.",
        next_step="Look at the longest rows, and at the base model: its answer to them is no number.",
    )
