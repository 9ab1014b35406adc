"""Several experiments side by side, as the report shows them."""

from ..reports.chart import Bar, horizontal
from ..reports.markdown import number, table
from ..reports.report import Figure
from .result import Experiment, TrainResult


def comparison_section(result: TrainResult) -> str:
    """The experiments, best first; empty without any."""
    if not result.experiments:
        return ""
    rows = [
        (
            f"**{one.name}** (best)" if one.is_best else one.name,
            ", ".join(f"{name} {value}" for name, value in one.hyperparameters.items()) or "as given",
            number(one.train_loss, 3),
            number(one.val_loss, 3),
            "" if one.training_time_s is None else f"{one.training_time_s:,.0f} s",
            one.error or (f"`{one.adapter_path}`" if one.adapter_path else ""),
        )
        for one in result.experiments
    ]
    header = ("Experiment", "Changes", "Train Loss", "Val Loss", "Time", "Adapter, or Why It Failed")
    best = next((one for one in result.experiments if one.is_best), None)
    text = "" if best is None else f"\nAll else in this report is of **{best.name}**.\n"
    return "## Experiments\n\n" + table(header, rows) + text


def comparison_figures(result: TrainResult) -> tuple[Figure, ...]:
    """A bar for each experiment's loss; none when fewer than two came to their end."""
    ended = [(one, loss) for one in result.experiments if (loss := _loss(one)) is not None]
    if len(ended) < 2:
        return ()
    kind = "Validation loss" if any(one.val_loss is not None for one, _ in ended) else "Last training loss"
    chart = horizontal(f"{kind} of each experiment", [Bar(one.name, loss, f"{loss:.3f}") for one, loss in ended])
    return (Figure("experiments.svg", chart, f"{kind} of each experiment, the best first"),)


def _loss(one: Experiment) -> float | None:
    return one.val_loss if one.val_loss is not None else one.train_loss
