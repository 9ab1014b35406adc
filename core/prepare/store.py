"""The rows that are kept so far: their text on disk, numbers of each in memory."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .row import Place, row_id

Column = NDArray[Any]


class Store:
    """Prepared rows in reading order, as JSON lines in one file; read back one by one.

    Attributes:
        kept: For each row whether it is still in; set once all are.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._chunks: dict[str, list[Column]] = {}
        self._sizes: list[int] = []
        self._columns: dict[str, Column] = {}
        self._left_out: set[str] = set()
        self._sources: tuple[str, ...] = ()
        self._starts: dict[str, list[int]] = {}
        self.kept: NDArray[np.bool_] = np.empty(0, dtype=bool)

    def append(self, lines: list[bytes], columns: Mapping[str, Column]) -> None:
        """Add a batch: the rows as JSON lines, and columns with one number (or several) a row.

        A column that an earlier or later batch does not have is 0 there.
        """
        self._file.writelines(lines)
        for name, column in {**columns, "bytes": np.array([*map(len, lines)], dtype=np.uint32)}.items():
            if name not in self._left_out:
                self._chunks.setdefault(name, []).append(column)
                self._starts.setdefault(name, []).append(len(self._sizes))
        self._sizes.append(len(lines))

    def leave_out(self, name: str) -> None:
        """Forget a column, and do not take it from later batches."""
        self._left_out.add(name)
        self._chunks.pop(name, None)

    def finish(self, sources: tuple[str, ...]) -> None:
        """All rows are in; from here on they are read."""
        self._file.flush()
        self._sources = sources
        self._columns = {name: self._joined(name) for name in list(self._chunks)}
        self._columns["end"] = np.cumsum(self._columns.pop("bytes"), dtype=np.uint64)
        self.kept = np.ones(len(self), dtype=bool)

    def _joined(self, name: str) -> Column:
        chunks, starts = self._chunks.pop(name), self._starts.pop(name)
        if len(starts) == len(self._sizes):
            return np.concatenate(chunks) if len(chunks) > 1 else chunks[0]
        own = dict(zip(starts, chunks, strict=True))
        shape, kind = chunks[0].shape[1:], chunks[0].dtype
        parts = [own.get(i, np.zeros((size, *shape), dtype=kind)) for i, size in enumerate(self._sizes)]
        return np.concatenate(parts)

    def __len__(self) -> int:
        return sum(self._sizes)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def column(self, name: str) -> Column:
        """One number (or several) for each row, kept or not."""
        return self._columns[name]

    def names(self, prefix: str) -> list[str]:
        """The columns whose names begin so."""
        return [name for name in self._columns if name.startswith(prefix)]

    def release(self, name: str) -> None:
        """Give back the memory of a column that is not needed any more."""
        self._columns.pop(name, None)

    @property
    def kept_rows(self) -> NDArray[np.int64]:
        """The rows that are still in, in order."""
        return np.flatnonzero(self.kept)

    @property
    def kept_count(self) -> int:
        """How many rows are left."""
        return int(self.kept.sum())

    def line(self, index: int) -> bytes:
        """The row as it will be written, with its line end."""
        ends = self._columns["end"]
        start = int(ends[index - 1]) if index else 0
        return os.pread(self._file.fileno(), int(ends[index]) - start, start)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The rows that are still in, with their places, in order."""
        self._file.seek(0)
        for index, line in enumerate(self._file):
            if self.kept[index]:
                yield index, line

    def place(self, index: int) -> Place:
        """Where the row came from."""
        column = self._columns
        source = self._sources[int(column["source"][index])]
        return Place(source, int(column["line"][index]), self.row_id(index))

    def row_id(self, index: int) -> str:
        """See `Place.row_id`."""
        return row_id(int(self._columns["number"][index]), int(self._columns["raw"][index]))

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
