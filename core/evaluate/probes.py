"""What a model could do before fine-tuning, and whether it still can: multiple choice by likelihood."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..examples.chat import ChatTokenizer
from ..examples.mask import NOT_TRAINED, Tokenized
from ..examples.types import Message
from ..schema import Model
from .likelihood import ItemLikelihood, measure
from .probe_items import CAPABILITIES, Probe


class ProbeAnswer(Model):
    """How one model chose among the answers of one question."""

    capability: str
    right: bool
    """Whether the right answer was the likeliest."""
    probability: float
    """Of the right answer among the four, 0 to 1."""


@dataclass(frozen=True)
class _Question:
    capability: str
    choices: tuple[Tokenized, ...]
    """The right one first."""
    characters: tuple[int, ...]


def ask(model: Any, tokenizer: ChatTokenizer, on_done: Callable[[int], None] | None = None) -> tuple[ProbeAnswer, ...]:
    """Every probe's answer by one model.

    The likelihood is taken per character of the answer (as lm-eval's acc_norm does), so that short ones have no lead.
    """
    questions = list(_questions(tokenizer))
    items = [choice for question in questions for choice in question.choices]
    likelihoods = iter(measure(model, items, on_done))
    return tuple(_answer(question, [next(likelihoods) for _ in question.choices]) for question in questions)


def count() -> int:
    """How many texts `ask` measures."""
    return sum(4 for probes in CAPABILITIES.values() for _ in probes)


def _questions(tokenizer: ChatTokenizer) -> Iterator[_Question]:
    for capability, probes in CAPABILITIES.items():
        for probe in probes:
            texts = (probe.right, *probe.wrong)
            choices = tuple(_tokenized(tokenizer, probe, text) for text in texts)
            yield _Question(capability, choices, tuple(len(text) for text in texts))


def _tokenized(tokenizer: ChatTokenizer, probe: Probe, answer: str) -> Tokenized:
    if tokenizer.template_is_default:  # the model has never seen a chat
        prompt, answer = f"{tokenizer.bos_text('')}Question: {probe.question}\nAnswer:", f" {answer}"
    else:
        prompt = tokenizer.render([Message("user", probe.question)], add_generation_prompt=True)
    before, after = tokenizer.encode(prompt), tokenizer.encode(answer)
    return Tokenized(
        input_ids=before + after,
        labels=[NOT_TRAINED] * len(before) + after,
        lost_tokens=0,
        lost_trained_tokens=0,
        trained_tokens=len(after),
    )


def _answer(question: _Question, likelihoods: list[ItemLikelihood]) -> ProbeAnswer:
    scores = [-one.answer_nll / length for one, length in zip(likelihoods, question.characters, strict=True)]
    if not all(math.isfinite(score) for score in scores):
        return ProbeAnswer(capability=question.capability, right=False, probability=0.0)
    weights = [math.exp(score - max(scores)) for score in scores]
    return ProbeAnswer(
        capability=question.capability, right=scores[0] > max(scores[1:]), probability=weights[0] / sum(weights)
    )
