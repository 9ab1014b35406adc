"""What is counted over all rows, beside the ledger's own counts."""

from collections import Counter
from dataclasses import dataclass, field, fields

from ..examples.comparisons import Numbered
from .row import Place

SHOWN = 5  # places that are named, of each kind


@dataclass
class Tally:
    """Counts of one batch, or of all once they are added up."""

    names: Counter[str] = field(default_factory=Counter)
    """Fields of records, by rows that have them."""

    shapes: Counter[str] = field(default_factory=Counter)
    """Rows by the dialect they were written in."""

    unused: Counter[str] = field(default_factory=Counter)
    """Fields that are no part of the conversation, by rows that have them."""

    left_out: Counter[str] = field(default_factory=Counter)
    """What of exported conversations is not carried over, by rows."""

    choices: Counter[tuple[str, Numbered]] = field(default_factory=Counter)
    """Choices between two answers that are written as a number, by file."""

    losses: Counter[str] = field(default_factory=Counter)
    """What the target format cannot hold, by rows."""

    personal_data: Counter[str] = field(default_factory=Counter)
    """Values found, by kind."""

    restored: Counter[str] = field(default_factory=Counter)
    """row_ids that the request restores and that were met."""

    unreadable: dict[str, Place] = field(default_factory=dict)
    """Reasons for which records could not be read as examples, with one place each; the first few."""

    next_steps: Counter[str] = field(default_factory=Counter)
    """What to do with records that could not be read, by rows."""

    unparsed: dict[str, Place] = field(default_factory=dict)
    """Reasons for which rows are no JSON, with one place each; the first few."""

    refused: dict[str, Place] = field(default_factory=dict)
    """Reasons for which the model's chat template refuses rows, with one place each; the first few."""

    contaminated: dict[str, Place] = field(default_factory=dict)
    """Benchmark items that rows hold text of, with one place each; the first few."""

    calling: Counter[str] = field(default_factory=Counter)
    """Rows that call tools."""

    broken_calls: dict[str, Place] = field(default_factory=dict)
    """What is wrong with tool calls, with one place each; the first few."""

    labels: dict[str, dict[int, str]] = field(default_factory=dict)
    """For every field that may hold a class: digest of the value -> the value."""

    def add(self, other: "Tally") -> None:
        """Add the counts of another batch."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            elif one.name != "labels":
                for reason, place in theirs.items():
                    note(mine, reason, place)
        for name, labels in other.labels.items():
            self.labels.setdefault(name, {}).update(labels)


def note(places: dict[str, Place], reason: str, place: Place) -> None:
    """Remember a place for a reason, as long as there are few."""
    if len(places) < SHOWN:
        places.setdefault(reason, place)
