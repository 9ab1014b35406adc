"""Numbers with their nouns, and places of rows, for sentences of checks."""

from ..untrusted import quote
from .row import Place


def counted(count: int, noun: str) -> str:
    """ "1 row", "2,000 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def place_of(place: Place) -> str:
    """«rows.jsonl:12», as somebody looks it up."""
    return quote(f"{place.source}:{place.line}", 160)
