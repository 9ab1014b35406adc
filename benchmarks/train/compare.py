"""train against what people use instead: tokens a second, memory and the loss reached, on the same rows in one run.

    benchmarks/train/rivals/make RIVALS                                  # once; RIVALS is any folder
    .venv/bin/python -m benchmarks.train.compare --rivals RIVALS > table.md

Each contender is a process of its own with empty caches and no network, and gets the same tokens and the same recipe.
The rounds go through all of them in turn, so that noise hits all alike; numbers are medians, and what counts is the
ratio. README.md beside this file says what each of them is asked to do, and how the numbers are taken.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.files import read_examples
from faion_finetuner.core.examples.mask import tokenize_many
from faion_finetuner.core.models.source import local_path, resolve_model
from faion_finetuner.core.settings import Settings

from benchmarks.prepare.contenders import empty_caches
from benchmarks.prepare.measure import Usage, measure
from benchmarks.train import instructions
from benchmarks.train.held_out import held_out_loss

HERE = Path(__file__).parent
RECIPE = {"rank": 16, "alpha": 16, "learning_rate": 2e-4, "batch_size": 4, "accumulation": 4}
RECIPE |= {"warmup": 0.03, "decay": 0.01, "seed": 42, "longest": 1024}
HELD_OUT_ROWS = 24


@dataclass(frozen=True)
class Contender:
    """One way to train."""

    name: str
    python: Path
    script: str
    dtype: str = "bfloat16"


@dataclass
class Measured:
    """What the rounds of a contender gave."""

    usages: list[Usage] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    """From the start of the process to the first step."""

    tokens_per_s: list[float] = field(default_factory=list)
    tokens_per_cpu_s: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """On rows that were held out, after training."""


def contenders(rivals: Path) -> list[Contender]:
    """All of them, ours first."""
    own = Path(sys.executable)
    return [
        Contender("faion-finetuner", own, "with_faion.py"),
        Contender("TRL, bfloat16", own, "with_trl.py"),
        Contender("TRL, float32", own, "with_trl.py", "float32"),
        Contender("LLaMA-Factory 0.9.5", rivals / "llamafactory/bin/python", "with_llamafactory.py"),
        Contender("Unsloth 2026.10.9", rivals / "unsloth/bin/python", "with_unsloth.py"),
    ]


class Data:
    """The rows, generated and tokenised once."""

    def __init__(self, folder: Path, model: Path, rows: int, seed: int) -> None:
        self.folder, self.model = folder, model
        (folder / "data").mkdir()
        instructions.write(folder / "data" / "train.jsonl", rows, seed)
        instructions.write(folder / "held_out.jsonl", HELD_OUT_ROWS, seed + 1)
        self.tokens = sum(len(row["input_ids"]) for row in self._tokenised("data/train.jsonl", "rows.jsonl"))
        self.held_out = self._tokenised("held_out.jsonl", "held_out_tokens.jsonl")

    def _tokenised(self, source: str, target: str) -> list[dict[str, list[int]]]:
        examples = list(read_examples(self.folder / source))
        made = tokenize_many(examples, ChatTokenizer.load(self.model), RECIPE["longest"])
        rows = [{"input_ids": row.input_ids, "labels": row.labels} for row in made]
        (self.folder / target).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return rows

    def run(self, one: Contender, threads: int | None, limit_s: float, into: Measured) -> Usage:
        """Let a contender train, and keep what it gave when it came to an end."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            home, output = Path(name) / "home", Path(name) / "output"
            home.mkdir()
            output.mkdir()
            task = RECIPE | {"model": str(self.model), "dtype": one.dtype, "output": str(output)}
            task |= {"rows": str(self.folder / "rows.jsonl"), "data": str(self.folder / "data")}
            (home / "task.json").write_text(json.dumps(task), encoding="utf-8")
            command = [str(one.python), str(HERE / "rivals" / one.script), str(home / "task.json")]
            environment = empty_caches(home) | {"FAION_FINETUNER_ROOTS": f"{self.folder}{os.pathsep}{self.model}"}
            environment |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
            usage = measure(command, home, environment, limit_s)
            if usage.exit_code == 0:
                into.usages.append(usage)
                self._keep(json.loads((output / "result.json").read_text()), into)
                into.losses.append(held_out_loss(self.model, output / "adapter", self.held_out))
        return usage

    def _keep(self, steps: Sequence[dict[str, float]], into: Measured) -> None:
        first, last = steps[0], steps[-1]
        into.start_s.append(first["wall_s"])
        into.tokens_per_s.append(self.tokens / (last["wall_s"] - first["wall_s"]))
        into.tokens_per_cpu_s.append(self.tokens / (last["cpu_s"] - first["cpu_s"]))


def table(everyone: Sequence[Contender], found: dict[str, Measured], failed: dict[str, str]) -> list[str]:
    """Markdown; "faster by" is our speed divided by theirs, in each round, and then the median."""
    lines = [
        "| | tokens/s | ours is faster by | by CPU time | first step after s | whole run s | peak memory MB "
        "| held-out loss | loss by ours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    own = found[everyone[0].name]
    for one in everyone:
        got = found[one.name]
        if not got.usages:
            lines.append(f"| {one.name} | {failed.get(one.name, 'not installed')} ||||||||")
            continue
        cells = (
            one.name,
            f"{statistics.median(got.tokens_per_s):,.0f}",
            f"{_ratio(own.tokens_per_s, got.tokens_per_s):.2f}",
            f"{_ratio(own.tokens_per_cpu_s, got.tokens_per_cpu_s):.2f}",
            f"{statistics.median(got.start_s):.1f}",
            f"{statistics.median(used.wall_s for used in got.usages):.1f}",
            f"{statistics.median(used.max_rss_mb for used in got.usages):,.0f}",
            f"{statistics.median(got.losses):.4f}",
            f"{statistics.median(got.losses) / statistics.median(own.losses):.3f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    pairs = list(zip(ours, theirs, strict=False))
    return statistics.median(our / their for our, their in pairs) if pairs else float("nan")


def main() -> int:
    """Print the table as Markdown; fails when our own run does."""
    given = _arguments()
    everyone = contenders(given.rivals.absolute())
    everyone = [everyone[0], *(one for one in everyone[1:] if not given.only or any(p in one.name for p in given.only))]
    found = {one.name: Measured() for one in everyone}
    failed: dict[str, str] = {}
    settings = Settings.from_environment().model_copy(update={"roots": (Path("/"),)})
    model = local_path(resolve_model(given.model, settings), settings)
    torch.set_num_threads(given.threads or torch.get_num_threads())
    with tempfile.TemporaryDirectory() as name:
        data = Data(Path(name), model, given.rows, given.seed)
        sys.stderr.write(f"{given.rows} rows, {data.tokens:,} tokens\n")
        for number in range(given.rounds):
            for one in everyone:
                if not one.python.exists():
                    continue
                usage = data.run(one, given.threads, given.limit_s, found[one.name])
                sys.stderr.write(f"round {number + 1}: {one.name}: {usage.wall_s:.1f} s, exit {usage.exit_code}\n")
                if usage.exit_code:
                    failed[one.name] = "failed"
                    sys.stderr.write(f"{usage.last_words}\n")
        sys.stdout.write("\n".join([*table(everyone, found, failed), ""]))
        if given.json:
            given.json.write_text(json.dumps({n: asdict(m) for n, m in found.items()}, indent=1), encoding="utf-8")
    return 1 if everyone[0].name in failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="1 keeps CPU time comparable when others use the machine, too")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a folder, or the built-in model's name")
    parser.add_argument("--rivals", type=Path, default=Path("rivals"), help="folder that rivals/make was given")
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of those to run beside ours")
    parser.add_argument("--limit-s", type=float, default=1800, help="a run that takes longer is ended, and failed")
    parser.add_argument("--json", type=Path, help="also write every round's numbers to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
