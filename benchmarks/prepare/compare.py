"""prepare against what people use instead: wall time, CPU time and memory in one run on the same generated rows.

    benchmarks/prepare/rivals/make RIVALS                                  # once; RIVALS is any folder
    .venv/bin/python benchmarks/prepare/compare.py --rivals RIVALS --rounds 3 > table.md

Each contender is a process of its own with empty caches and no network. The rounds go through all of them in turn, so
that noise hits all alike; numbers are medians, and what counts is the ratio. README.md beside this file tells what
each of them is asked to do, and what "the same work" means.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import rows
from contenders import CHECKS, Contender, Work, contenders, empty_caches
from faion_finetuner.core.models.source import local_path, resolve_model
from faion_finetuner.core.settings import Settings
from measure import Usage, measure

WARM_UP_ROWS = 200


def main() -> int:
    """Print both tables as Markdown; fails when our own run does."""
    given = _arguments()
    everyone = contenders(Path(sys.executable).parent, given.rivals)
    if given.only:
        everyone = [one for one in everyone if any(part in one.name for part in given.only)]
    found: dict[str, list[Run]] = {one.name: [] for one in everyone}
    model = model_folder(given.model)
    with tempfile.TemporaryDirectory() as name:
        data = Data(Path(name), model, given.seed)
        for number in range(given.rounds + 1):  # the first one warms up on few rows and is not counted
            for one in filter(is_there, everyone):
                count = min(given.rows, one.most_rows or given.rows) if number else WARM_UP_ROWS
                run = data.run(one, count, given.limit_s)
                sys.stderr.write(f"round {number}: {one.name}: {run.usage.wall_s:.2f} s, exit {run.usage.exit_code}\n")
                if number:
                    found[one.name].append(run)
    sys.stdout.write("\n".join([*measured(everyone, found), "", *checks(everyone), ""]))
    failed = [run for runs in found.values() for run in runs if run.usage.exit_code]
    for run in failed:
        sys.stderr.write(f"{run.usage.last_words}\n")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a folder, or the built-in model's name")
    parser.add_argument("--rivals", type=Path, default=Path("rivals"), help="folder that rivals/make was given")
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of those to run")
    parser.add_argument("--limit-s", type=float, default=900, help="a run that takes longer is ended, and failed")
    return parser.parse_args()


def model_folder(name: str) -> Path:
    """The folder of a model, so that no run has to convert it."""
    settings = Settings.from_environment().model_copy(update={"roots": (Path("/"),)})
    return local_path(resolve_model(name, settings), settings)


def is_there(one: Contender) -> bool:
    """Whether it is installed."""
    return one.program.exists()


@dataclass(frozen=True)
class Run:
    """One run of a contender."""

    rows: int
    usage: Usage

    kept: int | None
    """Rows that it wrote; None when it writes none."""

    @property
    def rows_per_s(self) -> float:
        """Rows read a second of wall time."""
        return self.rows / self.usage.wall_s


class Data:
    """Files of generated rows, each made once, and fresh folders for each run."""

    def __init__(self, folder: Path, model: Path, seed: int) -> None:
        self.folder, self.model, self.seed = folder, model, seed
        self._numbers = itertools.count()

    def rows(self, count: int) -> Path:
        """A file with the first so many rows."""
        path = self.folder / f"rows-{count}.jsonl"
        if not path.exists():
            rows.write(path, count, self.seed)
        return path

    def run(self, one: Contender, count: int, limit_s: float | None = None) -> Run:
        """Let a contender prepare so many rows."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            home, output = Path(name) / "home", Path(name) / "output"
            home.mkdir()
            output.mkdir()
            work = Work(self.rows(count), output, self.model, len(os.sched_getaffinity(0)))
            usage = measure(one.command(work), home, empty_caches(home) | one.environment, limit_s)
            kept = None
            if one.written and not usage.exit_code:
                kept = sum((output / file).read_bytes().count(b"\n") for file in one.written)
        return Run(count, usage, kept)


def measured(everyone: list[Contender], found: dict[str, list[Run]]) -> list[str]:
    """The table of costs; the ratio says how many times as fast our own full run handles a row."""
    lines = [
        "| | rows | wall s | rows/s | ours is faster by | CPU s | peak memory MB | largest process MB | rows kept |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first = next(filter(None, found.values()), [])
    own = statistics.median(run.rows_per_s for run in first) if first else 0.0
    for one in everyone:
        runs = found[one.name]
        if not runs:
            lines.append(f"| {one.name} | not installed |||||||||")
            continue
        if any(run.usage.exit_code for run in runs):
            lines.append(f"| {one.name} | {runs[0].rows:,} | failed |||||||")
            continue
        speed = statistics.median(run.rows_per_s for run in runs)
        usages = [run.usage for run in runs]
        cells = (
            one.name,
            f"{runs[0].rows:,}",
            f"{statistics.median(used.wall_s for used in usages):.2f}",
            f"{speed:,.0f}",
            f"{own / speed:.2f}",
            f"{statistics.median(used.cpu_s for used in usages):.2f}",
            f"{statistics.median(used.peak_pss_mb for used in usages):,.0f}",
            f"{statistics.median(used.max_rss_mb for used in usages):,.0f}",
            "only reports" if runs[0].kept is None else f"{runs[0].kept:,}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def checks(everyone: list[Contender]) -> list[str]:
    """The table of what each of them does of that which our own full run does."""
    head = [f"| | {' | '.join(one.name for one in everyone)} |", f"|---|{'---|' * len(everyone)}"]
    marks = ((check, ["yes" if check in one.does else "-" for one in everyone]) for check in CHECKS)
    return head + [f"| {check} | {' | '.join(row)} |" for check, row in marks]


if __name__ == "__main__":
    sys.exit(main())
