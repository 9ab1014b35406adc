"""Training and validation rows, so that nothing leaks from one to the other.

Rows that belong together (equal or similar ones, the same question, the same `group_by` value) form a cluster, and a
cluster is never parted. Classes keep their share in both splits as far as whole clusters allow.
"""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..checks import Check
from .job import Job
from .store import Store
from .wording import counted

MAX_QUESTION_SHARE = 0.02  # a question that more rows ask than this is a fixed instruction, not a question
MAX_QUESTION_ROWS = 5
FEW = 20  # validation rows below which a loss says little


@dataclass(frozen=True, slots=True)
class Split:
    """Which of the kept rows go where, and what the clusters were."""

    valid: frozenset[int]
    """Rows for validation; all other kept rows are for training."""

    clusters: tuple[tuple[int, ...], ...]
    """Rows that belong together, those of more than one row only."""

    wanted: int
    """Validation rows that were asked for."""


def split(job: Job, strata: Sequence[int]) -> Split:
    """Choose the validation rows by the seed: as many as asked, each class at its share, clusters whole."""
    store, request = job.store, job.request
    clusters = _clusters(store)
    rows = store.kept_count
    wanted = round(rows * request.valid_fraction)
    if request.valid_fraction and rows >= 2:
        wanted = min(max(wanted, 1), rows - 1)
    chooser = random.Random(request.seed)
    by_class: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for cluster in clusters:
        by_class[strata[cluster[0]]].append(cluster)
    valid: set[int] = set()
    left: list[tuple[int, ...]] = []
    for code, quota in _quotas({code: sum(map(len, own)) for code, own in sorted(by_class.items())}, wanted).items():
        own = by_class[code]
        chooser.shuffle(own)
        left += _fill(valid, own, quota)
    chooser.shuffle(left)
    _fill(valid, left, wanted - len(valid))
    return Split(frozenset(valid), tuple(cluster for cluster in clusters if len(cluster) > 1), wanted)


def _quotas(sizes: dict[int, int], wanted: int) -> dict[int, int]:
    """`wanted` shared out in proportion to the sizes, by largest remainder."""
    total = sum(sizes.values()) or 1
    exact = {code: size * wanted / total for code, size in sizes.items()}
    quotas = {code: int(share) for code, share in exact.items()}
    by_remainder = sorted(sizes, key=lambda code: (quotas[code] - exact[code], code))
    for code in by_remainder[: wanted - sum(quotas.values())]:
        quotas[code] += 1
    return quotas


def _fill(valid: set[int], clusters: Iterable[tuple[int, ...]], room: int) -> list[tuple[int, ...]]:
    """Put clusters into `valid` while they fit; gives back those that did not."""
    left = []
    for cluster in clusters:
        if len(cluster) <= room:
            valid.update(cluster)
            room -= len(cluster)
        else:
            left.append(cluster)
    return left


def _clusters(store: Store) -> list[tuple[int, ...]]:
    """The kept rows as clusters, in the order of their first rows."""
    parents = {index: index for index in store.kept()}

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for one, other in _ties(store):
        if one in parents and other in parents:
            low, high = sorted((root(one), root(other)))
            parents[high] = low
    members: dict[int, list[int]] = defaultdict(list)
    for index in parents:
        members[root(index)].append(index)
    return [tuple(own) for own in members.values()]


def _ties(store: Store) -> Iterable[tuple[int, int]]:
    """Pairs of rows that must not be parted."""
    yield from store.links
    yield from _same(store.groups, store, limit=None)
    limit = max(MAX_QUESTION_ROWS, int(MAX_QUESTION_SHARE * store.kept_count))
    yield from _same(store.digests, store, limit)


def _same(digests: Sequence[int], store: Store, limit: int | None) -> Iterable[tuple[int, int]]:
    """Neighbouring rows with equal digests, 0 aside; digests that more than `limit` rows have do not tie."""
    rows: dict[int, list[int]] = defaultdict(list)
    for index in store.kept():
        if digests[index]:
            rows[digests[index]].append(index)
    for own in rows.values():
        if limit is None or len(own) <= limit:
            yield from itertools.pairwise(own)


def split_checks(job: Job, found: Split) -> list[Check]:
    """Whether anything leaks, and whether the sizes are as asked."""
    parted = sum(0 < sum(index in found.valid for index in cluster) < len(cluster) for cluster in found.clusters)
    together = sum(map(len, found.clusters))
    details = f"{counted(parted, 'cluster')} parted" if parted else "nothing leaks"
    if together:
        details += f"; {counted(together, 'row')} with the same question, similar text or group stay together"
        details += f" in {counted(len(found.clusters), 'cluster')}"
    checks = [Check(name="Split Leakage", status="fail" if parted else "pass", details=details, count=parted)]
    if len(found.valid) == found.wanted and (found.wanted >= FEW or not job.request.valid_fraction):
        return checks
    few = len(found.valid) < FEW
    details = f"{counted(len(found.valid), 'validation row')}, {found.wanted:,} asked for"
    details += f"; below {FEW} a validation loss says little" if few else ": clusters are kept whole"
    step = "Add data, raise valid_fraction, or evaluate on a test set of its own." if few else None
    return [*checks, Check(name="Split Size", status="warn", details=details, count=len(found.valid), next_step=step)]
