"""Rows per second of `prepare`, as a whole and by step, on generated rows that are all different.

Run: python benchmarks/prepare_speed.py [ROWS]      (default 20,000; without a model, everything else at its default)

Seconds are CPU seconds of this process, so that other work on the machine counts less. The first line calibrates:
parsing the same file with orjson, which is about the least that anything can cost.
"""

import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
from faion_finetuner.core.prepare import pipeline
from faion_finetuner.core.prepare.request import PrepareRequest
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import ROOTS

WORDS_PER_QUESTION, WORDS_PER_ANSWER = 14, 110  # about what Alpaca rows have
VOCABULARY = 20_000


def main(rows: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in generated(rows)), encoding="utf-8")
        say("step", "CPU s", "rows/s")
        began = time.process_time()
        for line in data.open("rb"):
            orjson.loads(line)
        report("(orjson alone)", time.process_time() - began, rows)
        steps = timed_steps()
        began = time.process_time()
        prepare(data, folder / "out", folder)
        report("whole", time.process_time() - began, rows)
        for step, seconds in sorted(steps.items(), key=lambda item: -item[1]):
            report(step, seconds, rows)


def generated(rows: int) -> Iterator[dict[str, str]]:
    """Rows of random words; a few hold an address, some repeat an earlier one."""
    choose = random.Random(7)
    syllables = ("ka", "lo", "mi", "ter", "na", "ves", "ru", "pol", "si", "ton")
    words = ["".join(choose.choices(syllables, k=choose.randint(1, 4))) for _ in range(VOCABULARY)]
    for number in range(rows):
        question, answer = choose.choices(words, k=WORDS_PER_QUESTION), choose.choices(words, k=WORDS_PER_ANSWER)
        if number % 50 == 0:
            answer[5] = f"{words[0]}{number}@example.org"
        yield {
            "instruction": " ".join(question) + "?",
            "input": "",
            "output": ". ".join((" ".join(answer[:50]), " ".join(answer[50:]))),
        }


def timed_steps() -> dict[str, float]:
    """Make the pipeline's parts count their own time; the table fills while it runs."""
    spent: dict[str, float] = defaultdict(float)
    for owner, name, label in (
        (pipeline.Understanding, "rows", "understand"),
        (pipeline.Clean, "__call__", "clean"),
        (pipeline.PersonalData, "__call__", "personal data"),
        (pipeline.Convert, "__call__", "convert"),
        (pipeline.ExactDuplicates, "__call__", "exact duplicates"),
        (pipeline.Measure, "__call__", "tokens (estimate)"),
        (pipeline.Classes, "__call__", "classes"),
        (pipeline.NearDuplicates, "__call__", "near duplicates: sign"),
        (pipeline.NearDuplicates, "find", "near duplicates: find"),
        (pipeline.Preparation, "_store", "store"),
        (pipeline, "split", "split"),
        (pipeline, "write", "write"),
    ):
        setattr(owner, name, timed(getattr(owner, name), label, spent))
    return spent


def timed(work: Callable[..., Any], label: str, spent: dict[str, float]) -> Callable[..., Any]:
    """The same function, counting its CPU seconds."""

    def wrapper(*args: Any, **named: Any) -> Any:
        began = time.process_time()
        try:
            return work(*args, **named)
        finally:
            spent[label] += time.process_time() - began

    return wrapper


def prepare(data: Path, output_dir: Path, root: Path) -> None:
    """Run the mode in this process."""
    import os

    os.environ[ROOTS] = str(root)
    folder = RunFolder(path=output_dir / ".run" / "speed")
    folder.path.mkdir(parents=True)
    folder.write_status(RunStatus(status="running", launched_at=now()))
    pipeline.run(PrepareRequest(data_path=str(data), output_dir=output_dir), ActiveRun(folder, output_dir))


def report(step: str, seconds: float, rows: int) -> None:
    """One line of the table."""
    say(step, f"{seconds:.2f}", f"{rows / max(seconds, 1e-9):,.0f}")


def say(*cells: str) -> None:
    """One line on standard output."""
    sys.stdout.write(f"{cells[0]:<24}{cells[1]:>8}{cells[2]:>14}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
