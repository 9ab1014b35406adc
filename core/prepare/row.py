"""A row on its way from a file to a split."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..examples.types import Example


class Piece(NamedTuple):
    """The bytes of one record, not looked into yet."""

    line: int
    """Line where it begins, from 1; in Parquet and Arrow files the number of the row."""

    raw: bytes
    """Its bytes as UTF-8 (invalid where the file's own were invalid); rows of Parquet and Arrow files as JSON."""

    problem: str | None = None
    """Name of the rule that it breaks, where finding its bounds has shown that it is no record."""


class Found(NamedTuple):
    """What a reader found at one place: a record, or something that is none."""

    line: int
    """See `Piece.line`."""

    raw: bytes
    """See `Piece.raw`."""

    record: dict[str, Any] | None
    """The record; None when it is bad."""

    problem: str | None = None
    """Name of the rule that it breaks when it is bad."""

    flag: str | None = None
    """Name of what a person should know of a good record: repeated_key (the last one counts), unescaped_quotes."""

    reason: str | None = None
    """Why it is bad, where the rule alone does not tell; nothing of its text."""


@dataclass(slots=True)  # not frozen: some are made of every row, and freezing triples the cost
class Place:
    """Which row this is."""

    source: str
    """The file it came from."""

    line: int
    """Where in the file; see `Found.line`."""

    row_id: str
    """Number in reading order and digest of the raw content, "17-9f86d081"; unique, and proves an unchanged source."""


def row_id(number: int, digest: int) -> str:
    """The row_id of the row with this number in reading order and this digest of its raw content."""
    return f"{number}-{digest:016x}"


@dataclass(slots=True)
class Row:
    """One record and what it has become so far."""

    place: Place

    record: dict[str, Any]
    """The record as it was read."""

    plain: dict[str, Any]
    """The record that was in it where it is an export; the same for all others."""

    example: Example
    """The example in it, after cleaning."""

    off: frozenset[str] = frozenset()
    """Rules that leave this row alone."""

    number: int = 0
    """Number in reading order, from 1."""

    digest: int = 0
    """64-bit digest of the raw content."""

    prepared: dict[str, Any] = field(default_factory=dict)
    """The record to be written."""

    lost: tuple[str, ...] = ()
    """What of the example the record cannot hold."""

    def named(self, field: str) -> Any:
        """What a field says, of the plain record or else of the export that it was in; None when it is in neither."""
        value = self.plain.get(field)
        return self.record.get(field) if value is None else value
