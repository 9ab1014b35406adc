"""Rows of the files in which data is published: JSONL, JSON, CSV, TSV and Parquet, each also as its first row alone."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from ...errors import DataError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
WHOLE_JSON_BYTES = 100_000_000  # a JSON list is read in one piece; a larger file is no benchmark
HEADERLESS = ("question", "a", "b", "c", "d", "answer")  # as MMLU's authors publish it
MEND = "Mend the file, fetch it again, or move it away."
Row = dict[str, Any]


def first_row(path: Path) -> Row:
    """The first row with its columns in lower case and spaces as underscores; empty when the file has none.

    Raises:
        DataError: The file cannot be read as what its name says.
    """
    return next(rows(path), {})


def rows(path: Path) -> Iterator[Row]:
    """All rows, columns named as in `first_row`.

    Raises:
        DataError: The file cannot be read as what its name says; where it has lines, the line is named.
    """
    import polars

    try:
        for row in _READERS[path.suffix.lower()](path):
            if not isinstance(row, dict):
                raise DataError(f"'{path}' holds rows that are no objects.", "Give one JSON object a row.")
            yield {str(name).strip().lower().replace(" ", "_"): value for name, value in row.items()}
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text.", "Save it as UTF-8.") from error
    except (OSError, ValueError, csv.Error, polars.exceptions.PolarsError) as error:
        raise DataError(f"'{path}' cannot be read: {type(error).__name__}.", MEND) from error


def _jsonl(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise DataError(f"'{path}', line {number}, is not JSON: {error.msg}.", MEND) from error


def _json(path: Path) -> Iterator[Any]:
    """A list of rows, also as the one value of an object; or JSONL under another name."""
    if path.stat().st_size > WHOLE_JSON_BYTES:
        return
    try:
        found = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        yield from _jsonl(path)
        return
    lists = [value for value in found.values() if isinstance(value, list)] if isinstance(found, dict) else [found]
    yield from lists[0] if len(lists) == 1 and isinstance(lists[0], list) else [found]


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        first = next(reader, [])
        headerless = len(first) == len(HEADERLESS) and first[-1].strip() in ("A", "B", "C", "D")
        names = HEADERLESS if headerless else first
        for values in itertools.chain([first] if headerless else [], reader):
            if not values:
                continue
            if len(values) < len(names) or any(cell.strip() for cell in values[len(names) :]):
                raise DataError(
                    f"'{path}', line {reader.line_num}: {len(values)} cells where the first row has {len(names)}.",
                    "Put texts that hold a comma or a line break into quotes, or fetch the file again.",
                )
            yield dict(zip(names, values, strict=False))


def _parquet(path: Path) -> Iterator[Row]:
    import polars

    table = polars.scan_parquet(path)
    for start in itertools.count(0, 1_000):
        part = table.slice(start, 1_000).collect().to_dicts()
        yield from part
        if len(part) < 1_000:
            return


_READERS = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
