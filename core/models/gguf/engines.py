"""What loads GGUF files and asks them: llama.cpp's own program where it is, and the wheel cyllama."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import MissingExtraError
from ...extras import INSTALL_LINE
from ...runs.active import ActiveRun
from ...runs.child import Ended, run_child
from .cyllama import ASK_TIMEOUT_S, ask_child, has_cyllama, unusable
from .programs import find_program

CONTEXT = 1024  # tokens of prompt and answer together


@dataclass(frozen=True, slots=True)
class Text:
    """A text whose answer is to be predicted, token by token."""

    ids: tuple[int, ...]
    answer_at: int
    """Where the answer begins among them; at least 1."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model makes of one text: a number for each token of its answer."""

    losses: tuple[float, ...]
    """Nats."""
    likeliest: tuple[int, ...]
    """The token that it would have chosen itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of loading a GGUF file and asking it."""

    answers: tuple[str | tuple[int, ...], ...] | None
    """Texts, or tokens where the engine tells those; None when it crashed or did not end well."""
    prompt_ids: tuple[tuple[int, ...], ...] | None
    """How its own tokenizer reads the prompts; None where the engine does not tell."""
    scored: tuple[Scored, ...] | None
    """What it makes of each text; None likewise."""
    ended: Ended


class Asker(Protocol):
    """Loads a GGUF file in a process of its own."""

    @property
    def name(self) -> str: ...

    @property
    def adds_bos(self) -> bool:
        """Whether it puts the begin token before a prompt where the file asks for that."""
        ...

    def ask(self, model: Path, prompts: Sequence[str], max_tokens: int, texts: Sequence[Text], run: ActiveRun) -> Asked:
        """The greedy answers to the prompts, of so many tokens at most, and what it makes of the texts."""
        ...


@dataclass(frozen=True, slots=True)
class Cyllama:
    """The wheel cyllama, always in a child process."""

    name: str = "cyllama"
    adds_bos: bool = False

    def ask(self, model: Path, prompts: Sequence[str], max_tokens: int, texts: Sequence[Text], run: ActiveRun) -> Asked:
        scored_texts = [[text.ids, text.answer_at] for text in texts]
        given = {"prompts": list(prompts), "max_tokens": max_tokens, "texts": scored_texts}
        found = ask_child("ask", model, given, run)
        if found.replies is None:
            return Asked(None, None, None, found.ended)
        (reply,) = found.replies
        said, scored = reply["answers"], reply["scored"]
        return Asked(
            answers=tuple(tuple(one["ids"]) for one in said),
            prompt_ids=tuple(tuple(one["prompt_ids"]) for one in said),
            scored=tuple(Scored(tuple(one["losses"]), tuple(one["likeliest"])) for one in scored),
            ended=found.ended,
        )

    def tokenize(
        self, model: Path, texts: Sequence[str], run: ActiveRun, *, as_they_are: bool = False
    ) -> list[list[int]]:
        """The file's own tokens of each text; the begin token is put first where the file asks for that.

        Args:
            model: The file.
            texts: Special tokens written in them count.
            run: The run that this belongs to.
            as_they_are: Put nothing first.

        Raises:
            ModelError: It could not load the file.
        """
        found = ask_child("tokenize", model, {"texts": list(texts), "add_special": not as_they_are}, run)
        if found.replies is None:
            raise unusable(model, found.ended)
        return found.replies


@dataclass(frozen=True, slots=True)
class LlamaCompletion:
    """llama.cpp's llama-completion, or the llama-cli of a time when that did the same."""

    program: Path
    measurer: Cyllama | None = None
    """What tells of single tokens, which the program does not."""
    adds_bos: bool = True

    @property
    def name(self) -> str:
        return self.program.name

    def ask(self, model: Path, prompts: Sequence[str], max_tokens: int, texts: Sequence[Text], run: ActiveRun) -> Asked:
        answers = []
        ended = Ended(0, "", "")
        for prompt in prompts:
            ended = run_child(self._command(model, prompt, max_tokens), run, ASK_TIMEOUT_S)
            if not ended.well:
                return Asked(None, None, None, ended)
            answers.append(ended.stdout.strip().removesuffix("[end of text]").strip())
        measured = self.measurer.ask(model, (), max_tokens, texts, run) if self.measurer else None
        return Asked(tuple(answers), None, measured.scored if measured else None, ended)

    def _command(self, model: Path, prompt: str, max_tokens: int) -> list[str]:
        return [
            str(self.program), "-m", str(model), "-p", prompt, "-n", str(max_tokens),
            "-c", str(CONTEXT), "--temp", "0", "--no-escape", "--no-display-prompt", "-no-cnv", "--no-warmup",
        ]  # fmt: skip


def find_asker() -> Asker:
    """The first that can load and ask a GGUF file: llama-completion (LLAMA_CPP_DIR, then PATH), then cyllama.

    Raises:
        MissingExtraError: There is none.
    """
    if program := find_program("llama-completion") or find_program("llama-cli"):
        return LlamaCompletion(program, Cyllama() if has_cyllama() else None)
    return need_cyllama("Loading a GGUF file")


def need_cyllama(purpose: str) -> Cyllama:
    """The wheel.

    Raises:
        MissingExtraError: It is not installed.
    """
    if not has_cyllama():
        raise MissingExtraError(
            f"{purpose} needs llama.cpp's programs on the PATH (or in LLAMA_CPP_DIR), or the package cyllama.",
            f"Run: {INSTALL_LINE}",
        )
    return Cyllama()
