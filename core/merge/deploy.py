"""Commands that serve what was made."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from .result import Deploy, Export

CONTEXT = 4096
OLLAMA_NAME = "finetuned"


def commands(merged: Path | None, exports: Sequence[Export], modelfile: Path | None) -> tuple[Deploy, ...]:
    """One command for each target that can serve one of the files."""
    found = []
    if merged is not None:
        folder = shlex.quote(str(merged))
        found.append(Deploy(target="transformers", command=f"transformers serve {folder}"))
        found.append(Deploy(target="vllm", command=f"vllm serve {folder} --served-model-name {OLLAMA_NAME}"))
    if best := smallest(exports):
        serve = f"llama-server -m {shlex.quote(str(best.path))} -c {CONTEXT} --jinja --port 8080"
        found.append(Deploy(target="llama-server", command=serve))
    if modelfile is not None:
        path = shlex.quote(str(modelfile))
        command = f"ollama create {OLLAMA_NAME} -f {path} && ollama run {OLLAMA_NAME}"
        found.append(Deploy(target="ollama", command=command))
    return tuple(found)


def smallest(exports: Sequence[Export]) -> Export | None:
    """The smallest file that did not fail its check; None when there is none."""
    usable = [one for one in exports if one.verification is None or one.verification.status != "fail"]
    return min(usable, key=lambda one: one.bytes, default=None)
