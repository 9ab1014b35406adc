"""prepare on ever more rows: does time grow linearly, and memory stay small? With a projection.

    .venv/bin/python benchmarks/prepare/scale.py --rows 100000 1000000 --project 10000000

Rows are generated into a temporary folder (about 400 MB for a million, and as much again twice while a run lasts);
that is not measured. The projection goes on along the line through the two largest runs: time and memory of the last
one, plus what each further row cost between the two. It needs no more than that the line stays one.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from compare import Data, Run, model_folder
from contenders import contenders
from measure import Usage

HEAD = ("| rows | wall s | rows/s | CPU s | peak memory MB | largest process MB |", "|---|---|---|---|---|---|")


def main() -> int:
    """Print the table as Markdown; fails when a run does."""
    given = _arguments()
    ours = contenders(Path(sys.executable).parent, Path("none"))[0 if given.model else 1]
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        data = Data(Path(name), model_folder(given.model or "smollm2-135m-instruct"), given.seed)
        for count in given.rows:
            run = data.run(ours, count)
            if run.usage.exit_code:
                sys.stderr.write(f"{count:,} rows: {run.usage.last_words}\n")
                return 1
            sys.stderr.write(f"{count:,} rows: {run.usage.wall_s:.1f} s\n")
            runs.append(run)
            data.rows(count).unlink()
    lines = [*HEAD, *(_line(run) for run in runs)]
    if len(runs) > 1:
        lines.append(projection(runs[-2], runs[-1], given.project))
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--project", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--model", default="smollm2-135m-instruct", help='a folder or name; "" for none')
    parser.add_argument("--folder", type=Path, help="where the temporary folder goes")
    return parser.parse_args()


def _line(run: Run, mark: str = "") -> str:
    used = run.usage
    return (
        f"| {run.rows:,}{mark} | {used.wall_s:.1f} | {run.rows_per_s:,.0f} | {used.cpu_s:.1f} "
        f"| {used.peak_pss_mb:,.0f} | {used.max_rss_mb:,.0f} |"
    )


def projection(smaller: Run, larger: Run, rows: int) -> str:
    """The line of the table that was not measured."""
    share = (rows - larger.rows) / (larger.rows - smaller.rows)

    def at_end(before: float, after: float) -> float:
        return after + share * max(after - before, 0)

    used = Usage(
        wall_s=at_end(smaller.usage.wall_s, larger.usage.wall_s),
        cpu_s=at_end(smaller.usage.cpu_s, larger.usage.cpu_s),
        peak_pss_mb=at_end(smaller.usage.peak_pss_mb, larger.usage.peak_pss_mb),
        max_rss_mb=at_end(smaller.usage.max_rss_mb, larger.usage.max_rss_mb),
        exit_code=0,
        last_words="",
    )
    return _line(Run(rows, used, None), ", projected")


if __name__ == "__main__":
    sys.exit(main())
