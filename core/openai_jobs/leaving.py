"""What a start sends away from this machine, counted before anything is sent."""

from collections.abc import Callable, Iterable
from pathlib import Path

from ..personal.leaving import Found
from .lines import read_lines
from .result import Leaving


def what_leaves(paths: Iterable[Path], to: str, on_row: Callable[[int], None]) -> Leaving:
    """Rows, bytes, personal data and secrets of the files; the same value in one row counts once.

    Args:
        paths: The files that will be uploaded.
        to: Host that receives them.
        on_row: Told the number of every row.
    """
    found = Found()
    rows = size_bytes = 0
    given = list(paths)
    for path in given:
        size_bytes += path.stat().st_size
        for line in read_lines(path):
            rows += 1
            on_row(rows)
            if line.record is not None:
                found.look_at(line.record)
    return Leaving(
        to=to,
        files=tuple(str(path) for path in given),
        rows=rows,
        size_bytes=size_bytes,
        personal_data=found.personal,
        secrets=found.secrets,
    )
