"""The loss curve as a picture."""

import io

from ..extras import require
from .result import TrainResult

TRAIN, VALID, BEST = "#8a94a6", "#5b4bb7", "#2f855a"


def picture(result: TrainResult) -> bytes:
    """A PNG: training and validation loss over the steps, the best checkpoint marked.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", "The loss curve")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=120)
    axes = figure.subplots()
    train = [(m.step, m.train_loss) for m in result.metrics if m.train_loss is not None]
    valid = [(m.step, m.val_loss) for m in result.metrics if m.val_loss is not None]
    if train:
        axes.plot(*zip(*train, strict=True), color=TRAIN, linewidth=1.5, marker=_marker(len(train)), label="training")
    if valid:
        axes.plot(*zip(*valid, strict=True), color=VALID, linewidth=2, marker="o", label="validation")
    best = result.best
    if best is not None and best.val_loss is not None:
        axes.plot([best.step], [best.val_loss], "o", color=BEST, markersize=10, label=f"best: {best.name}")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss, nats a trained token")
    axes.set_ylim(0, 1.08 * max((loss for _, loss in (*train, *valid)), default=1.0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{result.technique} of {result.model_name.rpartition('/')[2]}")
    axes.grid(alpha=0.25)
    if train or valid:
        axes.legend()
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _marker(points: int) -> str | None:
    return "." if points <= 60 else None
