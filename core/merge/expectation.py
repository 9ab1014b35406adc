"""What the merged model itself says: the yardstick for every file that is made from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..examples.chat import ChatTokenizer
from ..models.generate import generate
from ..models.gguf.engines import Scored, Text
from .probes import Probe, Probes

ANSWER_TOKENS = 24
QUESTION = "The capital of France is"
"""A text to continue, without chat template: even a small base model knows it, so a wrong answer tells something."""

QUESTIONS = 4
"""Asked of each file: the one above, and prompts of the rows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One question and the merged model's own greedy answer to it."""

    question: str
    """For people."""
    prompt: str
    """As the model reads it."""
    text: str


@dataclass(frozen=True)
class Expectation:
    """What a faithful file would say."""

    answers: tuple[Answer, ...]
    texts: tuple[Text, ...]
    scored: tuple[Scored, ...]
    """What the merged model makes of the texts."""
    source: str
    """Where the texts come from, for people."""

    @property
    def loss(self) -> float:
        """The merged model's, in nats a token of the texts' answers."""
        return mean_loss(self.scored)

    @property
    def tokens(self) -> int:
        """Of all answers."""
        return sum(len(one.losses) for one in self.scored)


def expect(model: Any, chat: ChatTokenizer, probes: Probes) -> Expectation:
    """Ask the merged model what each file will be asked."""
    rows = probes.probes
    asked = [(QUESTION, chat.bos_text(QUESTION) + QUESTION)]
    asked += [(probe.question, probe.prompt) for probe in rows[: QUESTIONS - 1]]
    found = generate(model, chat, [prompt for _, prompt in asked], max_new_tokens=ANSWER_TOKENS, batch_size=QUESTIONS)
    return Expectation(
        answers=tuple(Answer(q, prompt, one.text) for (q, prompt), one in zip(asked, found, strict=True)),
        texts=tuple(Text(probe.ids, probe.answer_at) for probe in rows),
        scored=tuple(_score(model, probe) for probe in rows),
        source=probes.source,
    )


def mean_loss(scored: Sequence[Scored]) -> float:
    """Nats a token."""
    return sum(sum(one.losses) for one in scored) / max(1, sum(len(one.losses) for one in scored))


def agreement(found: Sequence[Scored], expected: Sequence[Scored]) -> float:
    """Share of the answers' tokens at which both find the same token the likeliest, 0 to 1."""
    pairs = [
        ours == theirs
        for one, other in zip(found, expected, strict=True)
        for ours, theirs in zip(one.likeliest, other.likeliest, strict=True)
    ]
    return sum(pairs) / max(1, len(pairs))


def _score(model: Any, probe: Probe) -> Scored:
    import torch

    ids = torch.tensor([probe.ids], device=getattr(model, "device", "cpu"))
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits[0]
    before = logits[probe.answer_at - 1 : -1].float()  # a token is predicted at the place before it
    losses = torch.nn.functional.cross_entropy(before, ids[0, probe.answer_at :], reduction="none")
    return Scored(tuple(losses.tolist()), tuple(before.argmax(-1).tolist()))
