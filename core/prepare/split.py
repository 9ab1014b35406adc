"""Training and validation rows, so that nothing leaks from one to the other.

Rows that belong together (equal or similar ones, the same question, the same `group_by` value) form a cluster, and a
cluster is never parted. Classes keep their share in both splits as far as whole clusters allow. Splits that the data
brings along are kept as they are, and what leaks between them is counted.
"""

import itertools
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checks import Check
from .given import VALID, given_splits
from .request import PrepareRequest
from .store import Store
from .wording import counted

MAX_QUESTION_SHARE = 0.02  # a question that more rows ask than this is a fixed instruction, not a question
MAX_QUESTION_ROWS = 5
FEW = 20  # validation rows below which a loss says little

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Which rows go where, and what belonged together."""

    valid: NDArray[np.bool_]
    """For each row of the store whether it is for validation."""

    cluster: Rows
    """For each row of the store the number of its cluster: that of its first row."""

    wanted: int
    """Validation rows that were asked for."""

    given: bool
    """Whether the data brought its splits along."""


def split(request: PrepareRequest, store: Store, ties: Iterable[tuple[int, int]], strata: NDArray[np.uint64]) -> Split:
    """Choose the validation rows by the seed: as many as asked, each class at its share, clusters whole.

    Args:
        ties: Pairs of rows that must not be parted, beside those with the same question or group.
        strata: For each row of the store a number for its class.
    """
    cluster = _clusters(store, [*ties])
    rows = store.kept_count
    wanted = round(rows * request.valid_fraction)
    if request.valid_fraction and rows >= 2:
        wanted = min(max(wanted, 1), rows - 1)
    if request.keeps_given_splits and given_splits(store.column("given")[store.kept]):
        valid = (store.column("given") == VALID) & store.kept
        return Split(valid, cluster, int(valid.sum()), given=True)
    chooser = np.random.default_rng(request.seed)
    valid = np.zeros(len(store), dtype=bool)
    kept = store.kept_rows
    firsts, sizes = np.unique(cluster[kept], return_counts=True)
    chosen = _chosen(firsts, sizes, strata, wanted, chooser)
    valid[kept] = np.isin(cluster[kept], chosen)
    return Split(valid, cluster, wanted, given=False)


def _chosen(firsts: Rows, sizes: Rows, strata: NDArray[np.uint64], wanted: int, chooser: np.random.Generator) -> Rows:
    """The clusters for validation: from each class its share, the rest from wherever something still fits."""
    order = chooser.permutation(len(firsts))
    classes, of_class = np.unique(strata[firsts], return_inverse=True)
    totals = np.bincount(of_class, weights=sizes, minlength=len(classes)).astype(np.int64)
    chosen = np.zeros(len(firsts), dtype=bool)
    quotas = _quotas(totals, wanted)
    by_class = order[np.argsort(of_class[order], kind="stable")]
    bounds = np.searchsorted(of_class[by_class], np.arange(len(classes) + 1))
    for i, quota in enumerate(quotas.tolist()):
        _fill(chosen, by_class[bounds[i] : bounds[i + 1]], sizes, quota)
    _fill(chosen, order, sizes, wanted - int(sizes[chosen].sum()))
    return firsts[chosen]


def _quotas(sizes: Rows, wanted: int) -> Rows:
    """`wanted` shared out in proportion to the sizes, by largest remainder."""
    exact = sizes * wanted / max(int(sizes.sum()), 1)
    quotas = exact.astype(np.int64)
    by_remainder = np.argsort(quotas - exact, kind="stable")
    quotas[by_remainder[: wanted - int(quotas.sum())]] += 1
    return quotas


def _fill(chosen: NDArray[np.bool_], candidates: Rows, sizes: Rows, room: int) -> None:
    """Choose clusters in order while they fit."""
    for at in candidates.tolist():
        if room <= 0:
            return
        if not chosen[at] and sizes[at] <= room:
            chosen[at] = True
            room -= int(sizes[at])


def _clusters(store: Store, ties: Sequence[tuple[int, int]]) -> Rows:
    """For each row of the store the first row of its cluster."""
    parents = array("q", range(len(store)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for one, other in _all_ties(store, ties):
        if store.kept[one] and store.kept[other]:
            low, high = sorted((root(one), root(other)))
            parents[high] = low
    found = np.array(parents, dtype=np.int64)
    while not np.array_equal(found, found[found]):
        found = found[found]
    return found


def _all_ties(store: Store, ties: Sequence[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    yield from ties
    if "group" in store:
        yield from _same(store, "group", limit=None)
    yield from _same(store, "question", max(MAX_QUESTION_ROWS, int(MAX_QUESTION_SHARE * store.kept_count)))


def _same(store: Store, name: str, limit: int | None) -> Iterable[tuple[int, int]]:
    """Neighbouring kept rows with equal digests, 0 aside; digests that more than `limit` rows have do not tie."""
    kept = store.kept_rows
    digests = store.column(name)[kept]
    order = np.argsort(digests, kind="stable")
    _, starts, sizes = np.unique(digests[order], return_index=True, return_counts=True)
    tied = (sizes > 1) & (digests[order[starts]] != 0) & (True if limit is None else sizes <= limit)
    for start, size in zip(starts[tied].tolist(), sizes[tied].tolist(), strict=True):
        own = kept[order[start : start + size]].tolist()
        yield from itertools.pairwise(own)


def split_checks(request: PrepareRequest, store: Store, found: Split) -> list[Check]:
    """Whether anything leaks, and whether the sizes are as asked."""
    kept = store.kept_rows
    firsts, of_cluster, sizes = np.unique(found.cluster[kept], return_inverse=True, return_counts=True)
    in_valid = np.bincount(of_cluster, weights=found.valid[kept], minlength=len(firsts)).astype(np.int64)
    parted, several = (in_valid > 0) & (in_valid < sizes), sizes > 1
    return [_leak_check(found, in_valid, parted, sizes, several), *_size_check(request, found)]


def _leak_check(
    found: Split, in_valid: Rows, parted: NDArray[np.bool_], sizes: Rows, several: NDArray[np.bool_]
) -> Check:
    together, clusters, leaks = int(sizes[several].sum()), int(several.sum()), int(parted.sum())
    if found.given and leaks:
        rows = int(in_valid[parted].sum())
        details = f"{counted(rows, 'row')} of the given validation split asking the same as, or similar to, rows for "
        details += "training; both kept where they were"
        step = "Split anew with another valid_fraction, or drop these rows."
        return Check(name="Split Leakage", status="warn", details=details, count=rows, next_step=step)
    details = f"{counted(leaks, 'cluster')} parted" if leaks else "nothing leaks"
    if together:
        details += f"; {counted(together, 'row')} with the same question, similar text or group stay together"
        details += f" in {counted(clusters, 'cluster')}"
    return Check(name="Split Leakage", status="fail" if leaks else "pass", details=details, count=leaks)


def _size_check(request: PrepareRequest, found: Split) -> list[Check]:
    count = int(found.valid.sum())
    if count == found.wanted and (count >= FEW or not request.valid_fraction):
        return []
    few = count < FEW
    details = f"{counted(count, 'validation row')}, {found.wanted:,} asked for"
    details += f"; below {FEW} a validation loss says little" if few else ": clusters are kept whole"
    step = "Add data, raise valid_fraction, or evaluate on a test set of its own." if few else None
    return [Check(name="Split Size", status="warn", details=details, count=count, next_step=step)]
