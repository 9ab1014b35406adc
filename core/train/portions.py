"""How much of a batch is computed at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..examples.mask import NOT_TRAINED
from .objectives import Objective

TOKENS_AT_ONCE = 768  # on a processor; more are hardly faster: benchmarks/train/README.md


@dataclass
class Portion:
    """How many sequences of a batch are computed at once: all of them, until memory does not suffice.

    A processor gains nothing from more than some hundred tokens at once, and they take memory; so there it is no more
    sequences than have `tokens` together.
    """

    whole: int
    """Sequences in a batch."""

    size: int
    """The most sequences computed at once; divides `whole`, so that every portion of a batch is as large."""

    tokens: float = math.inf
    """The most tokens computed at once, unless a single sequence has more."""

    @property
    def portions(self) -> int:
        """How many a batch is computed in for lack of memory."""
        return self.whole // self.size

    def shrink(self) -> bool:
        """Half as many from now on, or the next smaller number that divides the batch; False when it was one."""
        smaller = [size for size in range(1, self.size // 2 + 1) if self.whole % size == 0]
        self.size = max(smaller, default=1)
        return bool(smaller)

    def split(self, sequences: Sequence[dict[str, Any]]) -> list[Sequence[dict[str, Any]]]:
        """A batch in the portions that it is computed in."""
        starts, tokens = [0], 0
        for place, sequence in enumerate(sequences):
            length = len(sequence["input_ids"])
            if place - starts[-1] == self.size or (place > starts[-1] and tokens + length > self.tokens):
                starts.append(place)
                tokens = 0
            tokens += length
        return [sequences[start:end] for start, end in pairwise([*starts, len(sequences)])]

    def fullest(self, sequences: Any) -> list[dict[str, Any]]:
        """The portion of all these sequences that needs most: the longest one, and what still fits beside it.

        Those with more trained tokens come first when they are equally long.
        """
        lengths = [len(ids) for ids in sequences["input_ids"]]
        trained = [len(labels) - labels.count(NOT_TRAINED) for labels in sequences["labels"]]
        order = sorted(range(len(lengths)), key=lambda place: (lengths[place], trained[place]), reverse=True)
        chosen, tokens = [], 0
        for place in order:
            if len(chosen) < self.size and (not chosen or tokens + lengths[place] <= self.tokens):
                chosen.append(sequences[place])
                tokens += lengths[place]
        return chosen


def portion_of(batch_size: int, device: str, objective: Objective, sharded: bool) -> Portion:
    """What is computed at once as long as memory suffices.

    Args:
        batch_size: Sequences in a batch.
        device: Its kind: cuda, mps or cpu.
        objective: A loss that looks at all rows of a batch together takes them together.
        sharded: Processes that share layers must compute them equally often.
    """
    limited = device == "cpu" and objective.apart and not sharded
    return Portion(batch_size, batch_size, TOKENS_AT_ONCE if limited else math.inf)
