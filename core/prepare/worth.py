"""Which rows a person should look at first."""

from collections.abc import Iterable
from dataclasses import dataclass

from .store import Store

SHOWN = 5
KEPT = 40  # of a batch and over all: some of them turn out to be duplicates later


@dataclass(frozen=True, slots=True)
class Worth:
    """One row that is worth a look."""

    score: float
    """How much it is; see `rules.suspicion`."""

    number: int
    """Number of the row in reading order."""

    reasons: tuple[str, ...]
    """Names of the rules that speak against it."""


def worst(found: Iterable[Worth]) -> list[Worth]:
    """The few with the highest score, of equals the first."""
    return sorted(found, key=lambda one: (-one.score, one.number))[:KEPT]


def shown(found: Iterable[Worth], store: Store) -> list[tuple[int, Worth]]:
    """Of the worst rows those that were kept, each with its place in the store."""
    numbers = store.column("number")
    places = ((int(numbers.searchsorted(one.number)), one) for one in worst(found))
    return [(at, one) for at, one in places if at < len(numbers) and numbers[at] == one.number and store.kept[at]][
        :SHOWN
    ]
