"""Texts as sets of word triples, hashed; a whole batch at a time in numpy, since this is where the time goes.

A word is a run of letters and digits, without regard to case; a sign of a script without spaces between words, and a
sign of arithmetic, is a word of its own. Other punctuation does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

SPACE, WORD, SIGN, LEAD, CONTINUED = range(5)
MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 through the golden ratio, odd: so it has an inverse modulo 2^64
INVERSE = pow(MULTIPLIER, -1, 1 << 64)
SHINGLE = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)  # odd constants of splitmix64 and rrmxmx


def _classes() -> NDArray[np.uint8]:
    classes = np.full(256, SPACE, dtype=np.uint8)
    for byte in range(256):
        if (byte < 128 and chr(byte).isalnum()) or 0xC3 <= byte < 0xE0:
            classes[byte] = WORD
        elif chr(byte) in "+-*/=<>%^&|~$#@" and byte < 128:
            classes[byte] = SIGN
        elif byte >= 0xE0:
            classes[byte] = LEAD
        elif 0x80 <= byte < 0xC0:
            classes[byte] = CONTINUED
    return classes


CLASSES = _classes()
LOWER = np.array([byte + 32 if 65 <= byte <= 90 else byte for byte in range(256)], dtype=np.uint8)
BYTE_VALUES = np.random.default_rng(0x5EED).integers(1, 1 << 63, 256, dtype=np.uint64)  # fixed: hashes never change


@dataclass(frozen=True, slots=True)
class ShingleBatch:
    """The hashed word triples of some texts, one after another."""

    hashes: Hashes
    """All triples; a text of one or two words counts as one."""

    offsets: NDArray[np.int64]
    """Text i has the triples from offsets[i] up to offsets[i + 1]."""

    def of(self, index: int) -> Hashes:
        """The triples of one text."""
        return self.hashes[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True, slots=True)
class _Words:
    hashes: Hashes
    offsets: NDArray[np.int64]


def shingle(texts: Sequence[str]) -> ShingleBatch:
    """The word triples of each text."""
    words = _words(texts)
    count = len(words.hashes)
    lengths = np.diff(words.offsets)
    padded = np.concatenate([words.hashes, np.zeros(2, dtype=np.uint64)])
    left = np.repeat(words.offsets[1:], lengths) - np.arange(count)  # words from here to the text's end
    with np.errstate(over="ignore"):
        mixed = padded[:count] * np.uint64(SHINGLE[0])
        mixed = mixed + np.where(left > 1, padded[1 : count + 1] * np.uint64(SHINGLE[1]), 0)
        mixed = mixed + np.where(left > 2, padded[2 : count + 2] * np.uint64(SHINGLE[2]), 0)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(MULTIPLIER)
    begins = np.zeros(count, dtype=bool)
    begins[words.offsets[:-1][lengths > 0]] = True
    keep = (left >= 3) | begins
    return ShingleBatch(mixed[keep], _offsets_after(keep, words.offsets))


def word_sets(texts: Sequence[str]) -> list[frozenset[int]]:
    """The words of each text, hashed."""
    words = _words(texts)
    hashes, bounds = words.hashes.tolist(), words.offsets.tolist()
    return [frozenset(hashes[first:last]) for first, last in pairwise(bounds)]


def without(batch: ShingleBatch, unwanted: Hashes) -> ShingleBatch:
    """The batch without some triples; `unwanted` is sorted."""
    if not len(unwanted):
        return batch
    place = np.minimum(np.searchsorted(unwanted, batch.hashes), len(unwanted) - 1)
    keep = unwanted[place] != batch.hashes
    return ShingleBatch(batch.hashes[keep], _offsets_after(keep, batch.offsets))


def _offsets_after(keep: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(keep)])[offsets]


def _words(texts: Sequence[str]) -> _Words:
    """The words of the texts; a word's hash is its polynomial in MULTIPLIER, cut out of one running sum."""
    encoded = [_bytes(text) for text in texts]
    data = LOWER[np.frombuffer(b"".join(encoded), dtype=np.uint8)]  # every text ends in a space: words never touch
    kinds = CLASSES[data]
    before = np.concatenate([[SPACE], kinds[:-1]]).astype(np.uint8) if len(kinds) else kinds
    filled = kinds != SPACE
    broken = (before == SPACE) | (before == SIGN) | (before == CONTINUED) | (kinds == LEAD) | (kinds == SIGN)
    starts = np.flatnonzero(filled & broken & (kinds != CONTINUED))
    after = np.concatenate([kinds[1:], [SPACE]]) if len(kinds) else kinds
    begins = np.zeros(len(data) + 1, dtype=bool)
    begins[starts] = True
    ends = np.flatnonzero(filled & ((after == SPACE) | begins[1:])) + 1
    starts, ends = _paired(starts, ends)
    powers = _powers(len(data))
    with np.errstate(over="ignore"):
        sums = np.concatenate(
            [np.zeros(1, dtype=np.uint64), np.cumsum(BYTE_VALUES[data] * powers.up[: len(data)], dtype=np.uint64)]
        )
        hashes = (sums[ends] - sums[starts]) * powers.down[starts]
    bounds = np.cumsum([0, *map(len, encoded)])
    return _Words(hashes, np.searchsorted(starts, bounds))


def _paired(starts: NDArray[Any], ends: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Starts with the end that follows each; stray continuation bytes may end what never began."""
    return starts, ends[np.searchsorted(ends, starts, side="right")] if len(starts) else starts


def _bytes(text: str) -> bytes:
    if text.isascii():
        return text.encode("ascii") + b" "
    return text.lower().encode("utf-8", "replace") + b" "


@dataclass(slots=True)
class _Powers:
    up: Hashes
    down: Hashes


_cache = _Powers(np.ones(1, dtype=np.uint64), np.ones(1, dtype=np.uint64))


def _powers(count: int) -> _Powers:
    """MULTIPLIER^0, ^1, ... and their inverses, at least `count` of each; kept, since every batch needs them."""
    if len(_cache.up) < count:
        size = max(2 * count, 1 << 19)
        _cache.up, _cache.down = _powers_of(MULTIPLIER, size), _powers_of(INVERSE, size)
    return _cache


def _powers_of(base: int, size: int) -> Hashes:
    factors = np.full(size, base, dtype=np.uint64)
    factors[0] = 1
    with np.errstate(over="ignore"):
        return np.cumprod(factors, dtype=np.uint64)
