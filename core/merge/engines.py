"""What quantises and loads GGUF files: llama.cpp's own programs where they are, else the wheel cyllama."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import ExportError, MissingExtraError
from ..extras import INSTALL_LINE
from ..runs.active import ActiveRun
from .child import Ended, run_child
from .converter import LLAMA_CPP_DIR
from .request import Quantization

QUANTIZE_TIMEOUT_S = 6 * 3600.0
ASK_TIMEOUT_S = 900.0
CONTEXT = 1024  # tokens of prompt and answer together


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt as the model reads it."""

    prompt: str
    answer: str
    """What the merged model says to it: the file is led along this text, too."""
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of loading a GGUF file and asking it."""

    answers: tuple[str, ...] | None
    """None when it crashed or did not end well."""
    prompt_ids: tuple[tuple[int, ...], ...] | None
    """How its own tokenizer reads the prompts; None where the engine does not tell."""
    followed: tuple[float | None, ...] | None
    """For each prompt, the share of the given answer's tokens that it would choose there itself; None likewise."""
    ended: Ended


class Quantizer(Protocol):
    """Makes a smaller GGUF file."""

    @property
    def name(self) -> str: ...

    def quantize(self, source: Path, target: Path, quantization: Quantization, run: ActiveRun) -> None: ...


class Asker(Protocol):
    """Loads a GGUF file in a process of its own and answers greedily."""

    @property
    def name(self) -> str: ...

    @property
    def adds_bos(self) -> bool:
        """Whether it puts the begin token before a prompt where the file asks for that."""
        ...

    def ask(self, model: Path, questions: Sequence[Question], run: ActiveRun) -> Asked: ...


@dataclass(frozen=True, slots=True)
class LlamaQuantize:
    """llama.cpp's llama-quantize."""

    program: Path
    name: str = "llama-quantize"

    def quantize(self, source: Path, target: Path, quantization: Quantization, run: ActiveRun) -> None:
        command = [str(self.program), str(source), str(target), quantization.upper()]
        _proven(run_child(command, run, QUANTIZE_TIMEOUT_S), target, quantization)


@dataclass(frozen=True, slots=True)
class LlamaCompletion:
    """llama.cpp's llama-completion, or the llama-cli of a time when that did the same."""

    program: Path
    adds_bos: bool = True

    @property
    def name(self) -> str:
        return self.program.name

    def ask(self, model: Path, questions: Sequence[Question], run: ActiveRun) -> Asked:
        answers = []
        ended = Ended(0, "", "")
        for question in questions:
            ended = run_child(self._command(model, question), run, ASK_TIMEOUT_S)
            if not ended.well:
                return Asked(None, None, None, ended)
            answers.append(ended.stdout.strip().removesuffix("[end of text]").strip())
        return Asked(tuple(answers), None, None, ended)

    def _command(self, model: Path, question: Question) -> list[str]:
        return [
            str(self.program), "-m", str(model), "-p", question.prompt, "-n", str(question.max_tokens),
            "-c", str(CONTEXT), "--temp", "0", "--no-escape", "--no-display-prompt", "-no-cnv", "--no-warmup",
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cyllama:
    """The wheel cyllama, always in a child process."""

    name: str = "cyllama"
    adds_bos: bool = False

    def quantize(self, source: Path, target: Path, quantization: Quantization, run: ActiveRun) -> None:
        ended = run_child(_module("quantize", source, target, quantization), run, QUANTIZE_TIMEOUT_S)
        _proven(ended, target, quantization)

    def ask(self, model: Path, questions: Sequence[Question], run: ActiveRun) -> Asked:
        asked, answered = run.folder.path / "questions.json", run.folder.path / "answers.json"
        asked.write_text(json.dumps([[q.prompt, q.answer, q.max_tokens] for q in questions]), encoding="utf-8")
        try:
            ended = run_child(_module("ask", model, asked, answered), run, ASK_TIMEOUT_S)
            if not ended.well:
                return Asked(None, None, None, ended)
            records = json.loads(answered.read_text(encoding="utf-8"))
        finally:
            asked.unlink(missing_ok=True)
            answered.unlink(missing_ok=True)
        ids = tuple(tuple(record["prompt_ids"]) for record in records)
        followed = tuple(record["followed"] for record in records)
        return Asked(tuple(record["text"] for record in records), ids, followed, ended)


def _module(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "faion_finetuner.core.merge.cyllama_child", *map(str, arguments)]


def _proven(ended: Ended, target: Path, quantization: Quantization) -> None:
    if not ended.well or not target.is_file():
        raise ExportError(
            f"Quantising to {quantization} {ended.how}. Its last words: {ended.says(400)}",
            "Check the free disk space, and the log with `runs` and action logs.",
        )


def find_quantizer() -> Quantizer:
    """The first quantiser there is: llama-quantize (LLAMA_CPP_DIR, then PATH), then cyllama.

    Raises:
        MissingExtraError: There is none.
    """
    if program := _program("llama-quantize"):
        return LlamaQuantize(program)
    return _cyllama("Quantising")


def find_asker() -> Asker:
    """The first program that can load and ask a GGUF file, in the same order.

    Raises:
        MissingExtraError: There is none.
    """
    if program := _program("llama-completion") or _program("llama-cli"):
        return LlamaCompletion(program)
    return _cyllama("Loading a GGUF file")


def _cyllama(purpose: str) -> Cyllama:
    if importlib.util.find_spec("cyllama") is None:
        raise MissingExtraError(
            f"{purpose} needs llama.cpp's programs on the PATH (or in LLAMA_CPP_DIR), or the package cyllama.",
            f"Run: {INSTALL_LINE}",
        )
    return Cyllama()


def _program(name: str) -> Path | None:
    if named := os.environ.get(LLAMA_CPP_DIR):
        for folder in (Path(named), Path(named) / "build" / "bin", Path(named) / "bin"):
            if found := shutil.which(name, path=folder):
                return Path(found)
    found = shutil.which(name)
    return Path(found) if found else None
