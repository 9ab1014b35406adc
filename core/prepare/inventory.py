"""Whether the files that were named gave what they should: one that holds nothing must not go unseen among others."""

from collections.abc import Mapping
from pathlib import Path

from ..checks import Check
from ..untrusted import quote
from .csv_records import Dialect
from .plan import Plan
from .wording import counted

NAME = "Files"
SHOWN = 5
TO_BE_SURE = (
    "To be sure, put a line with the names of the columns above them, such as question,answer, or name those of the "
    "header that is there with `columns`; a first line sep=; names the delimiter."
)


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


def dialect_checks(plan: Plan) -> list[Check]:
    """How delimited files were taken apart, and what of it is a guess; nothing without such files."""
    labels = dict.fromkeys(file.dialect.label for file in plan.files if isinstance(file.dialect, Dialect))
    guessed = guesses(plan)
    if not labels:
        return []
    if not guessed:
        return [Check(name="CSV Dialect", status="pass", details="; ".join(labels), count=0)]
    shown = "; ".join(guessed[:SHOWN])
    step = "Read the first rows as they were taken. " + TO_BE_SURE
    return [Check(name="CSV Dialect", status="warn", details=shown, count=len(guessed), next_step=step)]


def guesses(plan: Plan) -> list[str]:
    """Files that may have been taken apart wrongly, each with how it was."""
    return [
        f"{quote(str(file.path), 160)} was read as {file.dialect.label}"
        for file in plan.files
        if isinstance(file.dialect, Dialect) and file.dialect.doubts
    ]


def _named(paths: tuple[Path, ...] | list[Path], remarks: Mapping[Path, str]) -> str:
    shown = ", ".join(quote(str(path), 160) + remarks.get(path, "") for path in paths[:SHOWN])
    return shown + (f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else "")
