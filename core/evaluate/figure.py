"""The picture of an evaluation."""

import io
from typing import Any

from ..extras import require
from .result import EvaluateResult
from .wording import is_share, label

BASE, TUNED, BETTER, WORSE, OPEN = "#8a94a6", "#5b4bb7", "#2f855a", "#c05621", "#718096"


def picture(result: EvaluateResult) -> bytes:
    """A PNG: differences of scores with intervals, and right answers by capability before and after.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", "The report's picture")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2)
    _differences(left, result)
    _capabilities(right, result)
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()


def _differences(axes: Any, result: EvaluateResult) -> None:
    rows = [row for row in (*result.scores, *result.benchmarks) if row.ci95 is not None]
    for height, row in enumerate(reversed(rows)):
        if row.ci95 is None or row.delta is None:
            continue
        scale = 100 if is_share(row) else 1
        colour = {"improved": BETTER, "regressed": WORSE}.get(row.verdict or "", OPEN)
        axes.plot([row.ci95.low * scale, row.ci95.high * scale], [height, height], color=colour, linewidth=2)
        axes.plot([row.delta * scale], [height], "o", color=colour)
    names = [label(row) if row.name == "held-out rows" else f"{row.name}, {row.metric}" for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(-0.5, max(len(rows), 1) - 0.5)
    axes.axvline(0, color="#444444", linewidth=1, linestyle=":")
    axes.set_xlabel("fine-tuned minus base, points of 100")
    axes.set_title("Held-out scores" if rows else "No score with an interval")


def _capabilities(axes: Any, result: EvaluateResult) -> None:
    rows = list(reversed(result.regression))
    heights = range(len(rows))
    axes.barh([h + 0.2 for h in heights], [100 * (row.base or 0) for row in rows], 0.38, color=BASE, label="base")
    axes.barh(
        [h - 0.2 for h in heights], [100 * (row.finetuned or 0) for row in rows], 0.38, color=TUNED, label="fine-tuned"
    )
    axes.set_yticks(list(heights), [row.capability for row in rows])
    axes.set_xlim(0, 100)
    axes.set_xlabel("right answers, per cent")
    axes.set_title("Capabilities")
    axes.legend(loc="lower right")
