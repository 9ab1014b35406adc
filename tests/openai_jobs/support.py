"""Data files and calls for the tests of hosted fine-tuning."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from faion_finetuner.core.checks import Check
from faion_finetuner.core.openai_jobs import job
from faion_finetuner.core.openai_jobs.request import OpenAIRequest, resolve
from faion_finetuner.core.openai_jobs.result import OpenAIResult
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings

Record = dict[str, Any]


def chat(number: int = 0, **extra: Any) -> Record:
    """A conversation that keeps all rules."""
    messages = [
        {"role": "system", "content": "Answer with a number."},
        {"role": "user", "content": f"What follows {number}?"},
        {"role": "assistant", "content": str(number + 1)},
    ]
    return {"messages": messages} | extra


def answering(message: Record, **extra: Any) -> Record:
    """A conversation whose last message is this one."""
    return {"messages": [{"role": "user", "content": "Go on."}, message]} | extra


def pair(number: int = 0, **changed: Any) -> Record:
    """A preference pair that keeps all rules."""
    made: Record = {
        "input": {"messages": [{"role": "user", "content": f"What follows {number}?"}]},
        "preferred_output": [{"role": "assistant", "content": str(number + 1)}],
        "non_preferred_output": [{"role": "assistant", "content": "no idea"}],
    }
    return made | changed


def write(settings: Settings, records: Iterable[Record | str | bytes], name: str = "train.jsonl") -> Path:
    """Write lines below the root: records as JSON, texts and bytes as they are."""
    path = settings.roots[0] / name
    lines = [
        line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else json.dumps(line).encode()
        for line in records
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def carry_out(settings: Settings, **arguments: Any) -> OpenAIResult:
    """Resolve a request and run it as the worker does."""
    arguments = {"action": "check", "data_path": Path("train.jsonl")} | arguments
    request = resolve(OpenAIRequest.model_validate(arguments), settings)
    folder = RunFolder(path=settings.roots[0] / ".run" / "20260101-000000-openai-test")
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_status(RunStatus(status="running", launched_at=now()))
    return job.run(request, ActiveRun(folder, request.output_dir))


def check_of(result: OpenAIResult, name: str) -> Check:
    """The check of this name."""
    return next(check for check in result.checks if check.name == name)


def failing(result: OpenAIResult) -> set[str]:
    """Names of the checks that fail."""
    return {check.name for check in result.checks if check.status == "fail"}
