"""Rows that hold text of a benchmark: a model trained on them has seen the test.

A row counts when it shares a run of 13 words with a benchmark text (GPT-3 paper, appendix C), or all words of a
benchmark text that is shorter, down to 8.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..checks import Check
from ..examples.types import Example
from .job import Job
from .read import look
from .read import rows as read_rows
from .row import Row
from .shingles import shingle
from .texts import texts_of
from .wording import counted

RUN = 13
SHORTEST = 8
SHOWN = 3


class Contamination:
    """The step: flag rows that overlap with a benchmark. They are kept: what to do about them is the user's choice."""

    def __init__(self, job: Job) -> None:
        self._job = job
        files = [Path(name) for name in job.request.benchmarks if Path(name).is_file()]
        self._not_checked = [name for name in job.request.benchmarks if not Path(name).is_file()]
        self._runs: dict[int, set[int]] = {}
        self._names: dict[int, str] = {}
        self._files = files
        self._hits: list[str] = []
        for file in files:
            for line, texts in _benchmark_texts(file):
                self._remember(f"{file.name}:{line}", texts)

    def _remember(self, place: str, texts: list[str]) -> None:
        for text in texts:
            triples = shingle([text]).hashes
            length = min(RUN, len(triples) + 2)
            if length < SHORTEST:
                continue
            for run in _runs(triples, length):
                self._runs.setdefault(length, set()).add(run)
                self._names.setdefault(run, place)

    def __call__(self, rows: list[Row]) -> list[Row]:
        if self._runs:
            for row in rows:
                if place := self._overlap(row.example):
                    self._hits.append(place)
                    self._job.ledger.flag(row.place, "contamination", place)
        return rows

    def _overlap(self, example: Example) -> str | None:
        for text in texts_of(example):
            triples = shingle([text]).hashes
            for length, known in self._runs.items():
                common = known.intersection(_runs(triples, length))
                if common:
                    return self._names[min(common)]
        return None

    def checks(self) -> list[Check]:
        """How many rows overlap, with which benchmark; and what was not checked."""
        checks = []
        if self._files:
            names = ", ".join(file.name for file in self._files)
            found = len(self._hits)
            details = f"{counted(found, 'row')} sharing a run of {RUN} words (or a whole shorter text) with {names}"
            if found:
                details += f"; the first: {', '.join(self._hits[:SHOWN])}"
            step = "Remove the rows flagged contamination in ledger.jsonl, or do not evaluate on it." if found else None
            status = "warn" if found else "pass"
            checks.append(Check(name="Contamination", status=status, details=details, count=found, next_step=step))
        if self._not_checked:
            details = f"not checked against {', '.join(self._not_checked)}: no such local file"
            step = "Pass the benchmark's own file (JSONL, CSV, Parquet) in benchmarks."
            checks.append(Check(name="Contamination (not checked)", status="warn", details=details, next_step=step))
        return checks


def _runs(triples: np.ndarray, length: int) -> list[int]:
    """A hash for every run of `length` words: of the triples that it is made of."""
    count = len(triples) - (length - 2) + 1
    if count <= 0:
        return []
    with np.errstate(over="ignore"):
        total = np.zeros(count, dtype=np.uint64)
        for i in range(length - 2):
            total = total * np.uint64(0x9E3779B97F4A7C15) + triples[i : i + count]
    return total.tolist()


def _benchmark_texts(file: Path) -> Iterator[tuple[int, list[str]]]:
    for found in read_rows(look(file)):
        if found.record is not None:
            yield found.line, list(_strings(found.record))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
