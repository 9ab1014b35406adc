"""Plain charts as SVG: no library to load, sharp at any size, and readable as text by a machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
INK, PALE, BAR = "#1d2330", "#d5d9e2", "#3b6fb6"
FONT = "font-family='system-ui, sans-serif'"
LABEL_LETTERS = 28


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart."""

    label: str
    value: float
    note: str
    """The value as a person reads it."""


def horizontal(title: str, bars: Sequence[Bar]) -> bytes:
    """Named bars one below the other, each with its note at its end."""
    left, right, step, top = 210, 130, 26, 44
    most = max((bar.value for bar in bars), default=0) or 1
    parts = []
    for i, bar in enumerate(bars):
        y, length = top + i * step, bar.value / most * (WIDTH - left - right)
        label = bar.label if len(bar.label) <= LABEL_LETTERS else bar.label[: LABEL_LETTERS - 1] + "…"
        parts += [
            _text(left - 8, y + 13, label, "end"),
            f"<rect x='{left}' y='{y}' width='{max(length, 1):.1f}' height='17' fill='{BAR}'/>",
            _text(left + length + 6, y + 13, bar.note, "start"),
        ]
    return _page(title, parts, top + len(bars) * step + 10)


def histogram(title: str, edges: Sequence[float], counts: Sequence[int], unit: str) -> bytes:
    """Counts between bounds as bars side by side, with an axis in `unit`; `edges` is one longer than `counts`."""
    left, bottom, top, height = 60, 240, 44, 300
    span, most = WIDTH - left - 20, max(counts, default=0) or 1
    wide = span / max(len(counts), 1)
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - top)
        parts.append(f"<line x1='{left}' y1='{y:.1f}' x2='{WIDTH - 20}' y2='{y:.1f}' stroke='{PALE}'/>")
        parts.append(_text(left - 6, y + 4, f"{most * share:,.0f}", "end"))
    for i, count in enumerate(counts):
        tall = count / most * (bottom - top)
        tip = f"<title>{edges[i]:,g} to {edges[i + 1]:,g} {escape(unit)}: {count:,} rows</title>"
        parts.append(
            f"<rect x='{left + i * wide + 1:.1f}' y='{bottom - tall:.1f}' width='{max(wide - 2, 1):.1f}' "
            f"height='{tall:.1f}' fill='{BAR}'>{tip}</rect>"
        )
    ticks = range(0, len(edges), max(1, len(edges) // 6))
    parts += [_text(left + i * wide, bottom + 18, f"{edges[i]:,g}", "middle") for i in ticks]
    parts.append(_text(left + span / 2, bottom + 42, unit, "middle"))
    return _page(title, parts, height)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-size='13' fill='{INK}'>{escape(text)}</text>"


def _page(title: str, parts: Sequence[str], height: float) -> bytes:
    heading = f"<text x='0' y='20' font-size='15' font-weight='600' fill='{INK}'>{escape(title)}</text>"
    size = f"width='{WIDTH}' height='{height:g}' viewBox='0 0 {WIDTH} {height:g}'"
    body = "\n".join(parts)
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {FONT}>\n{heading}\n{body}\n</svg>\n".encode()
