"""The rows that are kept so far: their text on disk, a few numbers of each in memory."""

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

from .row import Place, Row


class Store:
    """Prepared rows in order of their index, as JSON lines in one file; read back one by one.

    Attributes:
        digests: For each row a 64-bit digest of its question; equal ones are the same question.
        groups: For each row a 64-bit digest of its `group_by` value; 0 without one.
        links: Pairs of rows that must stay in one split.
        removed: Rows that were found to be near duplicates after they were stored.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._offsets = array("Q", [0])
        self._sources: list[str] = []
        self._source_of = array("L")
        self._lines = array("Q")
        self._row_ids: list[str] = []
        self.digests = array("Q")
        self.groups = array("Q")
        self.links: list[tuple[int, int]] = []
        self.removed: set[int] = set()

    def __len__(self) -> int:
        return len(self._lines)

    def append(self, row: Row, line: bytes) -> None:
        """Keep a row at its index, which is the next one."""
        assert row.index == len(self)
        if not self._sources or self._sources[-1] != row.place.source:
            self._sources.append(row.place.source)
        self._source_of.append(len(self._sources) - 1)
        self._lines.append(row.place.line)
        self._row_ids.append(row.place.row_id)
        self._file.write(line)
        self._offsets.append(self._offsets[-1] + len(line))

    def finish(self) -> None:
        """All rows are in; from here on they are read."""
        self._file.flush()

    def line(self, index: int) -> bytes:
        """The row as it will be written, with its line end."""
        start, end = self._offsets[index], self._offsets[index + 1]
        return os.pread(self._file.fileno(), end - start, start)

    def place(self, index: int) -> Place:
        """Where the row came from."""
        return Place(self._sources[self._source_of[index]], self._lines[index], self._row_ids[index])

    def kept(self) -> Iterator[int]:
        """The rows that were not removed, in order."""
        return (index for index in range(len(self)) if index not in self.removed)

    @property
    def kept_count(self) -> int:
        """How many rows are left."""
        return len(self) - len(self.removed)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
