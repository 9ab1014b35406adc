"""Which rows are compared at all: hardly any pair that is similar enough is missed, and few that are not are read."""

import math
import random
from itertools import combinations

import numpy as np
import pytest
from faion_finetuner.core.prepare.near import candidates
from faion_finetuner.core.prepare.shingles import shingle
from faion_finetuner.core.prepare.signatures import PERMUTATIONS, Template, least_agreement, sign

NO_TEMPLATE = Template(np.empty(0, dtype=np.uint64))
THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


def family(random_: random.Random, copies: int) -> list[str]:
    """A text of 60 to 120 words, and copies with ever more of them replaced."""
    words = [f"w{random_.randrange(10_000)}" for _ in range(random_.randint(60, 120))]
    texts = []
    for _ in range(copies):
        texts.append(" ".join(words))
        for _ in range(random_.choice((0, 1, 2, 5, 15))):
            words[random_.randrange(len(words))] = f"w{random_.randrange(10_000)}"
    return texts


def found_pairs(texts: list[str], threshold: float) -> list[tuple[int, int]]:
    found = candidates(sign(shingle(texts), NO_TEMPLATE, threshold), threshold)
    return [(first, second) for first, second in found.tolist()]


def similarities(texts: list[str]) -> dict[tuple[int, int], float]:
    batch = shingle(texts)
    triples = [set(batch.of(place).tolist()) for place in range(len(texts))]
    return {
        (first, second): len(triples[first] & triples[second]) / len(triples[first] | triples[second])
        for first, second in combinations(range(len(texts)), 2)
    }


@pytest.fixture(scope="module")
def texts() -> list[str]:
    random_ = random.Random(7)
    families = [text for _ in range(60) for text in family(random_, 6)]  # no bucket reaches MAX_LEADERS
    random_.shuffle(families)
    return families


@pytest.fixture(scope="module")
def similarity(texts: list[str]) -> dict[tuple[int, int], float]:
    return similarities(texts)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_pairs_at_or_above_the_threshold_are_proposed(threshold, texts, similarity):
    similar = {pair for pair, value in similarity.items() if value >= threshold}
    proposed = found_pairs(texts, threshold)
    assert len(similar) > 50
    assert len(proposed) == len(set(proposed))
    assert all(first < second for first, second in proposed)
    assert len(similar.intersection(proposed)) >= 0.99 * len(similar)


@pytest.mark.parametrize("threshold", [threshold for threshold in THRESHOLDS if threshold >= 0.7])
def test_pairs_far_below_the_threshold_are_not_proposed(threshold, texts, similarity):
    far = {pair for pair, value in similarity.items() if 0.1 < value < threshold - 0.35}
    assert len(far) > 50
    assert len(far.intersection(found_pairs(texts, threshold))) < 0.02 * len(far)


def test_rows_without_words_meet_nobody():
    assert found_pairs(["", "...", "", "one two three four", "!"], 0.8) == []


def test_no_rows_make_no_pairs():
    assert candidates(sign(shingle([]), NO_TEMPLATE, 0.8), 0.8).shape == (0, 2)


@pytest.mark.parametrize("threshold", [*THRESHOLDS, 0.01, 0.1, 0.6, 0.75, 0.85, 0.99])
def test_agreement_below_the_least_is_one_chance_in_2000_at_the_threshold(threshold):
    missed = sum(
        math.comb(PERMUTATIONS, count) * threshold**count * (1 - threshold) ** (PERMUTATIONS - count)
        for count in range(max(0, least_agreement(threshold)))
    )
    assert missed < 1 / 2000
