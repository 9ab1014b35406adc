"""How well a model predicts given tokens: negative log likelihoods per item, in nats."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...examples.mask import NOT_TRAINED, Tokenized
from . import prefix
from .float32 import computed_in_float32
from .predictor import TOKENS_AT_ONCE, Predictor
from .prefix import Group, Prefix
from .told import OnTokens, Told
from .windows import Piece, pieces_of, window

PADDING_SHARE = 0.1  # a batch may waste this share of its tokens on padding


@dataclass(frozen=True, slots=True)
class ItemLikelihood:
    """How one item was predicted; the first token of a text is given, not predicted."""

    answer_nll: float
    """Summed over the labelled tokens, nats."""
    answer_tokens: int
    all_nll: float
    """Summed over every token but the first, nats."""
    all_tokens: int

    @property
    def finite(self) -> bool:
        """Whether both sums are numbers one can work with."""
        return math.isfinite(self.answer_nll) and math.isfinite(self.all_nll)

    def __add__(self, other: "ItemLikelihood") -> "ItemLikelihood":
        return ItemLikelihood(
            self.answer_nll + other.answer_nll, self.answer_tokens + other.answer_tokens,
            self.all_nll + other.all_nll, self.all_tokens + other.all_tokens,
        )  # fmt: skip


NOTHING = ItemLikelihood(0.0, 0, 0.0, 0)


@torch.inference_mode()
def measure(model: Any, items: Sequence[Tokenized], on_tokens: OnTokens = lambda *_: None) -> list[ItemLikelihood]:
    """The likelihood of each item, in the order given.

    Items are batched by length, so that hardly anything is padding, and a beginning that many share is read once; the
    numbers are those of one item at a time. An item longer than the model's window is read in several windows that
    overlap by half: every token is predicted once.

    Args:
        model: A causal language model in evaluation mode.
        items: Token ids and labels; labels of -100 count only towards the sums over all tokens.
        on_tokens: Called after each of the model's layers.
    """
    size = window(model)
    pieces = [piece for number, item in enumerate(items) for piece in pieces_of(number, item, size)]
    results = [NOTHING] * len(items)
    with computed_in_float32(model):
        predictor = Predictor(model)
        readings = prefix.readings(pieces, model)
        told = Told(predictor, sum(group.tokens for group in readings), on_tokens)
        for group in readings:
            for piece, one in _measure_group(predictor, group, told):
                results[piece.item] += one
    return results


def _measure_group(predictor: Predictor, group: Group, told: Told) -> Iterator[tuple[Piece, ItemLikelihood]]:
    """What the pieces share, then in batches what is left of each."""
    beginning, shared = None, group.shared
    if shared:
        with told.reading(shared):
            beginning = prefix.read(predictor, group.pieces[0].ids[:shared])
    for batch in _batches(group.pieces, shared, predictor.tokens_at_once):
        with told.reading(sum(len(piece.ids) - shared for piece in batch)):
            found = _measure_batch(predictor, batch, beginning)
        yield from zip(batch, found, strict=True)


def _batches(pieces: Sequence[Piece], shared: int, budget: int) -> Iterator[list[Piece]]:
    """Groups of neighbours in length, longest first, within the budget of tokens and the share of padding."""
    batch: list[Piece] = []
    longest = 0
    for piece in sorted(pieces, key=lambda piece: -len(piece.ids)):  # the largest first: too big shows at once
        length = len(piece.ids) - shared
        texts = len(batch) + 1  # each with a copy of the state after the shared beginning, which takes memory, too
        too_many = texts * longest > budget or texts * (longest + shared) > TOKENS_AT_ONCE
        if batch and (too_many or longest - length > PADDING_SHARE * longest + 1):
            yield batch
            batch = []
        if not batch:
            longest = length
        batch.append(piece)
    if batch:
        yield batch


def _measure_batch(predictor: Predictor, pieces: list[Piece], beginning: Prefix | None) -> list[ItemLikelihood]:
    longest = max(len(piece.ids) for piece in pieces)
    if longest < 2:  # nothing to predict
        return [NOTHING] * len(pieces)
    ids = torch.zeros(len(pieces), longest, dtype=torch.long)
    answer = torch.zeros(len(pieces), longest, dtype=torch.bool)
    predicted = torch.zeros(len(pieces), longest, dtype=torch.bool)
    for row, piece in enumerate(pieces):
        n = len(piece.ids)
        ids[row, :n] = torch.tensor(piece.ids)
        answer[row, :n] = torch.tensor(piece.labels) != NOT_TRAINED
        predicted[row, piece.given : n] = True
    device = predictor.model.device
    nll = _token_nll(predictor, ids.to(device), beginning).cpu()
    predicted = predicted[:, 1:]
    answer = answer[:, 1:] & predicted
    sums = zip(
        nll.where(answer, 0).sum(1).tolist(), answer.sum(1).tolist(),
        nll.where(predicted, 0).sum(1).tolist(), predicted.sum(1).tolist(),
        strict=True,
    )  # fmt: skip
    return [ItemLikelihood(*one) for one in sums]


def _token_nll(predictor: Predictor, ids: torch.Tensor, beginning: Prefix | None) -> torch.Tensor:
    """float64 (texts, length - 1): of each token but the first.

    Padding stands behind the texts, where no token looks. A mask would hide it too, but then attention works on all
    pairs of tokens, twice as many as without one.
    """
    if beginning is None:
        states = predictor.states(predictor.read(input_ids=ids, use_cache=False))
        return predictor.nll(states[:, :-1], ids[:, 1:])
    texts, shared = len(ids), beginning.tokens
    places = torch.arange(shared, ids.shape[1], device=ids.device)
    own = predictor.states(
        predictor.read(
            input_ids=ids[:, shared:],
            position_ids=places.expand(texts, -1),
            past_key_values=beginning.caches(texts),
            use_cache=True,
        )
    )
    first = beginning.states[-1:].expand(texts, 1, -1)
    rest = predictor.nll(torch.cat([first, own[:, :-1]], dim=1), ids[:, shared:])
    return torch.cat([beginning.nll.expand(texts, -1), rest], dim=1)
