"""The loss of the trained tokens, and of no others."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ..examples.mask import NOT_TRAINED
from .kernels.decoder import has_plain_logits
from .kernels.losses import token_losses


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
    rest = {name: value for name, value in inputs.items() if name != "labels"}
    scored = functional.pad(labels[:, 1:] != NOT_TRAINED, (0, 1))
    targets, rows = labels.roll(-1, 1)[scored], scored.nonzero()[:, 0]
    head = model.get_output_embeddings()
    if has_plain_logits(head) and not head.weight.requires_grad:
        with head_passes_only(head, scored):
            states = model(**rest, use_cache=False).logits[0]
        states = states.to(head.weight.dtype)  # the trainer hands every model's output on in float32
        return Scored(token_losses(states, head.weight, targets), rows)
    with head_sees_only(head, scored):
        logits = model(**rest, use_cache=False).logits[0]
    return Scored(functional.cross_entropy(logits.float(), targets, reduction="none"), rows)


@contextlib.contextmanager
def head_sees_only(head: torch.nn.Module, scored: torch.Tensor) -> Iterator[None]:
    """Let the output layer project only the marked positions: (batch, length, hidden) becomes (1, marked, hidden)."""
    hook = head.register_forward_pre_hook(lambda _, arguments: (arguments[0][scored].unsqueeze(0),))
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def head_passes_only(head: torch.nn.Module, scored: torch.Tensor) -> Iterator[None]:
    """Let the output layer hand on the states of the marked positions as they are: (1, marked, hidden)."""
    project = head.forward
    head.forward = lambda states: states[scored].unsqueeze(0)
    try:
        yield
    finally:
        head.forward = project
