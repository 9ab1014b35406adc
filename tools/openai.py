"""The `openai` tool: hosted fine-tuning, checked and priced before anything is uploaded."""

import dataclasses
from typing import Any

import anyio

from ..core.models.source import HOSTED
from ..core.openai_jobs.mode import MODE
from ..core.openai_jobs.request import OVER_DATA, OpenAIRequest, resolve
from ..core.openai_jobs.result import OpenAIResult
from ..core.reports.markdown import shorten
from .modes import REPORT_LIMIT, mode_tool
from .spec import Caller, Hints, NextStep, Reply

DESCRIPTION = """\
Fine-tune a hosted model at OpenAI or, by OPENAI_BASE_URL, any provider with its interface. check and estimate run \
offline; start uploads data and spends money: show the user its dry_run first.

Example: {"action": "start", "data_path": "work/data", "model": "gpt-4.1-mini-2025-04-14", "dry_run": true}"""

REPAIRED_BY_PREPARE = {"Valid JSON", "Messages", "Roles", "Content", "Last Message"}
BEYOND_THE_DATA = {"Model", "Provider", "Grader", "Cost"}


def next_steps(request: OpenAIRequest, result: OpenAIResult) -> tuple[NextStep, ...]:
    """Repair what fails; then price it, see what leaves, start; then ask the tuned model."""
    if request.action not in OVER_DATA or (request.action == "start" and not request.dry_run):
        return _after_training(request, result)
    data = str(request.data_path)
    same = {"data_path": data, "method": request.method}
    if request.validation_path:
        same["validation_path"] = str(request.validation_path)
    failed = {check.name for check in result.checks if check.status == "fail"}
    if failed & REPAIRED_BY_PREPARE and request.method == "supervised":
        repair = {"data_path": data, "format": "openai", "output_dir": "<new folder>"}
        return (NextStep(tool="prepare", arguments=repair, why="Clean and convert the data to chat records."),)
    if failed - BEYOND_THE_DATA:
        again = {"action": "check"} | same
        return (NextStep(tool="openai", arguments=again, why="Check again once the named lines are mended."),)
    train = NextStep(
        tool="train",
        arguments={"data_path": data, "model_name": "smollm2-135m-instruct", "output_dir": "<new folder>"},
        why="Train an open model on the same data: no upload, no fee, and it stays yours.",
    )
    return (train,) if failed else (_onward(request, result, same), train)


def _onward(request: OpenAIRequest, result: OpenAIResult, same: dict[str, str]) -> NextStep:
    model = request.model or "<hosted model>"
    match request.action:
        case "check":
            arguments = {"action": "estimate", "model": model} | same
            return NextStep(tool="openai", arguments=arguments, why="See tokens, epochs and price.")
        case "estimate":
            arguments = {"action": "start", "model": model, "dry_run": True} | same
            return NextStep(tool="openai", arguments=arguments, why="See what would leave this machine.")
        case _:
            given = request.model_dump(mode="json", exclude_defaults=True, exclude={"dry_run", "wait_s"})
            unknown = result.estimate is None or result.estimate.usd is None
            arguments = {"max_cost_usd": "<unlimited: the cost is unknown>" if unknown else "<US dollars>"} | given
            return NextStep(tool="openai", arguments=arguments, why="Once the user agrees: upload, and pay for it.")


def _after_training(request: OpenAIRequest, result: OpenAIResult) -> tuple[NextStep, ...]:
    if result.tuned_model is not None:
        name = result.tuned_model.name
        chat = {"action": "chat", "model": name, "prompt": "<prompt>"}
        compare = {
            "model_name": HOSTED + ((result.job and result.job.model) or "<base model>"),
            "finetuned_path": HOSTED + name,
            "data_path": str(request.validation_path or "<held-out rows>"),
            "output_dir": "<new folder>",
            "dry_run": True,
        }
        why = "See what it costs to prove on held-out rows whether the tuned model is better."
        return (
            NextStep(tool="evaluate", arguments=compare, why=why),
            NextStep(tool="openai", arguments=chat, why="Ask the tuned model."),
        )
    if result.job is not None:
        events = {"action": "events", "job_id": result.job.id}
        return (NextStep(tool="openai", arguments=events, why="See what happened to the job."),)
    return ()


RUNS = mode_tool(
    MODE,
    name="openai",
    title="Hosted fine-tuning",
    description=DESCRIPTION,
    next_steps=next_steps,
    hints=Hints(read_only=False, destructive=True, idempotent=False, open_world=True),
)


async def call(request: OpenAIRequest, caller: Caller) -> Reply[Any]:
    """Start a run, or, for what the provider can answer at once, ask it without one."""
    if request.action in OVER_DATA:
        return await RUNS.call(request, caller)
    from ..core.openai_jobs import at_once, report  # the client library loads only where it is used

    resolved = resolve(request, caller.settings)
    result = await anyio.to_thread.run_sync(at_once.ask, resolved, abandon_on_cancel=True)
    text = report.report(result).markdown
    return RUNS.output(
        run_id=None,
        mode=RUNS.name,
        status="succeeded",
        result=result,
        report_markdown=shorten(text, REPORT_LIMIT, "the result"),
        next_steps=next_steps(resolved, result),
    )


TOOL = dataclasses.replace(RUNS, call=call)
