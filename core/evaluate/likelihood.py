"""How well a model predicts given tokens: negative log likelihoods per item, in nats."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from ..examples.mask import NOT_TRAINED, Tokenized

LOGITS_AT_ONCE = 100_000_000  # float32 numbers: 400 MB
TOKENS_AT_ONCE = 8_192  # beyond it a batch does not get faster, only larger
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


@torch.inference_mode()
def measure(
    model: Any, items: Sequence[Tokenized], on_done: Callable[[int], None] | None = None
) -> list[ItemLikelihood]:
    """The likelihood of each item, in the order given.

    Items are batched by length, so that hardly anything is padding; the numbers are those of one item at a time.

    Args:
        model: A causal language model in evaluation mode.
        items: Token ids and labels; labels of -100 count only towards the sums over all tokens.
        on_done: Called after each batch with the number of items done; may raise to stop.
    """
    results: list[ItemLikelihood | None] = [None] * len(items)
    order = sorted(
        range(len(items)), key=lambda i: -len(items[i].input_ids)
    )  # the largest first: too big shows at once
    done = 0
    for batch in _batches(order, [len(item.input_ids) for item in items], _tokens_per_batch(model)):
        for index, result in zip(batch, _measure_batch(model, [items[i] for i in batch]), strict=True):
            results[index] = result
        done += len(batch)
        if on_done:
            on_done(done)
    return [result for result in results if result is not None]


def _tokens_per_batch(model: Any) -> int:
    return max(1, min(TOKENS_AT_ONCE, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size))


def _batches(order: list[int], lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Groups of neighbours in length, longest first, within the budget of tokens and the share of padding."""
    batch: list[int] = []
    for index in order:
        longest = lengths[batch[0]] if batch else 0
        too_many = (len(batch) + 1) * longest > budget
        padding = longest - lengths[index]
        if batch and (too_many or padding > PADDING_SHARE * longest + 1):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _measure_batch(model: Any, items: list[Tokenized]) -> list[ItemLikelihood]:
    longest = max(len(item.input_ids) for item in items)
    if longest < 2:  # nothing to predict
        return [ItemLikelihood(0.0, 0, 0.0, 0) for _ in items]
    ids = torch.zeros(len(items), longest, dtype=torch.long)
    labels = torch.full((len(items), longest), NOT_TRAINED)
    mask = torch.zeros(len(items), longest, dtype=torch.long)
    for row, item in enumerate(items):
        n = len(item.input_ids)
        ids[row, :n] = torch.tensor(item.input_ids)
        labels[row, :n] = torch.tensor(item.labels)
        mask[row, :n] = 1
    device = model.device
    ids, labels, mask = ids.to(device), labels.to(device), mask.to(device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    targets = ids[:, 1:]
    nll = cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none").view(targets.shape).double()
    predicted = mask[:, 1:].bool()
    answer = predicted & (labels[:, 1:] != NOT_TRAINED)
    sums = zip(
        nll.where(answer, 0).sum(1).tolist(), answer.sum(1).tolist(),
        nll.where(predicted, 0).sum(1).tolist(), predicted.sum(1).tolist(),
        strict=True,
    )  # fmt: skip
    return [ItemLikelihood(*one) for one in sums]
