"""How likely each of several continuations of one prompt is; the prompt goes through the model once for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...models.generate import last_position

PROMPTS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Choices:
    """A prompt and its possible continuations, as token ids; none of them empty."""

    prompt: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]


@torch.inference_mode()
def nll(model: Any, items: Sequence[Choices], on_done: Callable[[int], None] | None = None) -> list[list[float]]:
    """The summed negative log likelihood of each continuation, nats, in the order given.

    Args:
        model: A causal language model in evaluation mode.
        items: Prompts with their continuations.
        on_done: Called after each batch with the number of prompts done; may raise to stop.
    """
    results: dict[int, list[float]] = {}
    order = sorted(range(len(items)), key=lambda i: -len(items[i].prompt))
    for start in range(0, len(order), PROMPTS_AT_ONCE):
        batch = order[start : start + PROMPTS_AT_ONCE]
        results.update(zip(batch, _batch(model, [items[i] for i in batch]), strict=True))
        if on_done:
            on_done(len(results))
    return [results[index] for index in range(len(items))]


def _batch(model: Any, items: list[Choices]) -> list[list[float]]:
    from transformers import DynamicCache

    device = model.device
    prompts = _padded([item.prompt for item in items], left=True)
    cache: Any = DynamicCache(config=model.config)
    first = model(
        input_ids=prompts.ids.to(device),
        attention_mask=prompts.mask.to(device),
        position_ids=(prompts.mask.cumsum(1) - 1).clamp(min=0).to(device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=last_position(prompts.ids.to(device)),
    ).logits
    owners = torch.tensor([row for row, item in enumerate(items) for _ in item.continuations])
    choices = _padded([continuation for item in items for continuation in item.continuations], left=False)
    cache.reorder_cache(owners.to(device))  # one copy of the prompt's state for each continuation
    lengths = prompts.mask.sum(1, keepdim=True)[owners]
    rest = model(
        input_ids=choices.ids.to(device),
        attention_mask=torch.cat([prompts.mask[owners], choices.mask], dim=1).to(device),
        position_ids=(lengths + torch.arange(choices.ids.shape[1])).to(device),
        past_key_values=cache,
        use_cache=True,
    ).logits
    logits = torch.cat([first[owners.to(device)], rest[:, :-1]], dim=1).float()
    chosen = logits.log_softmax(-1).gather(-1, choices.ids.to(device)[..., None]).squeeze(-1).double().cpu()
    sums = iter((-chosen.where(choices.mask.bool(), 0).sum(1)).tolist())
    return [[next(sums) for _ in item.continuations] for item in items]


@dataclass(frozen=True, slots=True)
class _Padded:
    ids: torch.Tensor
    mask: torch.Tensor


def _padded(rows: Sequence[Sequence[int]], *, left: bool) -> _Padded:
    width = max(len(row) for row in rows)

    def filled(row: Sequence[int], value: Sequence[int]) -> list[int]:
        padding = [0] * (width - len(row))
        return [*padding, *value] if left else [*value, *padding]

    ids = torch.tensor([filled(row, row) for row in rows])
    mask = torch.tensor([filled(row, [1] * len(row)) for row in rows])
    return _Padded(ids, mask)
