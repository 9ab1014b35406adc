"""What a start sends away from this machine, counted before anything is sent."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checks import Check
from ..lossless_json import texts_in
from ..personal.patterns import find, may_hold
from .lines import read_lines
from .result import Leaving

SECRETS = frozenset(("CREDENTIALS", "PRIVATE_KEY", "API_KEY"))


def what_leaves(paths: Iterable[Path], to: str, on_row: Callable[[int], None]) -> Leaving:
    """Rows, bytes, personal data and secrets of the files; the same value in one row counts once.

    Args:
        paths: The files that will be uploaded.
        to: Host that receives them.
        on_row: Told the number of every row.
    """
    found: Counter[str] = Counter()
    rows = size_bytes = 0
    given = list(paths)
    for path in given:
        size_bytes += path.stat().st_size
        for line in read_lines(path):
            rows += 1
            on_row(rows)
            if line.record is not None:
                found.update(kind for kind, _ in _values(line.record))
    return Leaving(
        to=to,
        files=tuple(str(path) for path in given),
        rows=rows,
        size_bytes=size_bytes,
        personal_data={kind.lower(): count for kind, count in sorted(found.items()) if kind not in SECRETS},
        secrets={kind.lower(): count for kind, count in sorted(found.items()) if kind in SECRETS},
    )


def _values(record: Mapping[str, Any]) -> set[tuple[str, str]]:
    texts = list(texts_in(record))
    if not may_hold("\n".join(texts)):
        return set()
    return {(span.kind, text[span.start : span.end]) for text in texts for span in find(text)}


def leaving_checks(leaving: Leaving) -> tuple[Check, Check]:
    """Whether what leaves holds anything that should stay."""
    step = "Run `prepare` with pii: redact on the raw data, then start with its output."
    return (
        _check("Personal Data", leaving.personal_data, leaving.to, step),
        _check("Secrets", leaving.secrets, leaving.to, f"{step} Change the keys that were shared."),
    )


def _check(name: str, found: Mapping[str, int], to: str, step: str) -> Check:
    if not found:
        return Check(name=name, status="pass", details="none recognised; names of people are not looked for", count=0)
    what = ", ".join(f"{count:,} {kind}" for kind, count in found.items())
    return Check(
        name=name, status="warn", details=f"{what} would go to {to}", count=sum(found.values()), next_step=step
    )
