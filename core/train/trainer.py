"""TRL's trainer, stopping before damage, counting loss by token, and computing no more than it needs."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from trl.trainer.sft_trainer import SFTTrainer

from ..errors import TrainingError
from ..runs.active import ActiveRun
from . import distributed
from .batches import LengthGrouped
from .objectives import Objective

SHOWN_ROWS = 16
NON_FINITE = (
    "Lower hyperparameters.learning_rate (a tenth is a good first try) and look at the named rows; "
    "then start again, or resume from the last checkpoint."
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a training has used, all attempts together."""

    seconds: float = 0.0
    evaluation_s: float = 0.0
    tokens: int = 0
    """Padding not counted."""


class FineTuner(SFTTrainer):
    """Fine-tuning on tokenised rows, by any objective.

    Each batch names its rows (`rows`), so that an error can.
    """

    model: Any  # never None here, whatever the base class allows

    def __init__(self, run: ActiveRun, objective: Objective, **options: Any) -> None:
        self.run = run
        self.objective = objective
        self.rows_of_step: list[int] = []
        self.tokens_seen = 0
        self.evaluation_s = 0.0
        self.began = time.monotonic()
        self.spent_before: Spent | None = None
        super().__init__(**options)
        self.model_accepts_loss_kwargs = True  # the loss is divided by the tokens of the whole optimizer step
        for parameter in self.model.parameters():
            if parameter.requires_grad:  # TRL makes QLoRA's bfloat16, in which late, small updates vanish
                parameter.data = parameter.data.float()

    def _send_telemetry(self) -> None:
        """Nothing is sent anywhere."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Checkpoints need no page about themselves."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; the clock starts here."""
        self.began = time.monotonic()
        return super().train(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Keep a line, and in it what was spent, which a resumed training finds in its checkpoint."""
        super().log(logs | asdict(self.spent()), start_time)

    def spent(self) -> Spent:
        """Time and tokens up to now, those of earlier attempts included."""
        if self.spent_before is None:
            last = self.state.log_history[-1] if self.state.log_history else {}
            self.spent_before = Spent(
                last.get("seconds", 0.0), last.get("evaluation_s", 0.0), int(last.get("tokens", 0))
            )
        before = self.spent_before
        return Spent(
            seconds=before.seconds + time.monotonic() - self.began,
            evaluation_s=before.evaluation_s + self.evaluation_s,
            tokens=before.tokens + self.tokens_seen,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGrouped:
        lengths = [len(ids) for ids in self.train_dataset["input_ids"]]  # pyright: ignore[reportOptionalSubscript]
        return LengthGrouped(lengths, self.args.train_batch_size, self.args.seed)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Loss and gradient of one batch.

        Raises:
            Cancelled: The run was asked to stop; a checkpoint of the last whole step was saved.
            TrainingError: The loss is not a finite number.
        """
        self.stop_if_asked()
        self.rows_of_step += inputs.pop("rows")
        mask = inputs.get("attention_mask")
        self.tokens_seen += int(mask.sum()) if mask is not None else inputs["input_ids"].numel()
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise self._not_finite("loss", loss)
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm: Any = super()._clip_grad_norm(model)
        if not math.isfinite(norm):
            raise self._not_finite("gradient", norm)
        self.rows_of_step = []
        return norm

    def _not_finite(self, what: str, value: Any) -> TrainingError:
        shown = ", ".join(map(str, sorted(self.rows_of_step)[:SHOWN_ROWS]))
        more = f" and {len(self.rows_of_step) - SHOWN_ROWS} more" if len(self.rows_of_step) > SHOWN_ROWS else ""
        step = self.state.global_step
        saved = [path.name for path in self._checkpoints()]
        kept = f"the last checkpoint is {saved[-1]}" if saved else "no checkpoint had been saved"
        return TrainingError(
            f"The {what} became {float(value)} in step {step + 1} of {self.state.max_steps}, on rows {shown}{more} "
            f"of the training file. Training ended before this step changed the weights; {kept}.",
            NON_FINITE,
        )

    def _checkpoints(self) -> list[Path]:
        found = Path(self._get_output_dir(None)).glob("checkpoint-*")
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))

    def stop_if_asked(self) -> None:
        """End here when the run was asked to, with the last whole step saved.

        Raises:
            Cancelled: It was.
        """
        if not self.run.stop_requested:
            return
        step = self.state.global_step
        if self.is_in_train and step > self._initial_global_step:
            saved = {path.name for path in self._checkpoints() if (path / "trainer_state.json").is_file()}
            if f"checkpoint-{step}" not in saved:
                self._save_checkpoint(self.model, None)
        self.run.raise_if_stopped()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean of the objective over the units of the whole optimizer step."""
        units = self.objective.units(inputs) if num_items_in_batch is None else num_items_in_batch
        loss = self.objective.summed(model, inputs) / torch.as_tensor(units).clamp(min=1)
        # the gradients are averaged over the processes, the units were counted over all of them
        return loss * distributed.world_size()

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> torch.Tensor:
        units = sum(self.objective.units(batch) for batch in batch_samples)
        return torch.tensor(distributed.total([units], device)[0], device=device)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The objective's mean over all units of the validation rows, each counted once, however long its row."""
        began = time.monotonic()
        was_training = self.model.training
        self.model.eval()
        total, units = 0.0, 0
        for batch in self.get_eval_dataloader(eval_dataset):
            self.stop_if_asked()
            batch.pop("rows")
            with torch.no_grad(), self.compute_loss_context_manager(), self.autocast_smart_context_manager():
                total += self.objective.summed(self.model, self._prepare_inputs(batch)).item()
            units += self.objective.units(batch)
        self.model.train(was_training)
        self.evaluation_s += time.monotonic() - began
        total, units = distributed.total([total, units], self.args.device)
        metrics = {f"{metric_key_prefix}_loss": total / max(1, units)}
        metrics |= {f"{metric_key_prefix}_{name}": value for name, value in self.objective.noticed().items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
