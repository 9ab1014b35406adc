"""Whether the files that were named gave what they should: one that holds nothing must not go unseen among others."""

from collections.abc import Mapping
from pathlib import Path

from ..checks import Check
from ..untrusted import quote
from .plan import Plan
from .wording import counted

NAME = "Files"
SHOWN = 5


def files_check(plan: Plan, rows_of: Mapping[int, int]) -> list[Check]:
    """Files without rows, and files of a folder that were not read; nothing to say of one file that was.

    Args:
        plan: With the files.
        rows_of: Rows read, good or bad, by the number of the file.
    """
    bare = [file for at, file in enumerate(plan.files) if not rows_of.get(at)]
    if len(plan.files) == 1 and not plan.left_out:
        return []
    if not bare and not plan.left_out:
        return [Check(name=NAME, status="pass", details=f"{len(plan.files):,} files, rows in every one", count=0)]
    parts, steps = [], []
    if bare:
        empty = {file.path for file in bare if file.kind == "empty"}
        parts.append(f"no rows in {len(bare):,} of {counted(len(plan.files), 'file')}: ")
        parts[0] += _named([file.path for file in bare], dict.fromkeys(empty, " (empty)"))
        steps.append("See that the files without rows were exported whole, or take them out.")
    if plan.left_out:
        parts.append(f"not read, of no known kind or text beside records: {_named(plan.left_out, {})}")
        steps.append("Name files that were not read and are data by their own in data_path.")
    count = len(bare) + len(plan.left_out)
    return [Check(name=NAME, status="warn", details="; ".join(parts), count=count, next_step=" ".join(steps))]


def _named(paths: tuple[Path, ...] | list[Path], remarks: Mapping[Path, str]) -> str:
    shown = ", ".join(quote(str(path), 160) + remarks.get(path, "") for path in paths[:SHOWN])
    return shown + (f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else "")
