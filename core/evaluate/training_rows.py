"""The rows that the fine-tuned model learned, as far as they can be found."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import paths
from ..errors import FinetunerError, RunNotFoundError
from ..examples.files import read_examples
from ..examples.types import Example
from ..runs.index import RUNS
from ..runs.record import RunFolder, RunRecord
from ..settings import Settings
from .request import EvaluateRequest

TRAIN = "train.jsonl"  # what prepare calls them
ROWS = 200  # of the training data, at most; and no more than are held out, so that this costs no more than they do
ABOVE = (
    4  # folders over a result in which its run folder is looked for: output_dir/experiments/NAME/adapter needs three
)


@dataclass(frozen=True)
class TrainingRows:
    """What was found."""

    examples: tuple[Example, ...] = ()
    files: tuple[Path, ...] = ()
    """Where they stand; empty when none were found."""


def find(request: EvaluateRequest, settings: Settings) -> TrainingRows:
    """The rows of the training whose run folder finetuned_path leads to, and of the train.jsonl beside the data.

    A file that is gone or cannot be read is passed over.
    """
    if request.finetuned_path is None:
        return TrainingRows()
    beside = request.data_path.parent / TRAIN
    examples: list[Example] = []
    files: list[Path] = []
    found = [*_trained_on(request.finetuned_path, settings), *([beside] if beside.is_file() else [])]
    for file in dict.fromkeys(found):
        try:
            examples += read_examples(file)
        except FinetunerError:
            continue
        files.append(file)
    return TrainingRows(tuple(examples), tuple(files))


def _trained_on(result: Path, settings: Settings, hops: int = 1) -> Iterator[Path]:
    """The training files of the newest run that made this folder; a merged model leads on to its adapters."""
    for record in _records(result):
        given = record.resolved
        if record.mode == "train":
            yield from _file(given.get("data_path"), settings)
            return
        if record.mode == "merge" and hops:
            adapters = given.get("adapter_path") or ()
            for adapter in [adapters] if isinstance(adapters, str) else adapters:
                yield from _trained_on(Path(adapter), settings, hops - 1)
            return


def _records(result: Path) -> list[RunRecord]:
    """The runs that wrote into the folder or into one above it, newest first."""
    for folder in (result, *result.parents[:ABOVE]):
        found = []
        for path in (folder / RUNS).glob("*"):
            try:
                found.append(RunFolder(path=path).record())
            except RunNotFoundError:
                continue
        if found:
            return sorted(found, key=lambda record: record.created_at, reverse=True)
    return []


def _file(data_path: Any, settings: Settings) -> Iterator[Path]:
    """A run folder may come from elsewhere: only what a request could name is read."""
    try:
        path = paths.existing(str(data_path), settings, "data_path")
    except FinetunerError:
        return
    file = path / TRAIN if path.is_dir() else path
    if file.is_file():
        yield file


def sample(training: Sequence[Example], held_out: int, seed: int) -> list[Example]:
    """Random training rows to be measured beside the held-out ones."""
    return random.Random(seed).sample(list(training), min(len(training), held_out, ROWS))
