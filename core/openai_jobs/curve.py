"""The course of a hosted training as a picture."""

import importlib.util
import io
from collections.abc import Sequence

from ..reports.report import Figure
from .result import HostedMetric

NAME = "loss.png"
LINES = (("train_loss", "#8a94a6", "training"), ("val_loss", "#5b4bb7", "validation"))


def figures(metrics: Sequence[HostedMetric], model: str) -> tuple[Figure, ...]:
    """The loss over the steps; none without losses, or where matplotlib is not installed."""
    points = {name: [(m.step, getattr(m, name)) for m in metrics if getattr(m, name) is not None] for name, *_ in LINES}
    if not any(points.values()) or importlib.util.find_spec("matplotlib") is None:
        return ()
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(8, 4.5), layout="constrained", dpi=120)
    axes = canvas.subplots()
    for name, colour, label in LINES:
        if points[name]:
            axes.plot(*zip(*points[name], strict=True), color=colour, marker=".", linewidth=1.5, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title(f"Hosted training of {model}")
    axes.grid(alpha=0.25)
    axes.legend()
    target = io.BytesIO()
    canvas.savefig(target, format="png", metadata={"Software": None})
    return (Figure(NAME, target.getvalue(), "Loss over the steps, as the provider told it"),)
