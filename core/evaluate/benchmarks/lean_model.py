"""A model as lm-eval asks it, to the same last digit, at less work.

lm-eval multiplies every position of every prompt with the output matrix and takes the softmax over the vocabulary
there, though it needs the continuations' positions alone: with a small model that is a fourth of the whole work. And it
reads a question anew for each of its answers.
"""

import inspect
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

import torch
from lm_eval.models import huggingface

from ...models.load import base_of
from .shared_prefix import Input, Outputs, Pack, Reader, packs

T = TypeVar("T")
HFLM: Any = huggingface.HFLM  # its decorator hides the class from type checkers
BATCH_SIZE = 16
FEWEST = 8  # inputs for which sharing is tried
SAMPLE = 16  # inputs that are read in both ways first, or an eighth of all
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
        self._reader = Reader(model)
        self._shares: bool | None = None
        self._keeps_logits = "logits_to_keep" in inspect.signature(base_of(model).forward).parameters

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
        for batch, outputs in self._outputs(_inputs(requests, self.max_length)):
            answers = _answers(batch, outputs, requests)
            found.update(answers)
            self._on_batch(len(answers))
        return [found[index] for index in range(len(requests))]

    def _outputs(self, inputs: list[Input]) -> Iterator[tuple[list[Input], Outputs]]:
        """What the model says after each input, each once."""
        left = inputs
        if self._shares is None and len(inputs) >= FEWEST and self._reader.can_read():
            sample = _sample(inputs)
            read = [(batch, self._read(batch)) for batch in _batches(sample.inputs)]
            self._shares = self._agrees(sample, read)
            if self._shares:
                yield from read
                left = sorted(set(inputs).difference(sample.inputs))
        if self._shares:
            inputs, left = left, []
            for pack in packs(inputs):
                outputs = self._reader.read(pack)
                yield pack.inputs, outputs
                left += [one for one, rows in zip(pack.inputs, outputs.rows, strict=True) if rows is None]
        for batch in _batches(left):
            yield batch, self._read(batch)

    def _agrees(self, sample: Pack, read: list[tuple[list[Input], Outputs]]) -> bool:
        """Whether reading shared prefixes once changes no bit of what was read in lm-eval's way, on this machine."""
        shared = self._reader.read(sample)
        rows = dict(zip(sample.inputs, shared.rows, strict=True))
        return all(
            torch.equal(shared.logits[rows[one]], outputs.logits[own])
            for batch, outputs in read
            for one, own in zip(batch, outputs.rows, strict=True)
            if rows[one] is not None
        )

    @torch.inference_mode()
    def _read(self, batch: list[Input]) -> Outputs:
        """As lm-eval reads a batch, whose inputs have the same padded length."""
        width = batch[0].width
        first = min(len(one.ids) - one.scored for one in batch)
        ids = torch.tensor([[*one.ids, *[0] * (width - len(one.ids))] for one in batch], device=self.device)
        kept = torch.arange(first, width, device=self.device)
        logits = self.model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
        starts = [n * len(kept) + len(one.ids) - one.scored - first for n, one in enumerate(batch)]
        return Outputs(
            logits.flatten(0, 1),
            [list(range(start, start + one.scored)) for start, one in zip(starts, batch, strict=True)],
        )


def _inputs(requests: Sequence[Request], window: int) -> list[Input]:
    """What goes through the model in lm-eval's order, longest first, and with the padding of its batches.

    Requests that differ in their last token alone, such as the letters A to D, are read from the same logits.
    """
    order = sorted(range(len(requests)), key=lambda i: _longest_first(requests[i]))
    grouped: dict[tuple[int, ...], list[int]] = {}
    for index in order:
        _, context, continuation = requests[index]
        grouped.setdefault((*context, *continuation[:-1]), []).append(index)
    return [
        Input(ids[-window:], min(width, window), max(len(requests[i][2]) for i in indices), tuple(indices))
        for batch in _portions(list(grouped.items()))
        for width in [max(len(ids) for ids, _ in batch)]
        for ids, indices in batch
    ]


def _sample(inputs: Sequence[Input]) -> Pack:
    """Some that share most, from the middle."""
    middle = len(inputs) // 2
    return next(packs(sorted(inputs)[middle : middle + min(SAMPLE, len(inputs) // 8)]))


def _batches(inputs: Sequence[Input]) -> Iterator[list[Input]]:
    """Inputs of the same padded length, as many as lm-eval reads at once."""
    for _, same in groupby(sorted(inputs, key=lambda one: -one.width), key=lambda one: one.width):
        yield from _portions(list(same))


def _portions(items: list[T]) -> Iterator[list[T]]:
    return (items[start : start + BATCH_SIZE] for start in range(0, len(items), BATCH_SIZE))


def _answers(batch: list[Input], outputs: Outputs, requests: Sequence[Request]) -> dict[int, tuple[float, bool]]:
    """By number of request."""
    logs = outputs.logits.log_softmax(-1)  # in the model's precision, as lm-eval does
    likeliest = logs.max(-1).indices  # as argmax, which takes six times as long for bfloat16
    found = {}
    for one, rows in zip(batch, outputs.rows, strict=True):
        if rows is None:
            continue
        for index in one.requests:
            wanted = torch.tensor(requests[index][2], device=logs.device)
            own = torch.tensor(rows[-len(wanted) :], device=logs.device)
            found[index] = float(logs[own, wanted][None].sum()), bool((likeliest[own] == wanted).all())
    return found


def _longest_first(request: Request) -> tuple[int, tuple[int, ...]]:
    tokens = (*request[1], *request[2])
    return -len(tokens), tokens
