"""MinHash signatures of rows: the few numbers by which similar rows meet, and those that tell how alike they may be.

Rows are compared by their word triples, question and answer together, system messages aside. Triples that stand in a
fifth of all rows are a template, not content, and do not count.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..examples.turns import call_text
from ..examples.types import CompletionExample, Example, Message
from .shingles import Hashes, ShingleBatch, without

PERMUTATIONS = 64
RECALL = 0.99  # of pairs just at the threshold that share a band, from which the rows in a band follow
SAMPLE_ROWS = 2_000  # to find the template in
TEMPLATE_SHARE = 0.2
TEMPLATE_ROWS = 20
KINDS = {1: np.uint32, 2: np.uint16, 4: np.uint8, 8: np.uint8, 16: np.uint8}  # so that a band has 32 bits or more
BAND_MULTIPLIERS = np.array((1, 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D), dtype=np.uint32)  # odd; primes of xxHash32
HASH_MULTIPLIERS = np.random.default_rng(0x5167).integers(1, 1 << 63, PERMUTATIONS, dtype=np.uint64) * 2 + 1

Signatures = NDArray[np.unsignedinteger[Any]]  # a row of PERMUTATIONS numbers for each row


@dataclass(frozen=True, slots=True)
class Compared:
    """The two sides of an example that are compared."""

    question: str
    answer: str

    @property
    def text(self) -> str:
        """Both together."""
        return f"{self.question}\n{self.answer}"


def compared(example: Example) -> Compared:
    """What was asked and what was answered, all turns of each together; a rejected answer counts as well."""
    if isinstance(example, CompletionExample):
        return Compared(example.prompt, "\n".join(filter(None, (example.completion, example.rejected))))
    turns = example.messages + (example.rejected.turns if example.rejected else ())
    return Compared(_said(turns, ("user", "tool")), _said(turns, ("assistant",)))


def _said(turns: Sequence[Message], roles: tuple[str, ...]) -> str:
    texts = []
    for message in turns:
        if message.role in roles:
            texts.append(message.content)
            if message.tool_calls:
                texts.append(call_text(message.tool_calls))
    return "\n".join(texts)


@dataclass(frozen=True, slots=True)
class Template:
    """Triples that stand in very many rows."""

    triples: Hashes
    """Sorted."""

    @classmethod
    def of(cls, batches: Sequence[ShingleBatch]) -> "Template":
        """What is in at least TEMPLATE_SHARE of the rows; nothing when the rows are few."""
        each = [np.unique(batch.of(i)) for batch in batches for i in range(len(batch.offsets) - 1)]
        if not each:
            return cls(np.empty(0, dtype=np.uint64))
        values, counts = np.unique(np.concatenate(each), return_counts=True)
        return cls(values[counts >= max(TEMPLATE_ROWS, TEMPLATE_SHARE * len(each))])


def rows_in_a_band(threshold: float) -> int:
    """The most signature rows a band may have for pairs at the threshold to share one with probability RECALL.

    P(share a band) = 1 - (1 - threshold^rows)^bands (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, 3.4).
    """
    fitting = [r for r in (1, 2, 4, 8, 16) if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= RECALL]
    return fitting[-1] if fitting else 1


def least_agreement(threshold: float) -> int:
    """In how many permutations two rows at the threshold agree at least.

    Agreement is binomial, with the similarity as its chance (Broder 1997). Four standard deviations below its mean is
    less than one in 2,000 such pairs, whatever the threshold.
    """
    return math.floor(PERMUTATIONS * threshold - 4 * math.sqrt(PERMUTATIONS * threshold * (1 - threshold)))


def sign(batch: ShingleBatch, template: Template, threshold: float) -> Signatures:
    """For each row the low bits of its least hashes, from what it has beside the template; 0 for nothing."""
    return _min_hashes(without(batch, template.triples)).astype(KINDS[rows_in_a_band(threshold)])


def bands(signatures: Signatures, threshold: float) -> Iterator[NDArray[np.uint32]]:
    """One number a row, for each band in turn; rows that are alike are equal in at least one. 0 means no content."""
    words = signatures.view(np.uint32)
    width = max(1, rows_in_a_band(threshold) * signatures.itemsize // words.itemsize)
    for first in range(0, words.shape[1], width):
        with np.errstate(over="ignore"):
            yield (words[:, first : first + width] * BAND_MULTIPLIERS[:width]).sum(axis=1, dtype=np.uint32)


def _min_hashes(batch: ShingleBatch) -> NDArray[np.uint32]:
    """For each row the least value of its triples under each of PERMUTATIONS hash functions.

    Multiply-shift hashing (Dietzfelbinger et al. 1997) of values that are well mixed already. In numpy it is as quick
    as the compiled libraries, and unlike theirs it starts no threads, which would not survive the fork of a worker.
    """
    rows = len(batch.offsets) - 1
    signature = np.zeros((rows, PERMUTATIONS), dtype=np.uint32)
    filled = np.flatnonzero(np.diff(batch.offsets))
    if len(filled):
        starts = batch.offsets[filled]
        with np.errstate(over="ignore"):
            for i, multiplier in enumerate(HASH_MULTIPLIERS):
                values = ((batch.hashes * multiplier) >> np.uint64(32)).astype(np.uint32)
                signature[filled, i] = np.minimum.reduceat(values, starts)
    return signature
