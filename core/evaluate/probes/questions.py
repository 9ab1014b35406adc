"""What a model could do before fine-tuning, and whether it still can: multiple choice by likelihood."""

import math
from collections.abc import Iterator

from ...examples.chat import ChatTokenizer
from ...examples.types import Message
from ...schema import Model
from ..contestants import Contestant, OnDone
from ..local.choices import Choices
from .items import CAPABILITIES, Probe


class ProbeAnswer(Model):
    """How one model chose among the answers of one question."""

    capability: str
    right: bool
    """Whether the right answer was the likeliest, or the one that was named."""
    probability: float | None
    """Of the right answer among the four, 0 to 1; None where a model only answers."""


def ask(contestant: Contestant, tokenizer: ChatTokenizer, on_done: OnDone) -> tuple[ProbeAnswer, ...]:
    """Every probe's answer by one model.

    The likelihood is taken per character of the answer (as lm-eval's acc_norm does), so that short ones have no lead.
    """
    asked = list(all_probes())
    found = contestant.choices([_tokenized(tokenizer, probe) for _, probe in asked], on_done)
    return tuple(_answer(capability, probe, sums) for (capability, probe), sums in zip(asked, found, strict=True))


def count() -> int:
    """How many questions `ask` asks."""
    return sum(len(probes) for probes in CAPABILITIES.values())


def all_probes() -> Iterator[tuple[str, Probe]]:
    """Every question with the capability that it is of."""
    for capability, probes in CAPABILITIES.items():
        for probe in probes:
            yield capability, probe


def _texts(probe: Probe) -> tuple[str, ...]:
    """The right answer first."""
    return probe.right, *probe.wrong


def _tokenized(tokenizer: ChatTokenizer, probe: Probe) -> Choices:
    if tokenizer.template_is_default:  # the model has never seen a chat
        prompt, space = f"{tokenizer.bos_text('')}Question: {probe.question}\nAnswer:", " "
    else:
        prompt, space = tokenizer.render([Message("user", probe.question)], add_generation_prompt=True), ""
    continuations = tuple(tuple(tokenizer.encode(space + text)) for text in _texts(probe))
    return Choices(tuple(tokenizer.encode(prompt)), continuations)


def _answer(capability: str, probe: Probe, sums: list[float]) -> ProbeAnswer:
    scores = [-one / len(text) for one, text in zip(sums, _texts(probe), strict=True)]
    if not all(math.isfinite(score) for score in scores):
        return ProbeAnswer(capability=capability, right=False, probability=0.0)
    weights = [math.exp(score - max(scores)) for score in scores]
    return ProbeAnswer(capability=capability, right=scores[0] > max(scores[1:]), probability=weights[0] / sum(weights))
