"""Near duplicates: MinHash proposes pairs that share a band and enough of a signature, the exact similarity decides.

Two rows are near duplicates when their word triples have a Jaccard similarity of at least the threshold, and both
their questions and their answers share at least half of their words: the same review with another label, or another
question with the same stock answer, is no duplicate. Where the answers are no longer than a label, the sentences in
which the questions differ must share half of their words, too: two questions about one long passage are no duplicates.
Neither are rows with other tools or other calls: what is learned there is to tell them apart.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ..examples.dialects import read_record
from ..examples.types import CompletionExample, Example
from .shingles import shingle, without, word_sets
from .signatures import Compared, Signatures, Template, bands, compared, least_agreement

WORDS_IN_COMMON = 0.5
LABEL_WORDS = 4
SENTENCE_END = re.compile(r"[.?!\n]+\s*")
MAX_LEADERS = 10  # of one bucket; keeps many rows alike in one band from costing their square
PAIRS_AT_ONCE = 500
AGREEMENTS_AT_ONCE = 1 << 14  # 1 to 4 MB of signatures on either side

Words = frozenset[int]  # hashed


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows to be compared, on their way to a worker."""

    rows: NDArray[np.int64]
    """Their places in the store."""
    lines: list[bytes]
    """The rows as JSON."""
    pairs: NDArray[np.int64]
    """Pairs (earlier, later) of places in `rows`."""
    template: Template
    """What all rows share."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two rows that are similar."""

    earlier: int
    """Place in the store."""
    later: int
    similarity: float
    """Jaccard similarity of the word triples, 0 to 1."""
    of_both_sides: bool
    """Whether questions and answers are each alike, not only the two together."""


def comparisons(pairs: NDArray[np.int64], line: Callable[[int], bytes], template: Template) -> Iterator[Comparison]:
    """The pairs in portions, each with the rows that it needs."""
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        portion = pairs[start : start + PAIRS_AT_ONCE]
        rows = np.unique(portion)
        yield Comparison(rows, [line(int(index)) for index in rows], np.searchsorted(rows, portion), template)


def alike(comparison: Comparison, threshold: float) -> list[Likeness]:
    """The pairs at or above the threshold."""
    examples = [read_record(orjson.loads(line)) for line in comparison.lines]
    sides = [compared(example) for example in examples]
    own = without(shingle([side.text for side in sides]), comparison.template.triples)
    triples = [frozenset(own.of(i).tolist()) for i in range(len(sides))]
    near = [
        (first, second, similarity)
        for first, second in comparison.pairs.tolist()
        if (similarity := _jaccard(triples[first], triples[second])) >= threshold
    ]
    words = _words_of_sides(sides, {place for first, second, _ in near for place in (first, second)})
    rows = comparison.rows.tolist()
    return [
        Likeness(
            rows[first],
            rows[second],
            similarity,
            _tools_of(examples[first]) == _tools_of(examples[second])
            and _alike_on_both_sides(sides, words, first, second),
        )
        for first, second, similarity in near
    ]


def _jaccard(one: Words, other: Words) -> float:
    """The share of what both have in what either has; 0 where one has nothing."""
    common = len(one & other)
    return common / (len(one) + len(other) - common) if common else 0.0


def _words_of_sides(sides: Sequence[Compared], places: Iterable[int]) -> dict[int, tuple[Words, Words]]:
    """The words of the questions and answers at some places."""
    order = list(places)
    words = word_sets([text for place in order for text in (sides[place].question, sides[place].answer)])
    return dict(zip(order, zip(words[::2], words[1::2], strict=True), strict=True))


def _tools_of(example: Example) -> tuple[Any, list[Any]]:
    """The definitions and the calls of a row."""
    if isinstance(example, CompletionExample):
        return None, []
    return example.fields.get("tools"), [message.tool_calls for message in example.messages if message.tool_calls]


def _alike_on_both_sides(
    sides: Sequence[Compared], words: Mapping[int, tuple[Words, Words]], first: int, second: int
) -> bool:
    if min(map(_in_common, words[first], words[second])) < WORDS_IN_COMMON:
        return False
    one, other = sides[first], sides[second]
    if max(len(one.answer.split()), len(other.answer.split())) > LABEL_WORDS:
        return True
    return _in_common(*word_sets(_differing(one.question, other.question))) >= WORDS_IN_COMMON


def _in_common(one: Words, other: Words) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0


def _differing(one: str, other: str) -> tuple[str, str]:
    """The sentences of each text that the other does not have; twice nothing when one only adds to the other."""
    sentences, others = SENTENCE_END.split(one), SENTENCE_END.split(other)
    left = " ".join(sentence for sentence in sentences if sentence not in others)
    right = " ".join(sentence for sentence in others if sentence not in sentences)
    return (left, right) if left.strip() and right.strip() else ("", "")


def candidates(signatures: Signatures, threshold: float) -> NDArray[np.int64]:
    """Pairs (earlier, later) of rows that share a band and agree often enough, each once, by the later row."""
    rows, least = len(signatures), least_agreement(threshold)
    found = np.empty(0, dtype=np.int64)  # a pair is one number: later * rows + earlier
    for band in bands(signatures, threshold):
        found = np.unique(np.concatenate([found, *_pairs(band)]))
    kept = [pairs[_agreement(signatures, pairs) >= least] for pairs in _portions(found, rows)]
    return np.concatenate(kept) if kept else found.reshape(0, 2)


def _portions(found: NDArray[np.int64], rows: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(found), AGREEMENTS_AT_ONCE):
        portion = found[start : start + AGREEMENTS_AT_ONCE]
        yield np.stack([portion % rows, portion // rows], axis=1)


def _agreement(signatures: Signatures, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """In how many permutations the two of each pair agree."""
    return (signatures[pairs[:, 0]] == signatures[pairs[:, 1]]).sum(axis=1)


def _pairs(band: NDArray[np.uint32]) -> Iterator[NDArray[np.int64]]:
    """Every row of a bucket with each of the bucket's first rows."""
    order = np.argsort(band, kind="stable")
    order = order[np.searchsorted(band[order], 1) :]  # 0 is no content: meets nothing
    starts = np.flatnonzero(np.diff(band[order], prepend=0))
    sizes = np.diff(np.append(starts, len(order)))
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    for leader in range(min(MAX_LEADERS, int(sizes.max(initial=0)))):
        later = np.flatnonzero(place > leader)
        yield order[later] * len(band) + order[later - place[later] + leader]
