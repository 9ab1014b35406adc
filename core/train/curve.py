"""The curves of a training as pictures: loss, learning rate, gradient norm."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..extras import require
from .result import Metric, TrainResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN, VALID, BEST = "#8a94a6", "#5b4bb7", "#2f855a"
CURVES = ("loss.png", "learning_rate.png", "gradient_norm.png")
CAPTIONS = (
    "Training and validation loss over the steps",
    "Learning rate over the steps",
    "Length of the gradient over the steps, before it is cut",
)
FEW_POINTS = 60  # up to here each is marked

Points = Sequence[tuple[int, float]]


def pictures(result: TrainResult) -> tuple[bytes, ...]:
    """A PNG for each of CURVES.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", "The loss curve")
    rate = _points(result.metrics, "learning_rate")
    norm = _points(result.metrics, "grad_norm")
    limit = result.configuration.effective.max_grad_norm
    drawn: tuple[Callable[[Any], None], ...] = (
        lambda axes: _losses(axes, result),
        lambda axes: _line(axes, rate, "learning rate"),
        lambda axes: _norms(axes, norm, limit),
    )
    return tuple(_picture(draw, result) for draw in drawn)


def _picture(draw: "Callable[[Axes], None]", result: TrainResult) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), layout="constrained", dpi=120)
    axes = figure.subplots()
    draw(axes)
    axes.set_xlabel("optimizer step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{result.technique} of {result.model_name.rpartition('/')[2]}")
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _points(metrics: Sequence[Metric], name: str) -> Points:
    return [(metric.step, getattr(metric, name)) for metric in metrics if getattr(metric, name) is not None]


def _losses(axes: "Axes", result: TrainResult) -> None:
    train, valid, best = _points(result.metrics, "train_loss"), _points(result.metrics, "val_loss"), result.best
    if train:
        axes.plot(*zip(*train, strict=True), color=TRAIN, linewidth=1.5, marker=_marker(train), label="training")
    if valid:
        axes.plot(*zip(*valid, strict=True), color=VALID, linewidth=2, marker="o", label="validation")
    if best is not None and best.val_loss is not None:
        axes.plot([best.step], [best.val_loss], "o", color=BEST, markersize=10, label=f"best: {best.name}")
    axes.set_ylabel("loss, nats a trained token" if result.method == "sft" else f"{result.method} loss, mean of a pair")
    axes.set_ylim(0, 1.08 * max((loss for _, loss in (*train, *valid)), default=1.0))


def _line(axes: "Axes", points: Points, name: str) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), color=VALID, linewidth=1.5, marker=_marker(points))
    axes.set_ylabel(name)
    axes.set_ylim(0, 1.08 * max((value for _, value in points), default=1.0))


def _norms(axes: "Axes", points: Points, limit: float | None) -> None:
    _line(axes, points, "gradient norm")
    highest = max((value for _, value in points), default=0.0)
    if limit is not None and highest > limit:
        axes.axhline(limit, color=TRAIN, linewidth=1, linestyle="--", label=f"cut to {limit:g}")


def _marker(points: Points) -> str | None:
    return "." if len(points) <= FEW_POINTS else None
