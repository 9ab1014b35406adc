"""Benchmark texts as runs of words that can be looked up in many rows at once.

A row counts as contaminated when it shares a run of 13 words with a benchmark text (GPT-3 paper, appendix C), or all
words of a benchmark text that is shorter, down to 8.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..lossless_json import texts_in
from .read import look, rows
from .shingles import Hashes, ShingleBatch, shingle

RUN = 13
SHORTEST = 8


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs of one length."""

    hashes: Hashes
    """Sorted."""
    places: NDArray[np.int32]
    """For each run the item that it is from."""


@dataclass
class Benchmarks:
    """What must not stand in the data.

    Attributes:
        names: Files that were read.
        missing: Benchmarks that could not be had, each with the reason.
    """

    names: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    _places: list[str] = field(default_factory=list)
    _by_length: dict[int, Runs] = field(default_factory=dict)

    @classmethod
    def read(cls, files: Sequence[Path], missing: dict[str, str]) -> "Benchmarks":
        """The benchmarks in files of any readable kind; every text of every record counts."""
        found = cls([], {**missing})
        collected: dict[int, list[tuple[Hashes, int]]] = {}
        for file in files:
            before = len(found._places)
            for place, texts in _items(file):
                found._places.append(f"{file.name}:{place}")
                triples = shingle(texts)
                for i in range(len(texts)):
                    own = triples.of(i)
                    length = min(RUN, len(own) + 2)
                    if length >= SHORTEST:
                        run = _runs(own, length)
                        collected.setdefault(length, []).append((run, len(found._places) - 1))
            if len(found._places) > before:
                found.names.append(file.name)
            else:
                found.missing[file.name] = "it holds no rows"
        for length, runs in collected.items():
            hashes = np.concatenate([run for run, _ in runs])
            places = np.repeat(np.array([place for _, place in runs], dtype=np.int32), [len(run) for run, _ in runs])
            hashes, first = np.unique(hashes, return_index=True)
            found._by_length[length] = Runs(hashes, places[first])
        return found

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def overlaps(self, batch: ShingleBatch) -> dict[int, str]:
        """The texts of a batch that share a run with a benchmark -> the item it is from."""
        found: dict[int, str] = {}
        for length, known in self._by_length.items():
            runs = _runs(batch.hashes, length)
            at = np.minimum(np.searchsorted(known.hashes, runs), len(known.hashes) - 1)
            for start in np.flatnonzero(known.hashes[at] == runs).tolist():
                text = int(np.searchsorted(batch.offsets, start, side="right")) - 1
                if start + length - 2 <= batch.offsets[text + 1]:  # the run does not reach into the next text
                    found.setdefault(text, self._places[known.places[at[start]]])
        return found


def _runs(triples: Hashes, length: int) -> Hashes:
    """A hash for every run of `length` words: of the triples that it is made of."""
    count = len(triples) - (length - 2) + 1
    total = np.zeros(max(count, 0), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for i in range(length - 2):
            total = total * np.uint64(0x9E3779B97F4A7C15) + triples[i : i + len(total)]
    return total


def _items(file: Path) -> Iterator[tuple[int, list[str]]]:
    for found in rows(look(file)):
        if found.record is not None:
            yield found.line, list(texts_in(found.record))
