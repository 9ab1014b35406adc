"""The losses of tokens, without the logits of all of them ever lying in memory together."""

from typing import Any

import torch
from torch.autograd import Function
from torch.nn import functional

CHUNK = 128  # tokens at once: their logits are to stay in the processor's cache
STEP = 32  # the last chunk is filled up to a multiple: each new size costs memory for good, see decoder.py


def token_losses(states: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """float32 (tokens,): minus the log-probability of each target, in nats.

    Args:
        states: (tokens, hidden), as the output layer reads them.
        head: The output layer's weights (vocabulary, hidden); they get no gradient.
        targets: (tokens,).
    """
    return TokenLosses.apply(states, head, targets)


class TokenLosses(Function):
    """Cross-entropy whose gradient is made in the forward pass, when the logits are there.

    A token's loss depends on its own state alone, so the gradient for whatever weight the token gets later is this
    one times that weight: exact, and nothing is computed twice.
    """

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        wanted, tokens = ctx.needs_input_grad[0], len(states)
        exact = torch.promote_types(states.dtype, torch.float32)
        filled = -tokens % STEP
        states, targets = functional.pad(states, (0, 0, 0, filled)), functional.pad(targets, (0, filled))
        losses = torch.empty(len(states), dtype=exact, device=states.device)
        slopes = torch.empty_like(states) if wanted else None
        for start in range(0, len(states), CHUNK):
            part = slice(start, start + CHUNK)
            target = targets[part, None]
            logs = functional.linear(states[part], head).to(exact).log_softmax(-1)
            losses[part] = -logs.gather(1, target)[:, 0]
            if slopes is not None:
                chances = logs.exp_()
                chances.scatter_add_(1, target, chances.new_full((1, 1), -1.0).expand_as(target))
                torch.matmul(chances.to(head.dtype), head, out=slopes[part])
        if slopes is not None:
            ctx.save_for_backward(slopes[:tokens])
        return losses[:tokens]

    @staticmethod
    def backward(ctx: Any, *d_losses: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        (slopes,) = ctx.saved_tensors
        return slopes * d_losses[0].to(slopes.dtype)[:, None], None, None
