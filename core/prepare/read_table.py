"""Parquet and Arrow files as records, a slice at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from ..errors import DataError
from ..untrusted import quote
from .row import Piece
from .sources import packing

SLICE_ROWS = 5_000


def table_pieces(path: Path, kind: str) -> Iterator[Piece]:
    """One record a row; dates and times become ISO text, bytes become a bad row.

    Raises:
        DataError: The file is damaged or packed once more.
    """
    import polars as pl

    if packing(path):
        raise DataError(f"{quote(str(path), 200)} is a packed {kind} file.", f"Unpack it; {kind} packs its own pages.")
    scan = pl.scan_parquet if kind == "parquet" else pl.scan_ipc
    try:
        table = scan(path)
        total = table.select(pl.len()).collect().item()
        for start in range(0, total, SLICE_ROWS):
            rows = table.slice(start, SLICE_ROWS).collect().to_dicts()
            yield from (_piece(start + i, row) for i, row in enumerate(rows, start=1))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{quote(str(path), 200)} cannot be read as {kind}: {quote(str(error), 200)}.", "Write it anew."
        ) from error


def _piece(number: int, row: dict[str, Any]) -> Piece:
    try:
        raw = orjson.dumps(row, default=str if not any(isinstance(value, bytes) for value in row.values()) else None)
    except TypeError:
        return Piece(number, repr(row)[:2000].encode(), "binary_value")
    return Piece(number, raw)
