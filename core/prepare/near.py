"""Near duplicates: MinHash proposes pairs, the exact Jaccard similarity decides.

Two rows are near duplicates when their word triples (question and answer together, system messages aside) have a
Jaccard similarity of at least the threshold, and both their questions and their answers share at least half of their
words: the same review with another label, or another question with the same stock answer, is no duplicate. Where the
answers are no longer than a label, the sentences in which the questions differ must share half of their words, too:
two questions about one long passage are no duplicates.
Triples that stand in a fifth of all rows are a template, not content, and do not count.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray

from ..checks import Check
from ..examples.dialects import read_record
from ..examples.types import ChatExample, CompletionExample, Example
from .job import Job
from .row import Row
from .shingles import Hashes, ShingleBatch, shingle, without, word_hashes
from .wording import counted

PERMUTATIONS = 64
RECALL = 0.99  # of pairs just at the threshold that share a band, from which the rows in a band follow
SAMPLE_ROWS = 2_000  # to find the template in
TEMPLATE_SHARE = 0.2
TEMPLATE_ROWS = 20
WORDS_IN_COMMON = 0.5
LABEL_WORDS = 4
SENTENCE_END = re.compile(r"[.?!\n]+\s*")
MAX_LEADERS = 10  # of one bucket; keeps many rows alike in one band from costing their square
PAIRS_AT_ONCE = 4_000
BAND_MULTIPLIERS = np.random.default_rng(0xBA2D).integers(1, 1 << 63, 64, dtype=np.uint64) | np.uint64(1)


@dataclass(frozen=True, slots=True)
class Compared:
    """The two sides of an example that are compared."""

    question: str
    answer: str


def compared(example: Example) -> Compared:
    """What was asked and what was answered, all turns of each together."""
    if isinstance(example, CompletionExample):
        return Compared(example.prompt, example.completion)
    return Compared(_said(example, ("user", "tool")), _said(example, ("assistant",)))


def _said(example: ChatExample, roles: tuple[str, ...]) -> str:
    texts = []
    for message in example.messages:
        if message.role in roles:
            texts.append(message.content)
            texts += [str(call.get("function", call)) for call in message.tool_calls or ()]
    return "\n".join(texts)


def rows_in_a_band(threshold: float) -> int:
    """The most signature rows a band may have for pairs at the threshold to share one with probability RECALL.

    P(share a band) = 1 - (1 - threshold^rows)^bands (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, 3.4).
    """
    fitting = [r for r in (1, 2, 4, 8, 16) if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= RECALL]
    return fitting[-1] if fitting else 1


@dataclass
class NearDuplicates:
    """The step that collects signatures as rows come by, and then finds the pairs."""

    job: Job
    dropped: int = 0
    linked: int = 0
    _template: Hashes | None = None
    _waiting: list[ShingleBatch] = field(default_factory=list)
    _waiting_rows: int = 0
    _bands: list[NDArray[np.uint64]] = field(default_factory=list)

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Sign the rows; none is dropped yet."""
        if rows:
            batch = shingle([_text(compared(row.example)) for row in rows])
            if self._template is None:
                self._waiting.append(batch)
                self._waiting_rows += len(rows)
                if self._waiting_rows >= SAMPLE_ROWS:
                    self._sign_waiting()
            else:
                self._bands.append(self._signed(batch))
        return rows

    def _sign_waiting(self) -> None:
        self._template = _frequent(self._waiting, self._waiting_rows)
        self._bands += [self._signed(batch) for batch in self._waiting]
        self._waiting = []

    def _signed(self, batch: ShingleBatch) -> NDArray[np.uint64]:
        """For each row one hash a band; rows without content of their own get hashes that nothing shares."""
        from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue] - compiled, without stubs

        assert self._template is not None
        own = without(batch, self._template)
        seed = self.job.request.seed
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            own.hashes, own.offsets.astype(np.uint64), PERMUTATIONS, seed
        )
        signature = np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(own.offsets) - 1, -1)
        width = rows_in_a_band(self.job.request.near_duplicate_threshold)
        parts = signature.reshape(len(signature), PERMUTATIONS // width, width)
        with np.errstate(over="ignore"):
            bands = ((parts + np.uint64(1)) * BAND_MULTIPLIERS[:width]).sum(axis=2, dtype=np.uint64)
            bands = (bands ^ (bands >> np.uint64(29))) * BAND_MULTIPLIERS[-1]
        empty = np.flatnonzero(np.diff(own.offsets) == 0)
        bands[empty] = np.random.default_rng([seed, len(self._bands)]).integers(
            0, 1 << 64, (len(empty), bands.shape[1]), dtype=np.uint64
        )
        return bands

    def find(self, on_each_part: Callable[[], None]) -> None:
        """Drop near duplicates (dedup: near), or tie them together so that no split parts them."""
        if self._template is None and self._waiting:
            self._sign_waiting()
        if not self._bands:
            return
        pairs = _candidates(np.concatenate(self._bands))
        self._bands = []
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            on_each_part()
            self._decide(pairs[start : start + PAIRS_AT_ONCE])

    def _decide(self, pairs: NDArray[np.int64]) -> None:
        store = self.job.store
        needed = np.unique(pairs)
        sides = [compared(_stored(store.line(int(index)))) for index in needed]
        assert self._template is not None
        own = without(shingle([_text(side) for side in sides]), self._template)
        sets = [np.unique(own.of(i)) for i in range(len(sides))]
        for first, second in np.searchsorted(needed, pairs):
            earlier, later = int(needed[first]), int(needed[second])
            if earlier in store.removed or later in store.removed:
                continue
            similarity = _jaccard(sets[first], sets[second])
            if similarity >= self.job.request.near_duplicate_threshold:
                self._found(earlier, later, _Likeness(similarity, sides[first], sides[second]))

    def _found(self, earlier: int, later: int, likeness: "_Likeness") -> None:
        store, job = self.job.store, self.job
        if job.request.dedup == "near" and likeness.of_both_sides:
            store.removed.add(later)
            self.dropped += 1
            matched = {"row_id": store.place(earlier).row_id, "similarity": round(likeness.similarity, 4)}
            job.ledger.drop(store.place(later), "near_duplicate", orjson.loads(store.line(later)), matched)
        else:
            store.links.append((earlier, later))
            self.linked += 1

    def checks(self) -> list[Check]:
        """What was found above the threshold."""
        threshold = self.job.request.near_duplicate_threshold
        if self.job.request.dedup == "near":
            details = f"{counted(self.dropped, 'row')} dropped at a similarity of {threshold:g} or more"
            if self.linked:
                pairs = counted(self.linked, "similar pair")
                details += f"; {pairs} asking or answering something else, each kept in one split"
            return [Check(name="Near Duplicates", status="pass", details=details, count=self.dropped)]
        details = f"{counted(self.linked, 'pair')} at a similarity of {threshold:g} or more, each kept in one split"
        status = "warn" if self.linked else "pass"
        step = "Use dedup: near to drop them." if self.linked else None
        return [Check(name="Near Duplicates", status=status, details=details, count=self.linked, next_step=step)]


@dataclass(frozen=True, slots=True)
class _Likeness:
    similarity: float
    earlier: Compared
    later: Compared

    @property
    def of_both_sides(self) -> bool:
        """Whether questions and answers are each alike, not only the two together."""
        one, other = self.earlier, self.later
        alike = [_in_common(one.question, other.question), _in_common(one.answer, other.answer)]
        if max(len(one.answer.split()), len(other.answer.split())) <= LABEL_WORDS:
            alike.append(_in_common(*_differing(one.question, other.question)))
        return min(alike) >= WORDS_IN_COMMON


def _in_common(one: str, other: str) -> float:
    words, others = word_hashes(one), word_hashes(other)
    return len(words & others) / len(words | others) if words or others else 1.0


def _differing(one: str, other: str) -> tuple[str, str]:
    """The sentences of each text that the other does not have; twice nothing when one only adds to the other."""
    sentences, others = SENTENCE_END.split(one), SENTENCE_END.split(other)
    left = " ".join(sentence for sentence in sentences if sentence not in others)
    right = " ".join(sentence for sentence in others if sentence not in sentences)
    return (left, right) if left.strip() and right.strip() else ("", "")


def _text(side: Compared) -> str:
    return f"{side.question}\n{side.answer}"


def _stored(line: bytes) -> Example:
    return read_record(orjson.loads(line))


def _jaccard(one: Hashes, other: Hashes) -> float:
    if not len(one) or not len(other):
        return 0.0
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def _frequent(batches: list[ShingleBatch], rows: int) -> Hashes:
    """Triples in at least TEMPLATE_SHARE of the rows, sorted; none when the rows are few."""
    least = max(TEMPLATE_ROWS, TEMPLATE_SHARE * rows)
    each = [np.unique(batch.of(i)) for batch in batches for i in range(len(batch.offsets) - 1)]
    values, counts = (
        np.unique(np.concatenate(each), return_counts=True) if each else (np.empty(0, np.uint64), np.empty(0))
    )
    return values[counts >= least]


def _candidates(bands: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Pairs (earlier, later) of rows that share a band, each once, by the later row."""
    rows = len(bands)
    found = [np.empty(0, dtype=np.int64)]  # a pair is one number: later * rows + earlier
    for band in bands.T:
        for bucket in _buckets(band):
            found += [bucket[i + 1 :] * rows + leader for i, leader in enumerate(bucket[:MAX_LEADERS])]
        found = [np.unique(np.concatenate(found))]
    return np.stack([found[0] % rows, found[0] // rows], axis=1)


def _buckets(band: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """Rows with equal hashes, in order; those of more than one row."""
    order = np.argsort(band, kind="stable")
    edges = np.flatnonzero(np.diff(band[order])) + 1
    bounds = np.concatenate([[0], edges, [len(order)]])
    for i in np.flatnonzero(np.diff(bounds) > 1):
        yield order[bounds[i] : bounds[i + 1]]
