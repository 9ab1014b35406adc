"""The `openai` tool: hosted fine-tuning, checked and priced before anything is uploaded."""

from ..core.openai_jobs.mode import MODE
from ..core.openai_jobs.request import OpenAIRequest
from ..core.openai_jobs.result import OpenAIResult
from .modes import mode_tool
from .spec import Hints, NextStep

DESCRIPTION = """\
Find out whether a hosted fine-tuning job would be accepted, and what it would cost, before anything is uploaded. \
`check` names the lines that break the service's rules; `estimate` adds tokens, epochs and price. Both run offline, \
without a key. It does not start jobs yet.

Example: {"action": "estimate", "data_path": "work/data", "model": "gpt-4.1-mini-2025-04-14"}"""

REPAIRED_BY_PREPARE = {"Valid JSON", "Messages", "Roles", "Content", "Last Message"}


def next_steps(request: OpenAIRequest, result: OpenAIResult) -> tuple[NextStep, ...]:
    """Repair what fails, then price it, then compare with training an open model here."""
    data = str(request.data_path)
    same = {"data_path": data, "method": request.method}
    if request.validation_path:
        same["validation_path"] = str(request.validation_path)
    failed = {check.name for check in result.checks if check.status == "fail"}
    if failed & REPAIRED_BY_PREPARE and request.method == "supervised":
        repair = {"data_path": data, "format": "openai", "output_dir": "<new folder>"}
        return (NextStep(tool="prepare", arguments=repair, why="Clean and convert the data to chat records."),)
    if failed - {"Model"}:
        again = {"action": "check"} | same
        return (NextStep(tool="openai", arguments=again, why="Check again once the named lines are mended."),)
    train = NextStep(
        tool="train",
        arguments={"data_path": data, "model_name": "smollm2-135m-instruct", "output_dir": "<new folder>"},
        why="Train an open model on the same data: no upload, no fee, and it stays yours.",
    )
    if result.estimate is not None:
        return (train,)
    model = request.model or "<hosted model>"
    priced = {"action": "estimate", "model": model} | same
    return (NextStep(tool="openai", arguments=priced, why="See tokens, epochs and price."), train)


TOOL = mode_tool(
    MODE,
    name="openai",
    title="Hosted fine-tuning",
    description=DESCRIPTION,
    next_steps=next_steps,
    hints=Hints(read_only=False, destructive=False, idempotent=True, open_world=False),
)
