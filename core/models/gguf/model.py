"""A GGUF file as a model to measure: its greedy answers, and how it predicts given texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import MissingExtraError
from ...extras import INSTALL_LINE
from ...runs.active import ActiveRun
from .cyllama import ask_child, has_cyllama, unusable
from .engines import Cyllama, Text

TIMEOUT_S = 24 * 3600.0
OnDone = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class GgufAnswer:
    """A greedy answer."""

    ids: tuple[int, ...]
    """Without the token that ended it."""
    stopped: bool
    """Whether the model ended it; False: the token limit cut it."""


@dataclass(frozen=True, slots=True)
class GgufModel:
    """A GGUF file, which llama.cpp loads anew for each of these calls, in a process of its own."""

    path: Path
    run: ActiveRun

    def __post_init__(self) -> None:
        """Refuse early.

        Raises:
            MissingExtraError: cyllama is not installed.
        """
        if not has_cyllama():
            raise MissingExtraError("Measuring a GGUF file needs the package cyllama.", f"Run: {INSTALL_LINE}")

    def tokenize(self, prompts: Sequence[str]) -> list[list[int]]:
        """How the file's own tokenizer reads prompts; special tokens written in them count, none is added.

        Raises:
            ModelError: The file cannot be loaded.
        """
        return Cyllama().tokenize(self.path, prompts, self.run, as_they_are=True)

    def answers(self, prompts: Sequence[str], max_tokens: int, on_done: OnDone) -> list[GgufAnswer]:
        """The greedy answer to each prompt, which the file's own tokenizer reads.

        Raises:
            ModelError: The file cannot be loaded, or llama.cpp crashed.
        """
        found = self._ask("answer", {"prompts": list(prompts), "max_tokens": max_tokens}, on_done)
        return [GgufAnswer(tuple(one["ids"]), one["stopped"]) for one in found]

    def losses(self, texts: Sequence[Text], on_done: OnDone) -> list[list[float]]:
        """Nats of each token from each text's answer on.

        Raises:
            ModelError: The file cannot be loaded, or llama.cpp crashed.
        """
        found = self._ask("score", [[text.ids, text.answer_at] for text in texts], on_done)
        return [one["losses"] for one in found]

    def _ask(self, action: str, given: object, on_done: OnDone) -> list[dict[str, Any]]:
        """The replies in the order of the questions."""
        found = ask_child(action, self.path, given, self.run, on_done, TIMEOUT_S)
        if found.replies is None:
            raise unusable(self.path, found.ended)
        return sorted(found.replies, key=lambda one: one["index"])
