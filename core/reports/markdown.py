"""Markdown building blocks: tables, numbers that may be unknown, and a shortened form for a client."""

import re
from collections.abc import Iterable, Sequence
from functools import partial

from ..checks import Check

UNKNOWN = "n/a"
FENCED = re.compile(r"^(?P<ticks>`{3,})text\n(?P<text>.*?)\n(?P=ticks)$", re.DOTALL | re.MULTILINE)
FENCED_SIZES = (200, 100)  # characters that stay of a quoted text, the second only when the first is not enough
STATUS_WORDS = {"pass": "PASS", "warn": "WARN", "fail": "FAIL"}


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; None becomes "n/a", pipes and line breaks in cells are made harmless."""
    lines = [_row(header), "|" + "---|" * len(header), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(value: object) -> str:
    return UNKNOWN if value is None else " ".join(str(value).replace("|", "\\|").split())


def number(value: float | None, digits: int = 0) -> str:
    """The number with thousands separators and fixed digits, or "n/a"."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 as per cent, or "n/a"."""
    return UNKNOWN if share is None else f"{share:.{digits}%}"


def duration(seconds: float | None) -> str:
    """A time in words: seconds, minutes or hours."""
    if seconds is None:
        return "an unknown time"
    if seconds < 120:
        return f"{max(1, round(seconds))} second{'s' if seconds >= 1.5 else ''}"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def bytes_size(size: int | None) -> str:
    """A size in MB or GB (powers of ten), or "n/a"."""
    if size is None:
        return UNKNOWN
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def check_table(checks: Iterable[Check]) -> str:
    """The checks as the mission's reports show them."""
    return table(("Check", "Status", "Details"), ((c.name, STATUS_WORDS[c.status], c.details) for c in checks))


def shorten(markdown: str, limit: int, whole: str) -> str:
    """The report in about `limit` characters: tables lose their middle first, then quoted texts their end, then
    the longest sections their last parts, or go: so what is short and last, as advice is, stays.

    Args:
        markdown: The report.
        limit: Characters to aim at.
        whole: Where the whole report lies; named in the note of what was left out.
    """
    if len(markdown) <= limit:
        return markdown
    shorter = _without_table_middles(markdown, whole)
    for size in FENCED_SIZES:
        if len(shorter) <= limit:
            return shorter
        shorter = FENCED.sub(partial(_short_fence, size), shorter)
    if len(shorter) <= limit:
        return shorter
    first, *sections = shorter.split("\n## ")
    left_out = []
    while sections and (over := len("\n## ".join((first, *sections))) - limit) > 0:
        longest = max(range(len(sections)), key=lambda place: (len(sections[place]), place))
        name = sections[longest].split("\n", 1)[0]
        kept = _beginning(sections[longest], len(sections[longest]) - over)
        left_out.append(f"the end of {name}" if kept else name)
        sections[longest : longest + 1] = [kept] if kept else []
    text = "\n## ".join((first[:limit].rstrip() + "\n", *sections)).rstrip()
    return f"{text}\n\n*Left out here: {', '.join(left_out) or 'the rest'}. Whole report: {whole}*\n"


def _beginning(section: str, room: int) -> str:
    """As many of the section's parts as there is room for; nothing where that is not even the first."""
    first, *parts = section.split("\n### ")
    kept = first
    for part in parts:
        if len(kept) + len(part) + len("\n### ") > room:
            break
        kept += "\n### " + part
    return kept.rstrip() + "\n" if parts and len(kept) < room else ""


def _short_fence(size: int, block: re.Match[str]) -> str:
    text = block["text"]
    return block[0] if len(text) <= size else f"{block['ticks']}text\n{text[:size]}…\n{block['ticks']}"


def _without_table_middles(markdown: str, whole: str, keep: int = 5) -> str:
    lines, out, rows = markdown.split("\n"), [], []
    for line in [*lines, ""]:
        if line.startswith("|"):
            rows.append(line)
            continue
        if len(rows) > 2 * keep + 2:
            hidden = len(rows) - 2 * keep - 2
            out += [*rows[: keep + 2], *rows[-keep:], "", f"*{hidden} rows left out here; whole in {whole}*"]
        else:
            out += rows
        rows = []
        out.append(line)
    return "\n".join(out[:-1])
