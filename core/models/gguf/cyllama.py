"""llama.cpp through the wheel cyllama, always in a child process: a crash there is an answer, not an end."""

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelError
from ...runs.active import ActiveRun
from ...runs.child import Ended, run_child

ASK_TIMEOUT_S = 3600.0
SHOWN = 300  # characters of its last words


@dataclass(frozen=True, slots=True)
class Replies:
    """What a child said."""

    replies: list[Any] | None
    """Lines of JSON; None when it did not end well."""
    ended: Ended


def has_cyllama() -> bool:
    """Whether the wheel is installed."""
    return importlib.util.find_spec("cyllama") is not None


def cyllama_child(*arguments: object) -> list[str]:
    """The command that does something with cyllama in a process of its own."""
    return [sys.executable, "-P", "-m", "faion_finetuner.core.models.gguf.cyllama_child", *map(str, arguments)]


def ask_child(
    action: str,
    model: Path,
    given: object,
    run: ActiveRun,
    on_done: Callable[[int], None] = lambda _: None,
    timeout_s: float = ASK_TIMEOUT_S,
) -> Replies:
    """Let a child do something with a GGUF file.

    Args:
        action: As cyllama_child.py calls it.
        model: The file.
        given: What the action takes, for JSON.
        run: The run that this belongs to; stopping it stops the child.
        on_done: Called meanwhile with the number of replies that are there.
        timeout_s: After that many seconds the child is ended.
    """
    asked, answered = run.folder.path / "questions.json", run.folder.path / "answers.jsonl"
    asked.write_text(json.dumps(given), encoding="utf-8")
    answered.unlink(missing_ok=True)
    try:
        count = _Lines(answered)
        ended = run_child(
            cyllama_child(action, model, asked, answered), run, timeout_s, on_poll=lambda: on_done(count())
        )
        if not ended.well:
            return Replies(None, ended)
        return Replies([json.loads(line) for line in answered.read_text(encoding="utf-8").splitlines()], ended)
    finally:
        asked.unlink(missing_ok=True)
        answered.unlink(missing_ok=True)


def unusable(model: Path, ended: Ended) -> ModelError:
    """The error for a file that llama.cpp could not load or ask."""
    return ModelError(
        f"llama.cpp could not work with '{model.name}': it {ended.how}. Its last words: {ended.says(SHOWN) or 'none'}",
        "Export the file again with merge, which proves each one; or give the merged folder that it was made from.",
    )


class _Lines:
    """Counts the lines of a growing file, reading each of them once."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._count = path, 0, 0

    def __call__(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read()
            self._read += len(new)
            self._count += new.count(b"\n")
        return self._count
