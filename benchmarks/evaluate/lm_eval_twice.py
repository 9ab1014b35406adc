"""Both models' benchmarks by evaluate's own code, against lm-eval run twice; scores compared to the last digit.

    .venv/bin/python benchmarks/evaluate/lm_eval_twice.py [--items 60] [--tasks arc_easy,mmlu] [--data FOLDER] ...

Without --data the rows are made here: arithmetic in the shapes of GSM8K, ARC and MMLU. With it, FOLDER holds the
published files. Each contestant is a process of its own, in turn; lm-eval is called as its users call it, once for the
base and once with the adapter, on the task files that evaluate made of the same rows, so its 14,000 task files are
read as well. A score that differs ends the script with an error.
"""

import argparse
import csv
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from faion_finetuner.core.garbage import collect_seldom
from faion_finetuner.core.runs.launch import DEFAULTS, MODEL_DEFAULTS

MODEL = "smollm2-135m-instruct"
CHOICES = "arc_easy,mmlu"
GENERATION = "gsm8k"
BATCH_SIZE = "16"


@dataclass(frozen=True)
class Cost:
    """Of one process or several, one after the other."""

    seconds: float
    cpu_seconds: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


def main() -> None:
    """Make data and adapter, run both ways in turn, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--written", type=int, default=12, help="items whose answers are written, which takes longest")
    parser.add_argument("--tasks", default=CHOICES, help="whose answers are chosen")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--fewshot", type=int, default=0)
    parser.add_argument("--ours", nargs=3, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        return ours(*options.ours)
    with tempfile.TemporaryDirectory() as scratch:
        base, adapter = models(Path(scratch) / "adapter")
        data = options.data or made(Path(scratch) / "data", options.items)
        tell("| tasks | items each | examples | contestant | CPU seconds | against lm-eval once | against twice |")
        tell("|---|--:|--:|---|--:|--:|--:|")
        for n in range(options.rounds):
            for tasks, limit in ((options.tasks.split(","), options.items), ((GENERATION,), options.written)):
                if not limit:
                    continue
                asking = {"names": tasks, "folder": str(data), "limit": limit, "num_fewshot": options.fewshot}
                compare(asking, base, adapter, Path(scratch) / f"{n}-{tasks[0]}")


def compare(asking: dict[str, Any], base: Path, adapter: Path, folder: Path) -> None:
    """One choice of tasks, both ways."""
    folder.mkdir(parents=True)
    (folder / "asking.json").write_text(json.dumps(asking))
    ours_alone = [sys.executable, __file__, "--ours", str(base), str(adapter), str(folder)]
    both = cost(ours_alone, {**DEFAULTS, **MODEL_DEFAULTS})  # as the worker is started
    scores = json.loads((folder / "scores.json").read_text())
    once = lm_eval(asking, folder, "base", f"pretrained={base}")
    twice = once + lm_eval(asking, folder, "finetuned", f"pretrained={base},peft={adapter}")
    for side in ("base", "finetuned"):
        theirs = results(folder / side)
        for name, value in scores[side].items():
            assert theirs[name] == value, f"{side}, {name}: {value} here, {theirs[name]} by lm-eval"
    row = f"| {', '.join(asking['names'])} | {asking['limit']} | {asking['num_fewshot']} |"
    tell(f"{row} evaluate, both models | {both.cpu_seconds:.0f} | {ratio(both, once)} | {ratio(both, twice)} |")
    tell(f"{row} lm-eval, base | {once.cpu_seconds:.0f} | 1.00 | {ratio(once, twice)} |")
    tell(f"{row} lm-eval, twice | {twice.cpu_seconds:.0f} | {ratio(twice, once)} | 1.00 |")


def tell(line: str) -> None:
    """A line of the table, as soon as it is known."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def ratio(one: Cost, other: Cost) -> str:
    """Of CPU seconds: other work on the machine stretches the clock, hardly them."""
    return f"{one.cpu_seconds / other.cpu_seconds:.2f}"


def cost(command: list[str], environment: Mapping[str, str] = MappingProxyType({})) -> Cost:
    """What a process takes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    everything = {**os.environ, **offline, **environment}
    done = subprocess.run(command, env=everything, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def lm_eval(asking: dict[str, Any], folder: Path, side: str, model_args: str) -> Cost:
    """One model by lm-eval's command line."""
    return cost(
        [
            sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", model_args, "--device", "cpu",
            "--tasks", ",".join(asking["names"]), "--include_path", str(folder / "scratch"),
            "--batch_size", BATCH_SIZE, "--limit", str(asking["limit"]), "--num_fewshot", str(asking["num_fewshot"]),
            "--output_path", str(folder / side),
        ]
    )  # fmt: skip


def results(folder: Path) -> dict[str, float]:
    """lm-eval's scores, by task and metric."""
    found = json.loads(next(folder.rglob("results_*.json")).read_text())["results"]
    return {f"{task}/{key}": value for task, scores in found.items() for key, value in scores.items()}


def ours(base: Path, adapter: Path, folder: Path) -> None:
    """Both models as evaluate measures them; from the start of the process, as lm-eval's."""
    collect_seldom()
    from faion_finetuner.core.evaluate.benchmarks.harness import Asking, Benchmarks
    from faion_finetuner.core.evaluate.contestants import visit
    from faion_finetuner.core.models.load import load_tokenizer
    from faion_finetuner.core.settings import Settings

    asked = json.loads((folder / "asking.json").read_text())
    asking = Asking(tuple(asked["names"]), Path(asked["folder"]), asked["limit"], asked["num_fewshot"])
    benchmarks = Benchmarks(asking, load_tokenizer(base), folder / "scratch")
    scores: dict[str, dict[str, float | None]] = {}

    def measure(side: str, model: Any) -> None:
        scores[side] = {f"{one.task}/{key(one.metric)}": one.value for one in benchmarks.measure(model, side)}

    visit(base, adapter, Settings.from_environment(), measure)
    (folder / "scores.json").write_text(json.dumps(scores))


def key(metric: str) -> str:
    """ "exact_match (strict-match)" as lm-eval writes it."""
    name, _, used = metric.partition(" (")
    return f"{name},{used.rstrip(')') or 'none'}"


def models(adapter: Path) -> tuple[Path, Path]:
    """The built-in model and a random adapter that changes its answers a little."""
    import torch
    from faion_finetuner.core.models.load import load_base
    from faion_finetuner.core.models.source import local_path, resolve_model
    from faion_finetuner.core.settings import Settings
    from peft import LoraConfig, get_peft_model

    settings = Settings.from_environment()
    base = local_path(resolve_model(MODEL, settings), settings)
    torch.manual_seed(1)
    config = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(load_base(base, settings=settings), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.mul_(0.05)
    model.save_pretrained(str(adapter))
    return base, adapter


def made(folder: Path, items: int) -> Path:
    """Arithmetic in three published shapes."""
    draw = random.Random(7)
    folder.mkdir(parents=True)
    with (
        (folder / "gsm8k_test.jsonl").open("w") as gsm8k,
        (folder / "arc_easy_test.jsonl").open("w") as arc,
        (folder / "elementary_mathematics_test.csv").open("w", newline="") as mmlu,
    ):
        for _ in range(items):
            one, other = draw.randrange(2, 60), draw.randrange(2, 60)
            question = f"A shelf holds {one} books, and {other} more are put on it. How many books does it hold now?"
            right = one + other
            told = [f"The shelf now holds {n} books." for n in (right, right + 1, right - 2, right + 10)]
            gsm8k.write(
                json.dumps({"question": question, "answer": f"{one} + {other} = {right}.\n#### {right}"}) + "\n"
            )
            arc.write(json.dumps({"query": f"Question: {question}", "choices": told, "gold": 0}) + "\n")
            csv.writer(mmlu).writerow([question, *told, "A"])
    return folder


if __name__ == "__main__":
    main()
