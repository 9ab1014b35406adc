"""What the steps of one preparation share."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from ..checks import Check
from .ledger import Ledger
from .request import PrepareRequest
from .row import Row
from .store import Store
from .tokens import TokenCounter


@dataclass
class Job:
    """One preparation on its way."""

    request: PrepareRequest
    ledger: Ledger
    store: Store
    tokens: TokenCounter

    rows_read: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    """Rows by the dialect they were written in."""
    unused: Counter[str] = field(default_factory=Counter)
    """Fields that are no part of the conversation, by rows that have them; among the first rows."""
    personal_data: Counter[str] = field(default_factory=Counter)
    """Values found, by kind."""


class Step(Protocol):
    """One step of the pipeline: takes a batch of rows, gives back those that go on, and knows what it found."""

    def __call__(self, rows: list[Row]) -> list[Row]:
        """The rows that go on; every row that does not, or that is changed, has a line in the ledger."""
        ...

    def checks(self) -> list[Check]:
        """What the step has to say once all rows went through it."""
        ...
