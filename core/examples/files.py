"""Prepared files read back as examples."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import lossless_json
from ..errors import DataError, PathError
from .comparisons import UNSURE_NEXT_STEP, Numbered, numbered_choice, why_unsure
from .dialects import read_record
from .types import Example

SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared dataset."""

    train: list[Example]
    valid: list[Example]
    """Empty when there is no validation file."""

    train_path: Path
    valid_path: Path | None


def load_prepared(data_path: Path) -> Prepared:
    """The examples of a folder with train.jsonl (and valid.jsonl, where there is one with rows), or of a single file.

    Raises:
        PathError: There is no such file, or the folder has no train.jsonl.
        DataError: A line cannot be read, or a file has no examples; names file and line.
    """
    if data_path.is_file():
        return Prepared(read_examples(data_path), [], data_path, None)
    train = data_path / "train.jsonl"
    if not train.is_file():
        problem = f"No train.jsonl in {data_path}." if data_path.is_dir() else f"{data_path} does not exist."
        raise PathError(problem, "Give the output_dir of a `prepare` run, or one JSONL file.")
    valid = data_path / "valid.jsonl"
    if not valid.is_file() or not valid.stat().st_size:  # of few rows `prepare` holds none back
        return Prepared(read_examples(train), [], train, None)
    return Prepared(read_examples(train), read_examples(valid), train, valid)


def read_examples(path: Path) -> list[Example]:
    """The examples of one JSONL file, or of a JSON file that holds a list, in any known record dialect.

    Raises:
        PathError: The file does not exist.
        DataError: A line is not JSON or not an example (the first few are named by file:line), or there is none.
    """
    if not path.is_file():
        raise PathError(f"{path} does not exist.", "Give a file that exists.")
    examples: list[Example] = []
    problems: list[str] = []
    choices: set[Numbered] = set()
    for place, record in _records(path, problems):
        try:
            examples.append(read_record(record))
            if examples[-1].rejected is not None and (choice := numbered_choice(record)) is not None:
                choices.add(choice)
        except DataError as error:
            problems.append(f"{place}: {error.problem}")
    if problems:
        more = f"\n... and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise DataError(
            "\n".join(problems[:SHOWN_PROBLEMS]) + more, "Run `prepare` on the file; it keeps what is good."
        )
    if (unsure := why_unsure(choices)) is not None:
        raise DataError(f"{path.name}: {unsure}.", UNSURE_NEXT_STEP)
    if not examples:
        raise DataError(f"{path.name} has no examples.", "Give a file with at least one record.")
    return examples


def _records(path: Path, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each record with its place; what is not a record goes to `problems`."""
    data = path.read_bytes()
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    whole = _whole(path, data)
    if whole is not None:
        entries = enumerate(whole, start=1)
        places = ((f"{path.name}, record {number}", entry) for number, entry in entries)
    else:
        places = _lines(path, data, problems)
    for place, entry in places:
        if isinstance(entry, dict):
            yield place, entry
        else:
            problems.append(f"{place}: not a JSON object.")


def _whole(path: Path, data: bytes) -> list[Any] | None:
    """The records of a file that is one JSON value: a list, or a single record; None when it is read by lines."""
    is_list = data.lstrip()[:1] == b"["
    if not is_list and path.suffix != ".json":
        return None
    try:
        value = lossless_json.loads(data)
        return value if is_list else [value]
    except ValueError as error:
        if not is_list:
            return None
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise DataError(f"{path.name}:{line}: not JSON ({_reason(error)}).", "Repair the file.") from error


def _lines(path: Path, data: bytes, problems: list[str]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        try:
            yield place, lossless_json.loads(line)
        except ValueError as error:
            problems.append(f"{place}: not JSON ({_reason(error)}).")


def _reason(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)
