"""A model as lm-eval asks it, to the same last digit, at less work.

lm-eval multiplies every position of every prompt with the output matrix and takes the softmax over the vocabulary
there, though it needs the continuations' positions alone: with a small model that is a fourth of the whole work.
"""

import inspect
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lm_eval.models import huggingface

HFLM: Any = huggingface.HFLM  # its decorator hides the class from type checkers
BATCH_SIZE = 16
Encoded = dict[tuple[str, str], tuple[array, array]]
"""Contexts and continuations as token ids, by their texts."""
Request = tuple[Any, list[int], list[int]]
"""What it is called, context and continuation; the continuation is never empty."""


class LeanModel(HFLM):
    """lm-eval's model of transformers, with its batches, its precision and its order."""

    def __init__(self, model: Any, tokenizer: Any, encoded: Encoded, on_batch: Callable[[int], None]) -> None:
        """Wrap a loaded model.

        Args:
            model: A causal language model in evaluation mode, with or without an adapter.
            tokenizer: Its tokenizer.
            encoded: Texts that were encoded for another model with the same tokenizer; grows.
            on_batch: Called after each batch with its number of requests; may raise to stop.
        """
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=BATCH_SIZE)
        self._encoded, self._on_batch = encoded, on_batch
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._keeps_logits = "logits_to_keep" in inspect.signature(base.forward).parameters

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        known = self._encoded.get((context, continuation))
        if known is None:
            before, after = super()._encode_pair(context, continuation)
            known = array("I", before), array("I", after)
            self._encoded[context, continuation] = known
        return known[0].tolist(), known[1].tolist()

    def _model_generate(self, context: Any, *args: Any, **kwargs: Any) -> Any:
        found = super()._model_generate(context, *args, **kwargs)
        self._on_batch(len(context))
        return found

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Each continuation's log likelihood and whether it is the likeliest at every token, in the order given."""
        if self.backend != "causal" or not self._keeps_logits:
            return super()._loglikelihood_tokens(list(requests), disable_tqdm, override_bs)
        found: dict[int, tuple[float, bool]] = {}
        inputs = list(_inputs(requests).items())
        size = override_bs or BATCH_SIZE
        for start in range(0, len(inputs), size):
            batch = inputs[start : start + size]
            found.update(self._batch(batch, requests))
            self._on_batch(sum(len(indices) for _, indices in batch))
        return [found[index] for index in range(len(requests))]

    @torch.inference_mode()
    def _batch(
        self, batch: Sequence[tuple[tuple[int, ...], list[int]]], requests: Sequence[Request]
    ) -> dict[int, tuple[float, bool]]:
        rows = [ids[-self.max_length :] for ids, _ in batch]
        width = max(map(len, rows))
        longest = [max(len(requests[index][2]) for index in indices) for _, indices in batch]
        first = min(len(row) - asked for row, asked in zip(rows, longest, strict=True))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=self.device)
        kept = torch.arange(first, width, device=self.device)
        logits = self.model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
        logs = logits.log_softmax(-1)  # in the model's precision, as lm-eval does
        likeliest = logs.max(-1).indices  # as argmax, which takes six times as long for bfloat16
        found = {}
        for row, (_, indices) in enumerate(batch):
            end = len(rows[row]) - first
            for index in indices:
                wanted = torch.tensor(requests[index][2], device=self.device)
                place = slice(end - len(wanted), end)
                chosen = logs[row : row + 1, place].gather(2, wanted[None, :, None]).squeeze(2)
                found[index] = float(chosen.sum()), bool((likeliest[row, place] == wanted).all())
        return found


def _inputs(requests: Sequence[Request]) -> dict[tuple[int, ...], list[int]]:
    """What goes through the model, longest first, and which requests each serves.

    Requests that differ in their last token alone, such as the letters A to D, are read from the same logits.
    """
    order = sorted(range(len(requests)), key=lambda i: _longest_first(requests[i]))
    grouped: dict[tuple[int, ...], list[int]] = {}
    for index in order:
        _, context, continuation = requests[index]
        grouped.setdefault((*context, *continuation[:-1]), []).append(index)
    return grouped


def _longest_first(request: Request) -> tuple[int, tuple[int, ...]]:
    tokens = (*request[1], *request[2])
    return -len(tokens), tokens
