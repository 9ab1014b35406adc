"""Parquet and Arrow files, a slice at a time: each row becomes the JSON that says the same.

Dates, times and durations become ISO text, decimals the text of their digits, a missing number (NaN) null. Bytes that
are text in UTF-8 become that text, since many writers do not mark text as such; other bytes, and infinite numbers,
JSON cannot say: such a row is bad.
"""

import contextlib
import io
import math
import os
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import orjson

from ..errors import DataError
from ..untrusted import quote
from .row import Piece
from .sources import open_bytes, packing

if TYPE_CHECKING:
    import polars as pl

SLICE_BYTES = 1 << 24  # of the file
MIN_SLICE_ROWS, MAX_SLICE_ROWS = 500, 20_000
STREAM_START = b"\xff\xff\xff\xff"  # of every message of an Arrow stream since 0.15
STREAM_END = STREAM_START + b"\0\0\0\0"
RECORD_BATCH = 3  # its number among the messages (Arrow's Message.fbs)


def table_pieces(path: Path, kind: str) -> Iterator[Piece]:
    """One piece a row; its line is the number of the row.

    Raises:
        DataError: The file is damaged.
    """
    import polars as pl

    try:
        with _unpacked(path) as plain:
            found = (piece for table in _slices(plain, kind) for piece in _pieces(table))
            yield from (piece._replace(line=number) for number, piece in enumerate(found, start=1))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, struct.error) as error:
        raise DataError(
            f"{quote(str(path), 200)} is damaged: it cannot be read as {kind} ({quote(str(error), 200)}).",
            "Fetch or export it again.",
        ) from error


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file itself, or where it lies unpacked for as long as it is needed: tables are not read front to back."""
    if packing(path) is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="unpacked-") as folder, open_bytes(path) as packed:
        plain = Path(folder) / "table"
        with plain.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        yield plain


def _slices(path: Path, kind: str) -> "Iterable[pl.DataFrame]":
    import polars as pl

    with path.open("rb") as file:
        if file.read(len(STREAM_START)) == STREAM_START:
            yield from _stream_batches(file)
            return
    table = pl.scan_parquet(path) if kind == "parquet" else pl.scan_ipc(path)
    total = table.select(pl.len()).collect().item()
    step = min(max(total * SLICE_BYTES // max(path.stat().st_size, 1), MIN_SLICE_ROWS), MAX_SLICE_ROWS)
    for start in range(0, total, step):
        yield table.slice(start, step).collect()


def _stream_batches(file: IO[bytes]) -> "Iterator[pl.DataFrame]":
    """The record batches of an Arrow stream (as `datasets` saves them), each read as a stream of its own.

    Polars reads a stream only whole; so the messages before the batches, schema and dictionaries, go before each.
    """
    import polars as pl

    file.seek(0)
    before = b""
    while message := _message(file):
        if message.kind == RECORD_BATCH:
            yield pl.read_ipc_stream(io.BytesIO(before + message.content + STREAM_END))
        else:
            before += message.content


class _Message(NamedTuple):
    kind: int
    content: bytes


def _message(file: IO[bytes]) -> _Message | None:
    """The next message of a stream; None at its end, which every writer marks.

    Raises:
        EOFError: The stream breaks off.
    """
    head = _exactly(file, 8)
    if head == STREAM_END:
        return None
    if not head.startswith(STREAM_START):
        raise EOFError("no message where one should begin")
    metadata = _exactly(file, struct.unpack("<4xi", head)[0])
    return _Message(_field(metadata, 1, "<B"), head + metadata + _exactly(file, _field(metadata, 3, "<q")))


def _field(table: bytes, number: int, kind: str) -> int:
    """A number in a flatbuffer's root table, 0 where it is left out (flatbuffers.dev/internals)."""
    root = struct.unpack_from("<I", table)[0]
    offsets = root - struct.unpack_from("<i", table, root)[0]
    if struct.unpack_from("<H", table, offsets)[0] <= 4 + 2 * number:
        return 0
    offset = struct.unpack_from("<H", table, offsets + 4 + 2 * number)[0]
    return struct.unpack_from(kind, table, root + offset)[0] if offset else 0


def _exactly(file: IO[bytes], count: int) -> bytes:
    left = os.fstat(file.fileno()).st_size - file.tell()
    content = file.read(count) if 0 <= count <= left else b""
    if len(content) != count:
        raise EOFError("the stream breaks off")
    return content


def _pieces(table: "pl.DataFrame") -> Iterator[Piece]:
    import polars.selectors as cs

    infinite = table.select(cs.float().is_infinite().any()).rows()
    if "Binary" in str(table.schema) or any(map(any, infinite)):
        return map(_piece, table.iter_rows(named=True))
    written = io.BytesIO()
    table.write_ndjson(written)
    return (Piece(0, line) for line in written.getvalue().split(b"\n") if line)


def _piece(row: dict[str, Any]) -> Piece:
    problems: list[str] = []

    def sayable(value: Any) -> Any:
        if isinstance(value, bytes):
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                problems.append("binary_value")
                return f"<{len(value):,} bytes>"
        return str(value)

    if any(isinstance(value, float) and math.isinf(value) for value in row.values()):
        problems.append("infinite_number")
    raw = orjson.dumps(row, default=sayable, option=orjson.OPT_PASSTHROUGH_DATETIME)
    return Piece(0, raw, problems[0] if problems else None)
