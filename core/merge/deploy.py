"""Commands that serve what was made."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from .result import Deploy, Export, Target

CONTEXT = 4096
NAME = "finetuned"


def commands(merged: Path | None, exports: Sequence[Export], modelfile: Path | None) -> tuple[Deploy, ...]:
    """One command for each target that can serve one of the files."""
    found: dict[Target, str] = {}
    if merged is not None:
        folder = shlex.quote(str(merged))
        found["transformers"] = f"pip install 'transformers[serving]' && transformers serve {folder}"
        found["vllm"] = f"vllm serve {folder} --served-model-name {NAME}"
        found["sglang"] = f"sglang serve --model-path {folder} --served-model-name {NAME}"
    if best := smallest(exports):
        file = shlex.quote(str(best.path))
        found["llama-server"] = f"llama-server -m {file} -c {CONTEXT} --jinja --port 8080"
        found["lm-studio"] = f"lms import --copy --user-repo local/{NAME} {file} && lms server start"
    if modelfile is not None:
        found["ollama"] = f"ollama create {NAME} -f {shlex.quote(str(modelfile))} && ollama run {NAME}"
    return tuple(Deploy(target=target, command=command) for target, command in found.items())


def smallest(exports: Sequence[Export]) -> Export | None:
    """The smallest file that did not fail its check; None when there is none."""
    usable = [one for one in exports if one.verification is None or one.verification.status != "fail"]
    return min(usable, key=lambda one: one.bytes, default=None)
