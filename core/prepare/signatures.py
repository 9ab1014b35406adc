"""MinHash signatures of rows, as the few numbers by which similar rows meet.

Rows are compared by their word triples, question and answer together, system messages aside. Triples that stand in a
fifth of all rows are a template, not content, and do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
BAND_MULTIPLIERS = np.random.default_rng(0xBA2D).integers(1, 1 << 63, 64, dtype=np.uint64) | np.uint64(1)
HASH_MULTIPLIERS = np.random.default_rng(0x5167).integers(1, 1 << 63, PERMUTATIONS, dtype=np.uint64) * 2 + 1


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


def bands(batch: ShingleBatch, template: Template, threshold: float) -> NDArray[np.uint32]:
    """For each row one number a band; rows that are alike are equal in at least one. 0 means no content of its own."""
    own = without(batch, template.triples)
    signature = _min_hashes(own)
    width = rows_in_a_band(threshold)
    parts = signature.reshape(len(signature), PERMUTATIONS // width, width).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = ((parts + np.uint64(1)) * BAND_MULTIPLIERS[:width]).sum(axis=2, dtype=np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * BAND_MULTIPLIERS[-1]
    short = np.maximum(mixed >> np.uint64(32), np.uint64(1)).astype(np.uint32)
    short[np.diff(own.offsets) == 0] = 0
    return short


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
