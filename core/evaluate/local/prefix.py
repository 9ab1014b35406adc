"""A beginning that many texts share, such as a system turn, read by the model once for all of them."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .predictor import Predictor
from .windows import Piece

SHORTEST = 16  # tokens worth sharing
FEWEST = 4  # texts worth sharing for


@dataclass(frozen=True, slots=True)
class Group:
    """Pieces and how many of their first tokens are the same; 0 when they share nothing."""

    shared: int
    pieces: list[Piece]

    @property
    def tokens(self) -> int:
        """Tokens to read: what is shared once."""
        return self.shared + sum(len(piece.ids) - self.shared for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Prefix:
    """What the model made of a beginning."""

    tokens: int
    states: torch.Tensor
    """(tokens, ...), as the predictor gives them."""
    nll: torch.Tensor
    """(1, tokens - 1), of each token but the first."""
    cache: Any

    def caches(self, texts: int) -> Any:
        """The model's state after the beginning, once for each text."""
        cache = copy.deepcopy(self.cache)
        cache.reorder_cache(torch.zeros(texts, dtype=torch.long, device=self.states.device))
        return cache


def readings(pieces: Sequence[Piece], model: Any) -> list[Group]:
    """The groups in which a model reads the pieces: one that shares nothing where it cannot go on from a beginning."""
    found = list(groups(pieces, reach(model)))
    shares = any(group.shared for group in found)
    return [Group(0, list(pieces))] if shares and not _goes_on(model) else found


def _goes_on(model: Any) -> bool:
    """Whether the model's state after a beginning is of the kind that more than one token can go on from."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def reach(model: Any) -> int | None:
    """How long a text may be, squared and for each token shared, so that sharing pays; None where it is not known.

    Behind a shared beginning attention works on all pairs of tokens, alone on half of them: 2 * n^2 * width operations
    more in each layer. The tokens shared save 24 * width^2 each. Measured on a processor, the even point was there.
    """
    width = getattr(model.config.get_text_config(), "hidden_size", None)
    return 12 * width if isinstance(width, int) else None


def groups(pieces: Sequence[Piece], reach: int | None) -> Iterator[Group]:
    """The pieces by the beginning that they share, those that share none, or too little for their length, last."""
    by_start: dict[tuple[int, ...], list[Piece]] = {}
    alone: list[Piece] = []
    for piece in pieces:
        if piece.given == 1 and len(piece.ids) > SHORTEST:
            by_start.setdefault(tuple(piece.ids[:SHORTEST]), []).append(piece)
        else:
            alone.append(piece)
    for found in by_start.values():
        shared = _shared([piece.ids for piece in found])
        longest = math.inf if reach is None else math.sqrt(reach * shared)
        paying = [piece for piece in found if len(piece.ids) < longest]
        if len(paying) < FEWEST:
            alone += found
            continue
        yield Group(shared, paying)
        alone += [piece for piece in found if len(piece.ids) >= longest]
    if alone:
        yield Group(0, alone)


def _shared(texts: Sequence[list[int]]) -> int:
    """How many first tokens all have in common, at least one being left to each."""
    room = min(map(len, texts)) - 1
    pairs = zip(min(texts), max(texts), strict=False)  # in alphabetical order these two differ first
    return min(room, next((n for n, (one, other) in enumerate(pairs) if one != other), room))


def read(predictor: Predictor, ids: Sequence[int]) -> Prefix:
    """Let the model read a beginning."""
    from transformers import DynamicCache

    cache: Any = DynamicCache(config=predictor.model.config)
    tokens = torch.tensor([ids], device=predictor.model.device)
    states = predictor.states(predictor.read(input_ids=tokens, past_key_values=cache, use_cache=True))
    return Prefix(len(ids), states[0], predictor.nll(states[:, :-1], tokens[:, 1:]), cache)
