"""The Training Progress Report."""

from ..checks import CheckStatus
from ..reports.markdown import check_table, duration, number, table
from ..reports.report import Figure, Report
from .comparison import comparison_figures, comparison_section
from .curve import CAPTIONS, CURVES, pictures
from .plan_report import choices_section, plan_sections, preview_section
from .result import Metric, Plan, TrainResult

TITLE = "Training Progress Report"
MAX_LINES = 60  # of the metrics table; evaluations are all kept
NAMES = {
    "rank": "Rank",
    "alpha": "Alpha",
    "dropout": "Dropout",
    "target_modules": "Target Modules",
    "use_rslora": "rsLoRA",
    "use_dora": "DoRA",
    "init_lora_weights": "Initial Adapter",
    "beta": "Beta",
    "learning_rate": "Learning Rate",
    "batch_size": "Batch Size",
    "gradient_accumulation": "Gradient Accumulation",
    "epochs": "Epochs",
    "max_steps": "Steps",
    "scheduler": "Scheduler",
    "warmup_ratio": "Warmup Ratio",
    "weight_decay": "Weight Decay",
    "max_grad_norm": "Max Gradient Norm",
    "max_seq_length": "Max Sequence Length",
    "packing": "Packing",
    "early_stopping_patience": "Early Stopping Patience",
    "gradient_checkpointing": "Gradient Checkpointing",
    "on_non_finite": "After a Non-Finite Number",
    "dtype": "Number Format",
}


def report(result: TrainResult) -> Report:
    """The report of a training or, after a dry run, of its plan."""
    finding = _plan_finding(result, result.plan) if result.plan else _finding(result)
    parts = [
        f"# {TITLE}\n",
        f"{finding}\n",
        f"**Model:** {result.model_name}  \n**Technique:** {result.technique}  \n**Method:** {result.method}  \n"
        f"**Started:** {result.started_at:%Y-%m-%d %H:%M} UTC\n",
        comparison_section(result),
        _configuration(result),
        choices_section(result.configuration),
    ]
    if result.plan:
        parts.append(plan_sections(result.plan))
    else:
        parts += [_metrics(result.metrics), _resources(result), _checkpoints(result)]
    parts += [_diagnosis(result), _checks(result), preview_section(result.mask_preview)]
    figures = () if result.plan else (*_curves(result), *comparison_figures(result))
    return Report(TITLE, _headline(result), "\n".join(part for part in parts if part), figures)


def _curves(result: TrainResult) -> tuple[Figure, ...]:
    drawn = zip(CURVES, pictures(result), CAPTIONS, strict=True)
    return tuple(Figure(name, picture, caption) for name, picture, caption in drawn)


def _headline(result: TrainResult) -> str:
    if result.plan:
        return f"dry run: {result.plan.steps} steps, {duration(result.plan.time_s)}, {result.plan.memory_gb:.1f} GB"
    before, best = _first_validation(result.metrics), result.best
    if before is not None and best is not None and best.val_loss is not None:
        return f"{result.technique}: validation loss {before:.3f} -> {best.val_loss:.3f} ({best.name})"
    return f"{result.technique}: training loss {number(result.last_train_loss, 3)}, no validation data"


def _first_validation(metrics: tuple[Metric, ...]) -> float | None:
    return next((metric.val_loss for metric in metrics if metric.val_loss is not None), None)


def _finding(result: TrainResult) -> str:
    steps = result.metrics[-1].step if result.metrics else 0
    seconds = result.resources.training_time_s if result.resources else None
    text = f"Trained {steps} steps in {duration(seconds)}."
    before, best = _first_validation(result.metrics), result.best
    if before is not None and best is not None and best.val_loss is not None:
        word = "fell" if best.val_loss < before else "did not fall"
        text = f"**Validation loss {word} from {before:.3f} to {best.val_loss:.3f}** (best: {best.name}). {text}"
    else:
        text += f" The last training loss is {number(result.last_train_loss, 3)}; there was no validation data."
    planned = result.configuration.effective.max_steps
    if planned and steps < planned:
        text += f" It ended early, {planned} steps were planned: validation loss had stopped falling."
    if failed := _named(result, "fail"):
        text += f" **Do not trust the result: {failed} failed.**"
    if result.diagnosis:
        text += f" Noticed: {'; '.join(one.symptom.lower() for one in result.diagnosis)}."
    return text + _warned(result)


def _plan_finding(result: TrainResult, plan: Plan) -> str:
    text = (
        f"Dry run, nothing was written. **{plan.steps} steps would take about {duration(plan.time_s)} and "
        f"{plan.memory_gb:.1f} GB of memory** ({plan.memory_available_gb:.1f} GB are available)."
    )
    if failed := _named(result, "fail"):
        text += f" **Mend this before training: {failed}.**"
    return text + _warned(result)


def _warned(result: TrainResult) -> str:
    warned = _named(result, "warn")
    return f" Checks that warn: {warned}." if warned else ""


def _named(result: TrainResult, status: CheckStatus) -> str:
    """The checks of a status, by name."""
    return ", ".join(check.name for check in result.checks if check.status == status)


def _configuration(result: TrainResult) -> str:
    configuration = result.configuration
    differing = {difference.name: difference for difference in configuration.differences}
    rows = []
    for name, title in NAMES.items():
        value = getattr(configuration.effective, name)
        if value is None:
            continue
        note = f" (asked: {differing[name].requested}; {differing[name].reason})" if name in differing else ""
        rows.append((title, _shown(value) + note))
    rows.append(("Effective Batch", f"{configuration.effective_batch} rows a step"))
    return "## Configuration\n\n" + table(("Parameter", "Value"), rows)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2e}" if 0 < value < 1e-2 else f"{value:g}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _metrics(metrics: tuple[Metric, ...]) -> str:
    every = max(1, -(-len(metrics) // MAX_LINES))
    last = len(metrics) - 1
    judged = any(m.reward_margin is not None for m in metrics)
    kept = [m for place, m in enumerate(metrics) if place % every == 0 or m.val_loss is not None or place == last]
    rows = [
        (
            f"{m.epoch:.2f}",
            m.step,
            number(m.train_loss, 3),
            "" if m.val_loss is None else f"{m.val_loss:.3f}",
            "" if m.learning_rate is None else f"{m.learning_rate:.2e}",
            "" if m.grad_norm is None else f"{m.grad_norm:.2f}",
            "" if m.tokens_per_second is None else f"{m.tokens_per_second:,.0f}",
            "" if m.memory_gb is None else f"{m.memory_gb:.2f}",
            *(_rewards(m) if judged else ()),
        )
        for m in kept
    ]
    note = f"\nEvery {every}th line; all are in metrics.jsonl and in the result.\n" if every > 1 else ""
    header = ("Epoch", "Step", "Train Loss", "Val Loss", "LR", "Gradient Norm", "Tokens/s", "Peak GB")
    header += ("Reward Margin", "Chosen Ahead") if judged else ()
    return "## Training Metrics\n\n" + table(header, rows) + note


def _rewards(metric: Metric) -> tuple[str, str]:
    if metric.reward_margin is None or metric.reward_accuracy is None:
        return "", ""
    return f"{metric.reward_margin:.3f}", f"{metric.reward_accuracy:.0%}"


def _resources(result: TrainResult) -> str:
    used = result.resources
    if used is None:
        return ""
    gpu = None
    if used.gpu_memory_used_gb is not None:
        gpu = f"{used.gpu_memory_used_gb:.1f} GB / {number(used.gpu_memory_total_gb, 1)} GB"
    rows = (
        ("Device", used.device),
        ("GPU Memory", gpu or "n/a (no GPU)"),
        ("Host Memory", f"{number(used.host_memory_gb, 1)} GB"),
        ("Training Time", duration(used.training_time_s)),
        ("Tokens/Second", number(used.tokens_per_second)),
        ("Trained Tokens/Second", number(used.trained_tokens_per_second)),
        ("Tokens an Epoch", f"{used.total_tokens:,}, of which {used.trained_tokens:,} trained"),
    )
    return "## Resource Usage\n\n" + table(("Metric", "Value"), rows)


def _checkpoints(result: TrainResult) -> str:
    rows = [(checkpoint.name, checkpoint.step, number(checkpoint.val_loss, 3)) for checkpoint in result.checkpoints]
    best = result.best
    if best is not None:
        rows.append(("best", best.step, number(best.val_loss, 3)))
    where = result.adapter_path or result.model_path
    text = f"\nThe result has the weights of **{best.name}**: `{where}`\n" if best else f"\nThe result: `{where}`\n"
    return "## Checkpoints\n\n" + table(("Checkpoint", "Step", "Val Loss"), rows) + text


def _diagnosis(result: TrainResult) -> str:
    rows = [(one.symptom, one.evidence, one.cause, one.next_step) for one in result.diagnosis]
    return "## Diagnosis\n\n" + table(("Symptom", "Evidence", "Likely Cause", "Next Step"), rows) if rows else ""


def _checks(result: TrainResult) -> str:
    if not result.checks:
        return ""
    steps = "\n".join(f"- {check.name}: {check.next_step}" for check in result.checks if check.next_step)
    return f"## Quality Checks\n\n{check_table(result.checks)}" + (f"\nNext steps:\n\n{steps}\n" if steps else "")
