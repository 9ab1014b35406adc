"""The pictures of an evaluation."""

import io
from collections.abc import Sequence
from typing import Any

from ...extras import require
from ..result import Confusion, EvaluateResult, LengthBin
from .breakdown import length_range
from .wording import is_share, label

BASE, TUNED, BETTER, WORSE, OPEN = "#8a94a6", "#5b4bb7", "#2f855a", "#c05621", "#718096"
BESIDE = 9  # labels; tables of more stand one below the other
LABEL = 18  # characters of a label in a picture


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


def loss_by_length(bins: Sequence[LengthBin]) -> bytes:
    """An SVG: mean loss of short to long answers."""
    figure, (axes,) = _figure(1, (7.5, 3.6))
    places = range(len(bins))
    axes.plot(places, [one.base for one in bins], "o--", color=BASE, label="base")
    if all(one.finetuned is not None for one in bins):
        axes.plot(places, [one.finetuned for one in bins], "o-", color=TUNED, label="fine-tuned")
    axes.set_xticks(places, [f"{length_range(one)}\n{one.n} rows" for one in bins])
    axes.set_xlim(-0.4, len(bins) - 0.6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("length of the answer, tokens")
    axes.set_ylabel("loss per token, nats")
    axes.set_title("Loss by length")
    axes.grid(axis="y", color="#e2e5ec")
    axes.legend()
    return _svg(figure)


def confusion(found: Confusion) -> bytes:
    """An SVG: rows are the references' labels, columns what was answered; colour is the share of the row."""
    sides = {"Base": found.base} | ({"Fine-tuned": found.finetuned} if found.finetuned else {})
    size = max(2.6, 0.45 * len(found.labels) + 1.6)
    if len(found.labels) > BESIDE:
        figure, all_axes = _figure(1, (size + 1.2, (size + 0.4) * len(sides)), rows=len(sides))
    else:
        figure, all_axes = _figure(len(sides), (size * len(sides) + 1.2, size + 0.4))
    for axes, (title, counts) in zip(all_axes, sides.items(), strict=True):
        totals = [max(1, sum(row)) for row in counts]
        axes.imshow([[n / t for n in row] for row, t in zip(counts, totals, strict=True)], cmap="Blues", vmin=0, vmax=1)
        for y, row in enumerate(counts):
            for x, count in enumerate(row):
                dark = count / totals[y] > 0.55
                axes.text(x, y, count or "", ha="center", va="center", color="white" if dark else "#1d2330")
        shown = [label if len(label) <= LABEL else label[: LABEL - 1] + "…" for label in (*found.labels, "other")]
        axes.set_xticks(range(len(shown)), shown, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(len(found.labels)), shown[:-1], parse_math=False)
        axes.set_title(title)
        axes.set_xlabel("answered")
    all_axes[0].set_ylabel("reference")
    return _svg(figure)


def _figure(columns: int, size: tuple[float, float], rows: int = 1) -> tuple[Any, list[Any]]:
    require("matplotlib", "The report's pictures")
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _svg(figure: Any) -> bytes:
    """Letters stay letters, so that they can be searched and need no glyph here; the same picture is the same bytes."""
    from matplotlib import rc_context

    target = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "evaluation"}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()
