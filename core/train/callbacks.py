"""What happens beside the training: progress, metrics, and an evaluation at the end."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..runs.active import ActiveRun
from .result import Metric


class Reporter(TrainerCallback):
    """Writes progress and metrics into the run, and closes the training with an evaluation and a checkpoint."""

    def __init__(self, run: ActiveRun, validates: bool) -> None:
        self.run = run
        self.validates = validates

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        loss = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), None)
        message = f"epoch {state.epoch or 0:.2f}" + (f", loss {loss:.3f}" if loss is not None else "")
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
