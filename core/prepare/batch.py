"""What goes to the workers and what comes back: neighbouring rows, some hundreds at a time."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .ledger import Entries
from .row import Piece
from .shingles import ShingleBatch
from .signatures import Template
from .tally import Tally
from .worth import Worth


@dataclass(frozen=True, slots=True)
class Batch:
    """Pieces of one file, on their way to a worker."""

    file: int
    """Place of the file in `Plan.files`."""

    first: int
    """Number of the first piece in reading order over all files, from 1."""

    pieces: list[Piece]

    near_template: Template | None = None
    """What all rows share and so is no sign of a duplicate; known once the first rows have been seen."""


@dataclass
class Done:
    """What became of a batch."""

    read: int
    """Rows that were read."""

    entries: Entries
    """Lines for the ledger."""

    tally: Tally = field(default_factory=Tally)

    lines: list[bytes] = field(default_factory=list)
    """The rows that go on, as they would be written."""

    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Numbers of the rows that go on, one (or several) a row; `Store` keeps them."""

    shingles: ShingleBatch | None = None
    """The rows' word triples, as long as it is not known which of them are a template."""

    worst: list[Worth] = field(default_factory=list)
    """The rows most worth a look."""
