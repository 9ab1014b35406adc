"""Data files and calls for the tests of hosted fine-tuning."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from faion_finetuner.core import files
from faion_finetuner.core.checks import Check
from faion_finetuner.core.openai_jobs import job
from faion_finetuner.core.openai_jobs.mode import MODE
from faion_finetuner.core.openai_jobs.request import OpenAIRequest, resolve
from faion_finetuner.core.openai_jobs.result import OpenAIResult
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.launch import request_key
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings

from tests.records import record_of

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


def carry_out(settings: Settings, *, run_id: str = "20260101-000000-openai-test", **arguments: Any) -> OpenAIResult:
    """Resolve a request and run it as the worker does."""
    arguments = {"action": "check", "data_path": Path("train.jsonl")} | arguments
    request = resolve(OpenAIRequest.model_validate(arguments), settings)
    return job.run(request, begun(request, settings, run_id))


def begun(request: OpenAIRequest, settings: Settings, run_id: str) -> ActiveRun:
    """A run as its worker finds it; the second time with the same id it is resumed."""
    folder = RunFolder(path=settings.roots[0] / ".run" / run_id)
    resumed = folder.path.exists()
    folder.path.mkdir(parents=True, exist_ok=True)
    record = record_of(MODE, request, run_id, request_key(MODE, request))
    files.write_model(folder.record_path, record)
    folder.write_status(RunStatus(status="running", launched_at=now()))
    return ActiveRun(folder, request.output_dir, resume=resumed)


def check_of(result: OpenAIResult, name: str) -> Check:
    """The check of this name."""
    return next(check for check in result.checks if check.name == name)


def failing(result: OpenAIResult) -> set[str]:
    """Names of the checks that fail."""
    return {check.name for check in result.checks if check.status == "fail"}
