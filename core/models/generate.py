"""Answers of a model: greedy, batched, ended where the model ends them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch

from ..examples.chat import ChatTokenizer
from .lean_lora import lean_lora
from .packed import packed


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer."""

    text: str
    """Without special tokens."""
    stopped: bool
    """Whether the model ended it; False: the token limit cut it."""
    tokens: int
    """Tokens of the answer, the end token not counted."""
    refused: bool = False
    """Whether a hosted model, or its provider, refused to answer."""
    raw: str | None = None
    """The text with its special tokens, or a hosted model's tool calls as JSON; None where there are none."""


def generation_of(tokenizer: ChatTokenizer, ids: Sequence[int], *, stopped: bool) -> Generation:
    """The answer that these tokens are; the end token is not among them."""
    text, raw = tokenizer.decode(ids), tokenizer.decode(ids, skip_special=False)
    return Generation(text, stopped, len(ids), raw=None if raw == text else raw)


@dataclass(slots=True)
class _Row:
    index: int
    ids: list[int] = field(default_factory=list)
    stopped: bool = False


@torch.inference_mode()
def generate(
    model: Any,
    tokenizer: ChatTokenizer,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int,
    on_done: Callable[[int], None] | None = None,
) -> list[Generation]:
    """The greedy answer to each prompt, in the order given.

    The most likely token is taken at every step, whatever sampling or penalties the model's generation
    configuration asks for, so that two models are asked in the same way.

    Args:
        model: A causal language model in evaluation mode.
        tokenizer: Its tokenizer; any of its `eos_ids` ends an answer.
        prompts: Rendered prompts, the begin-of-text token included where one belongs there.
        max_new_tokens: An answer is cut after that many tokens.
        batch_size: Prompts at once; neighbours in length go together, and a finished answer leaves its batch.
        on_done: Called during each batch with the number of answers finished so far; may raise to stop.
    """
    prompt_ids = [tokenizer.encode(prompt) or [_start(tokenizer)] for prompt in prompts]
    results: dict[int, Generation] = {}
    order = iter(sorted(range(len(prompts)), key=lambda i: -len(prompt_ids[i])))
    with packed(model), lean_lora(model):
        while batch := list(islice(order, batch_size)):
            rows = [_Row(index) for index in batch]
            for unfinished in _decode(model, tokenizer, [prompt_ids[i] for i in batch], rows, max_new_tokens):
                if on_done:
                    on_done(len(results) + len(rows) - unfinished)
            for row in rows:
                results[row.index] = generation_of(tokenizer, row.ids, stopped=row.stopped)
    return [results[index] for index in range(len(prompts))]


def last_position(ids: torch.Tensor) -> torch.Tensor:
    """What to pass as `logits_to_keep` to get the last position's logits alone.

    As the number 1 it would mean a strided slice, for which torch copies the output matrix once per row of the
    batch: 7 of 12 seconds of a batch of 32 on SmolLM2-135M. A tensor of positions makes a contiguous copy instead.
    """
    return torch.tensor([ids.shape[1] - 1], device=ids.device)


def _start(tokenizer: ChatTokenizer) -> int:
    """What stands before a text that begins with nothing."""
    return next((token for token in (tokenizer.bos_id, tokenizer.eos_id) if token is not None), 0)


def _decode(model: Any, tokenizer: ChatTokenizer, prompts: list[list[int]], rows: list[_Row], limit: int) -> Any:
    """Fill the rows token by token; after every step, tell how many are unfinished."""
    from transformers import DynamicCache

    device = model.device
    width = max(len(prompt) for prompt in prompts)
    padding = tokenizer.pad_id if tokenizer.pad_id is not None else 0
    ids = torch.tensor([[padding] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    cache: Any = DynamicCache(config=model.config)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    active = rows
    for _ in range(limit):
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
            logits_to_keep=last_position(ids),
        )  # fmt: skip
        chosen = output.logits[:, -1].max(-1).indices  # argmax of bfloat16 takes six times as long
        keep = [position for position, token in enumerate(chosen.tolist()) if _take(active[position], token, tokenizer)]
        yield len(keep)
        if not keep:
            return
        if len(keep) < len(active):
            active = [active[position] for position in keep]
            kept = torch.tensor(keep, device=device)
            cache.reorder_cache(kept)  # unlike batch_select_indices it knows every kind of layer
            chosen, mask = chosen[kept], mask[kept]
        ids = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(keep), 1)], dim=1)
        positions = mask.sum(1, keepdim=True) - 1


def _take(row: _Row, token: int, tokenizer: ChatTokenizer) -> bool:
    """Add a token to the row, or end it; whether it goes on."""
    if token in tokenizer.eos_ids:
        row.stopped = True
        return False
    row.ids.append(token)
    return True
