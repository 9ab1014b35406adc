"""TRL's trainer, stopping before damage, counting loss by token, and computing no more than it needs."""

import functools
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.trainer_utils import rotate_checkpoints
from trl.trainer.sft_trainer import SFTTrainer

from ..errors import TrainingError
from ..garbage import give_back_memory
from ..runs.active import ActiveRun
from . import checkpoints, distributed
from .batches import LengthGrouped
from .guards import NonFiniteError, one_row_too_many, ran_out_of_memory, unwritable
from .meter import Spent, measured
from .model import trained_parameters
from .objectives import Objective
from .portions import Portion, portion_of

SHOWN_ROWS = 16
NOT_INPUTS = ("rows", "sequences")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sequences:
    """The sequences that a batch was made of, so that smaller ones can be made of them; opaque to other code."""

    taken: Sequence[dict[str, Any]]


class FineTuner(SFTTrainer):
    """Fine-tuning on tokenised rows, by any objective.

    Each batch names its rows (`rows`), so that an error can. A batch may be computed in portions: their gradients add
    up to the same step. They become smaller where memory does not suffice.
    """

    model: Any  # never None here, whatever the base class allows

    sharded = False
    """Whether each process has a part of every layer: then all must compute the same layers together."""

    def __init__(self, run: ActiveRun, objective: Objective, save_total_limit: int | None, **options: Any) -> None:
        self.run = run
        self.objective = objective
        self.save_total_limit = save_total_limit
        self.collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]] = options.pop("data_collator")
        self.rows_of_step: list[int] = []
        self.batches_of_step: list[dict[str, Any]] = []
        self.tokens_seen = 0
        self.evaluation_s = 0.0
        self.began: float | None = None
        self.saves_beginning = False
        self.spent_before: Spent | None = None
        super().__init__(data_collator=self._collated, **options)
        device = self.args.device.type
        self.portion = portion_of(self.args.train_batch_size, device, objective, self.sharded)
        self.evaluated = portion_of(self.args.eval_batch_size, device, objective, self.sharded)
        self.model_accepts_loss_kwargs = True  # the loss is divided by the tokens of the whole optimizer step
        for parameter in trained_parameters(self.model):
            parameter.data = parameter.data.float()  # TRL makes QLoRA's bfloat16, in which late, small updates vanish

    def _collated(self, sequences: Sequence[dict[str, Any]]) -> dict[str, Any]:
        real = distributed.without_fillers(sequences)
        return self.collate(real) | {"sequences": Sequences(real)}

    def _send_telemetry(self) -> None:
        """Nothing is sent anywhere."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Checkpoints need no page about themselves."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; the clock starts with the first call."""
        if self.began is None:
            self.began = time.monotonic()
            self.objective.begin(self)
        return super().train(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Keep a line, and in it what was spent, which a resumed training finds in its checkpoint."""
        if "loss" in logs:
            logs |= self.objective.noticed(training=True)
        spent = self.spent()
        super().log(logs | asdict(spent) | measured(self.state.log_history, spent), start_time)

    def spent(self) -> Spent:
        """Time and tokens up to now, those of earlier attempts included."""
        if self.spent_before is None:
            last = self.state.log_history[-1] if self.state.log_history else {}
            self.spent_before = Spent(
                last.get("seconds", 0.0), last.get("evaluation_s", 0.0), int(last.get("tokens", 0))
            )
        before = self.spent_before
        return Spent(
            seconds=before.seconds + time.monotonic() - (self.began or time.monotonic()),
            evaluation_s=before.evaluation_s + self.evaluation_s,
            tokens=before.tokens + int(distributed.total([self.tokens_seen], self.args.device)[0]),
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        size = self.args.train_batch_size
        rows: Any = self.train_dataset
        return distributed.evened(rows, size, lambda lengths: LengthGrouped(lengths, size, self.args.seed))

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return distributed.evened(eval_dataset, self.args.eval_batch_size, lambda lengths: range(len(lengths)))

    def create_accelerator_and_postprocess(self) -> None:
        """Leave the model unwrapped: the gradients are averaged once a step, however they were computed."""
        super().create_accelerator_and_postprocess()
        prepare = functools.partial(self.accelerator.prepare_model, evaluation_mode=True)
        self.accelerator.prepare_model = prepare

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The batches of the next optimizer step."""
        self.rows_of_step, self.batches_of_step = [], []
        return super().get_batch_samples(*args, **kwargs)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Loss and gradient of one batch.

        Raises:
            Cancelled: The run was asked to stop; a checkpoint of the last whole step was saved.
            NonFiniteError: The loss is not a finite number.
            TrainingError: Memory does not suffice for a single sequence.
        """
        self.stop_if_asked()
        self.rows_of_step += inputs["rows"]
        self.tokens_seen += _tokens(inputs)
        if num_items_in_batch is None:
            num_items_in_batch = self._get_num_items_in_batch([inputs], self.args.device)
        loss = self.with_gradient(model, inputs, num_items_in_batch)
        if distributed.any_of(not torch.isfinite(loss), self.args.device):
            raise self._not_finite("loss", loss)
        return loss

    def with_gradient(self, model: Any, inputs: dict[str, Any], units: Any) -> torch.Tensor:
        """Loss of one batch, with its gradient added to that of the step; in smaller portions where memory is short.

        Raises:
            TrainingError: Memory does not suffice for a single sequence.
        """
        self.batches_of_step.append(inputs)
        loss = self._attempt(model, [inputs], units)
        while loss is None:
            self._shrink(self.portion, f"step {self.state.global_step + 1}", inputs["rows"])
            model.zero_grad()  # some layers have the failed batch's gradient, others have not
            loss = self._attempt(model, self.batches_of_step, units)
        return loss

    def _attempt(self, model: Any, batches: Sequence[dict[str, Any]], units: Any) -> torch.Tensor | None:
        """Gradients of the batches and the loss of the last one; None when memory did not suffice."""
        loss = torch.zeros((), device=self.args.device)
        try:
            for batch in batches:
                loss = torch.zeros((), device=self.args.device)
                for inputs in self._portions(batch, self.portion):
                    loss += super().training_step(model, inputs, units)
        except (RuntimeError, MemoryError) as error:
            # the other processes wait for this one in each layer of a sharded model, so it cannot compute again
            if self.sharded or not ran_out_of_memory(error):
                raise
            return None
        return loss

    def _portions(self, batch: dict[str, Any], portion: Portion) -> Iterator[dict[str, Any]]:
        """A batch as it is, or anew of some of its sequences at a time, padded no more than these need."""
        if not batch["rows"] and not self.sharded:
            return iter(())
        given: Sequences | None = batch.get("sequences")
        groups = portion.split(given.taken) if given else ()
        return map(self.collate, groups) if len(groups) > 1 else iter([batch])

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What the model is given: on its device, and without what only the trainer knows about a batch."""
        return super()._prepare_inputs({name: value for name, value in inputs.items() if name not in NOT_INPUTS})

    def _shrink(self, portion: Portion, what: str, rows: Sequence[int]) -> None:
        give_back_memory()
        if not portion.shrink():
            raise one_row_too_many(what, _named(rows))
        log.warning("Memory ran out in %s: from now on %d sequences at once.", what, portion.size)

    def _clip_grad_norm(self, model: Any) -> Any:
        distributed.average_gradients(self.held_whole(model))
        norm: Any = super()._clip_grad_norm(model)
        if not math.isfinite(norm):
            raise self._not_finite("gradient", norm)
        return norm

    def held_whole(self, model: Any) -> list[torch.nn.Parameter]:
        """The trained weights that each process has whole."""
        return trained_parameters(model)

    def _not_finite(self, what: str, value: Any, step: int | None = None) -> NonFiniteError:
        found = distributed.gathered((float(value), self.rows_of_step))
        spoiled = [one for one in found if not math.isfinite(one[0])]
        rows = [number for _, numbers in spoiled for number in numbers]
        saved = checkpoints.whole(self.checkpoints_dir)
        kept = f"the last checkpoint is {saved[-1].name}" if saved else "no checkpoint had been saved"
        ended = "Training ended before this step changed the weights" if step is None else "They were not saved"
        step = self.state.global_step + 1 if step is None else step
        rate = self.args.learning_rate / 10
        onward = (
            f"resume with hyperparameters.on_non_finite lower_rate, which goes on from {saved[-1].name}, or "
            if saved
            else ""
        )
        return NonFiniteError(
            f"The {what} became {spoiled[0][0]} in step {step} of {self.state.max_steps}, on rows "
            f"{_named(rows)} of the training file. {ended}; {kept}.",
            f"Look at the named rows. Then {onward}start anew with learning_rate {rate:.0e}.",
        )

    @property
    def checkpoints_dir(self) -> Path:
        """Where checkpoints are written."""
        return Path(self._get_output_dir(None))

    def stop_if_asked(self) -> None:
        """End here when the run was asked to, with the last whole step saved.

        Raises:
            Cancelled: It was.
        """
        if not distributed.any_of(self.run.stop_requested, self.args.device):
            return
        step = self.state.global_step
        unsaved = checkpoints.seal_of(self.checkpoints_dir / f"checkpoint-{step}") is None
        if self.is_in_train and step > self._initial_global_step and unsaved:
            self._save_checkpoint(self.model, None)
        self.run.request_stop()  # the signal may have reached another process only
        self.run.raise_if_stopped()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint, seal it, and only then delete older ones.

        Raises:
            NonFiniteError: A weight is not a number; nothing is written.
            TrainingError: It cannot be written; what there was of it is deleted.
        """
        if not all(bool(torch.isfinite(weight).all()) for weight in trained_parameters(self.model)):
            raise self._not_finite("weights", math.nan, self.state.global_step)
        folder = self.checkpoints_dir / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            distributed.gathered(None)  # sealed when every process has written its part
            if self.args.should_save:
                self._seal(folder)
        except (OSError, RuntimeError, SafetensorError) as error:
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)
            raise unwritable(f"Checkpoint {folder.name}", folder.parent, error) from error
        if self.args.should_save:
            rotate_checkpoints(str(folder.parent), self.save_total_limit, self.state.best_model_checkpoint)

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        """Model and optimizer, made ready; with a checkpoint to go back to before there is a first step."""
        prepared = super()._prepare_for_training(*args, **kwargs)
        if self.saves_beginning and self.state.global_step == 0:
            self._save_checkpoint(self.model, None)
        return prepared

    def _seal(self, folder: Path) -> None:
        checkpoints.seal(
            folder,
            unlogged_loss=float(getattr(self, "_tr_loss", 0.0)),
            logged_step=getattr(self, "_globalstep_last_logged", 0),
            rows_at_once=self.portion.size,
        )

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """The random numbers' state, and with it the rest that lets a resumed training be the same."""
        super()._load_rng_state(checkpoint)
        noted = checkpoints.seal_of(Path(checkpoint)) if checkpoint else None
        if noted is None:
            return
        self._tr_loss = torch.tensor(noted.unlogged_loss, device=self.args.device)
        self._globalstep_last_logged = noted.logged_step
        if noted.rows_at_once in range(1, self.portion.size):
            self.portion.size = noted.rows_at_once

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """The optimizer's state, and the learning rate as it is now: lowered, or on the curve of another length."""
        super()._load_optimizer_and_scheduler(checkpoint)
        scheduler: Any = self.lr_scheduler
        if checkpoint is None or scheduler is None:
            return
        scheduler.base_lrs = [self.args.learning_rate] * len(scheduler.base_lrs)
        rates = [self.args.learning_rate * curve(scheduler.last_epoch) for curve in scheduler.lr_lambdas]
        for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
            group["lr"], group["initial_lr"] = rate, self.args.learning_rate
        scheduler._last_lr = rates

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean of the objective over the units of the whole optimizer step."""
        units = self.objective.units(inputs) if num_items_in_batch is None else num_items_in_batch
        loss = self.objective.summed(model, inputs) / torch.as_tensor(units).clamp(min=1)
        # the gradients are averaged over the processes, the units were counted over all of them
        return loss * distributed.world_size()

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> torch.Tensor:
        units = sum(self.objective.units(batch) for batch in batch_samples if batch["rows"])
        return torch.tensor(distributed.total([units], device)[0], device=device)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The objective's mean over all units of the validation rows, each counted once, however long its row.

        Raises:
            TrainingError: It is not a finite number.
        """
        began = time.monotonic()
        was_training = self.model.training
        self.model.eval()
        total, units = 0.0, 0
        for batch in self.get_eval_dataloader(eval_dataset):
            self.stop_if_asked()
            total += self.loss_of(batch)
            units += self.objective.units(batch) if batch["rows"] else 0
        self.model.train(was_training)
        self.evaluation_s += time.monotonic() - began
        total, units = distributed.total([total, units], self.args.device)
        if not math.isfinite(total):
            raise self._cannot_validate(total)
        metrics = {f"{metric_key_prefix}_loss": total / max(1, units)}
        noticed = self.objective.noticed(training=False)
        metrics |= {f"{metric_key_prefix}_{name}": value for name, value in noticed.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _cannot_validate(self, total: float) -> TrainingError:
        """Why the validation loss is no number: the base's own fault before the first step, else the training's."""
        if step := self.state.global_step:
            problem = f"The loss of the validation rows became {total} after step {step} of {self.state.max_steps}."
            return NonFiniteError(problem, f"Start anew with learning_rate {self.args.learning_rate / 10:.0e}.")
        return TrainingError(
            f"The loss of the validation rows is {total} before the first step: the base model is unsound, or its "
            "numbers overflow.",
            "Look whether the base's weights hold NaN or infinity (fetch it again), or train with dtype float32.",
        )

    def loss_of(self, batch: dict[str, Any]) -> float:
        """The objective's sum over a batch, without gradient; in smaller portions when memory does not suffice.

        Raises:
            TrainingError: Memory does not suffice for a single sequence.
        """
        total = self._evaluated(batch)
        while total is None:
            self._shrink(self.evaluated, "the evaluation", batch["rows"])
            total = self._evaluated(batch)
        return total

    def _evaluated(self, batch: dict[str, Any]) -> float | None:
        """The objective's sum over a batch; None when memory did not suffice."""
        total = 0.0
        try:
            for inputs in self._portions(batch, self.evaluated):
                with torch.no_grad(), self.compute_loss_context_manager(), self.autocast_smart_context_manager():
                    total += self.objective.summed(self.model, self._prepare_inputs(inputs)).item()
        except (RuntimeError, MemoryError) as error:
            if self.sharded or not ran_out_of_memory(error):
                raise
            return None
        return total


def _tokens(inputs: dict[str, Any]) -> int:
    """The real tokens of a batch, padding and fillers not counted."""
    mask = inputs.get("attention_mask")
    if not inputs["rows"]:
        return 0
    return int(mask.sum()) if mask is not None else inputs["input_ids"].numel()


def _named(rows: Sequence[int]) -> str:
    more = f" and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else ""
    return ", ".join(map(str, sorted(rows)[:SHOWN_ROWS])) + more
