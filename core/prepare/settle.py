"""What concerns all rows: which repeat others, and which split each goes to."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..checks import Check
from ..runs.active import ActiveRun
from .balance import class_field, strata
from .books import Books
from .duplicates import repeats
from .ledger import Entries
from .near import PAIRS_AT_ONCE, Likeness, candidates, comparisons
from .pool import Crew
from .request import PrepareRequest
from .split import Split, split
from .store import Store
from .wording import counted
from .worker import Worker


@dataclass
class Repeats:
    """What was found to repeat something."""

    equal_kept: int = 0
    """Rows equal to an earlier one that were not dropped."""

    similar_dropped: int = 0
    similar_kept: int = 0
    """Pairs of similar rows that were both kept."""

    crossing: int = 0
    """Dropped rows whose twin is in another of the splits that the data brings along."""

    ties: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of rows that were kept and belong together."""


@dataclass(frozen=True)
class Settlement:
    """Everything decided about the rows as a whole."""

    repeats: Repeats
    class_field: str | None
    split: Split


def settle(books: Books, run: ActiveRun, crew: Crew) -> Settlement:
    """Drop duplicates from the store, then share the rows out."""
    run.stage("finding duplicates")
    store, found = books.store, Repeats()
    _drop_equal(books, found)
    pairs = _candidates(store, books.plan.request.near_duplicate_threshold)
    assert books.near_template is not None
    portions = comparisons(pairs, store.line, books.near_template)
    for done, similar in enumerate(crew.map(Worker.compare, portions), start=1):
        run.raise_if_stopped()
        _drop_similar(books, found, similar)
        run.progress(done, -(-len(pairs) // PAIRS_AT_ONCE), "portions", f"comparing {len(pairs):,} pairs")
    run.stage("splitting and writing")
    of_class = class_field(books.plan.request, books.tally, store)
    return Settlement(found, of_class, split(books.plan.request, store, found.ties, strata(of_class, store)))


def _candidates(store: Store, threshold: float) -> NDArray[np.int64]:
    """Pairs of rows that are left and may be similar; their signatures go."""
    signatures = store.column("signature")[store.kept]
    store.release("signature")
    return store.kept_rows[candidates(signatures, threshold)]


def _drop_equal(books: Books, found: Repeats) -> None:
    """Of equal rows the first is kept; all with dedup: off."""
    plan, store = books.plan, books.store
    entries = Entries(hide=False)  # rows in the store went through redaction
    drops = plan.request.dedup != "off" and "duplicate" not in plan.restored_rules
    for first, later in repeats(store.column("content")):
        if drops and not _restored(store, later):
            _drop(store, entries, later, "duplicate", store.row_id(first))
            found.crossing += _crosses(store, first, later)
        else:
            found.equal_kept += 1
            found.ties.append((first, later))
    books.ledger.take(entries)


def _drop_similar(books: Books, found: Repeats, similar: Iterable[Likeness]) -> None:
    """Of rows alike in question and answer the first is kept; others are tied together so that no split parts them."""
    plan, store = books.plan, books.store
    entries = Entries(hide=False)
    drops = plan.request.dedup == "near" and "near_duplicate" not in plan.restored_rules
    for one in similar:
        if not (store.kept[one.earlier] and store.kept[one.later]):
            continue
        is_equal = (store.column("content")[one.earlier] == store.column("content")[one.later]).all()
        if drops and one.of_both_sides and not is_equal and not _restored(store, one.later):
            matched = {"row_id": store.row_id(one.earlier), "similarity": round(one.similarity, 4)}
            _drop(store, entries, one.later, "near_duplicate", matched)
            found.similar_dropped += 1
            found.crossing += _crosses(store, one.earlier, one.later)
        else:
            found.similar_kept += 1
            found.ties.append((one.earlier, one.later))
    books.ledger.take(entries)


def _drop(store: Store, entries: Entries, index: int, rule: str, matched: object) -> None:
    store.kept[index] = False
    entries.drop_line(store.place(index), rule, store.line(index), matched)


def _restored(store: Store, index: int) -> bool:
    return "restored" in store and bool(store.column("restored")[index])


def _crosses(store: Store, one: int, other: int) -> bool:
    given = store.column("given")
    return bool(given[one] and given[other] and given[one] != given[other])


def duplicate_checks(request: PrepareRequest, found: Repeats) -> list[Check]:
    """What repeats something and was left, and what was not."""
    checks = [_similar_check(request, found)]
    if found.equal_kept:
        details = f"{counted(found.equal_kept, 'row')} equal to an earlier one, kept beside their twins"
        step = "Use dedup: near, without restoring them."
        checks.append(Check(name="Duplicates", status="warn", details=details, count=found.equal_kept, next_step=step))
    if found.crossing:
        details = f"{counted(found.crossing, 'row')} stood, equal or similar, in both of the given splits; "
        details += "the later one was dropped. Scores measured on the old split were too good"
        step = "Evaluate earlier models anew on the new valid.jsonl."
        checks.append(Check(name="Given Splits", status="warn", details=details, count=found.crossing, next_step=step))
    return checks


def _similar_check(request: PrepareRequest, found: Repeats) -> Check:
    name, threshold = "Near Duplicates", request.near_duplicate_threshold
    if request.dedup == "near":
        details = f"{counted(found.similar_dropped, 'row')} dropped at a similarity of {threshold:g} or more"
        if found.similar_kept:
            pairs = counted(found.similar_kept, "similar pair")
            details += f"; {pairs} asking or answering something else, each kept in one split"
        return Check(name=name, status="pass", details=details, count=found.similar_dropped)
    details = f"{counted(found.similar_kept, 'pair')} at a similarity of {threshold:g} or more, each kept in one split"
    status = "warn" if found.similar_kept else "pass"
    step = "Use dedup: near to drop them." if found.similar_kept else None
    return Check(name=name, status=status, details=details, count=found.similar_kept, next_step=step)
