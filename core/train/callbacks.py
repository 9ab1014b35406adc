"""What happens beside the training: progress, metrics, an eye on how it goes, and an evaluation at the end."""

import logging
import math
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..runs.active import ActiveRun
from .diagnosis import diagnose, unmoved
from .hyperparameters import Hyperparameters
from .model import trained_parameters
from .result import Diagnosis, Metric

FIRST_LOOK = 10  # lines of metrics; fewer say little about where a training goes
NEXT_LOOK = 1.5  # times as many lines as at the look before
SAMPLES = 8  # trained tensors, the smallest, that are compared with what they were

log = logging.getLogger(__name__)


class Watch(TrainerCallback):
    """Looks at the course while the training goes on, and says what goes wrong once, in the log and the progress.

    Attributes:
        found: What was seen up to now, by symptom.
    """

    def __init__(self, numbers: Hyperparameters) -> None:
        self.numbers = numbers
        self.found: dict[str, Diagnosis] = {}
        self._look_at = FIRST_LOOK
        self._weights: list[torch.nn.Parameter] = []
        self._begun: list[torch.Tensor] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        self._weights = sorted(trained_parameters(model), key=torch.Tensor.numel)[:SAMPLES]
        self._begun = [weight.detach().clone() for weight in self._weights]

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if len(state.log_history) < self._look_at:
            return
        metrics = course(state.log_history)
        self._look_at = math.ceil(NEXT_LOOK * len(state.log_history))
        same = zip(self._weights, self._begun, strict=True)
        still = unmoved(state.global_step) if all(torch.equal(*pair) for pair in same) else None
        for symptom in (still, *diagnose(metrics, self.numbers)):
            if symptom and symptom.symptom not in self.found:
                self.found[symptom.symptom] = symptom
                log.warning("%s: %s %s", symptom.symptom, symptom.evidence, symptom.next_step)


class Reporter(TrainerCallback):
    """Writes progress and metrics into the run, and closes the training with an evaluation and a checkpoint."""

    def __init__(self, run: ActiveRun, validates: bool, watch: Watch) -> None:
        self.run = run
        self.watch = watch
        self.validates = validates

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        loss = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), None)
        message = f"epoch {state.epoch or 0:.2f}" + (f", loss {loss:.3f}" if loss is not None else "")
        message = "; ".join((message, *self.watch.found))
        self.run.progress(state.global_step, state.max_steps, "steps", message)
        if state.global_step >= state.max_steps:
            control.should_log = control.should_save = True
            control.should_evaluate = self.validates

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs and ("loss" in logs or "eval_loss" in logs):
            self.run.metric(_metric(logs | {"step": state.global_step}).model_dump(exclude_none=True))


def _metric(entry: dict[str, float]) -> Metric:
    return Metric(
        epoch=round(entry.get("epoch", 0.0), 4),
        step=int(entry["step"]),
        train_loss=entry.get("loss"),
        val_loss=entry.get("eval_loss"),
        learning_rate=entry.get("learning_rate"),
        grad_norm=entry.get("grad_norm"),
        tokens_per_second=entry.get("tokens_per_second"),
        memory_gb=entry.get("memory_gb"),
        reward_margin=entry.get("eval_reward_margin", entry.get("reward_margin")),
        reward_accuracy=entry.get("eval_reward_accuracy", entry.get("reward_accuracy")),
    )


def course(history: list[dict[str, float]]) -> tuple[Metric, ...]:
    """The trainer's log as one line a step, training and validation side by side."""
    lines: dict[int, Metric] = {}
    for entry in history:
        if "loss" not in entry and "eval_loss" not in entry:
            continue
        metric = _metric(entry)
        known = metric.model_dump(exclude_none=True)
        lines[metric.step] = lines[metric.step].model_copy(update=known) if metric.step in lines else metric
    return tuple(lines[step] for step in sorted(lines))
