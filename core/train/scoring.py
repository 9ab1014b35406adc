"""The loss of the trained tokens, and of no others."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ..examples.mask import NOT_TRAINED


@dataclass(frozen=True, slots=True)
class Scored:
    """The trained tokens of a batch, in the order of the batch's rows and of their places."""

    losses: torch.Tensor
    """float32 (trained tokens,): minus the log-probability of each, in nats."""

    rows: torch.Tensor
    """int64 (trained tokens,): the place in the batch of the row that each belongs to."""


def score(model: Any, inputs: dict[str, Any]) -> Scored:
    """The loss of every trained token of a batch; the output layer sees the trained positions alone.

    Args:
        model: A causal language model, with or without adapter.
        inputs: input_ids and labels, both (batch, length); attention_mask, or position_ids of packed rows.
    """
    labels = inputs["labels"]
    scored = functional.pad(labels[:, 1:] != NOT_TRAINED, (0, 1))
    with head_sees_only(model.get_output_embeddings(), scored):
        rest = {name: value for name, value in inputs.items() if name != "labels"}
        logits = model(**rest, use_cache=False).logits[0]
    targets = labels.roll(-1, 1)[scored]
    return Scored(functional.cross_entropy(logits.float(), targets, reduction="none"), scored.nonzero()[:, 0])


@contextlib.contextmanager
def head_sees_only(head: torch.nn.Module, scored: torch.Tensor) -> Iterator[None]:
    """Let the output layer project only the marked positions: (batch, length, hidden) becomes (1, marked, hidden)."""
    hook = head.register_forward_pre_hook(lambda _, arguments: (arguments[0][scored].unsqueeze(0),))
    try:
        yield
    finally:
        hook.remove()
