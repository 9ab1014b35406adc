"""A mode as a tool: check the request, start the run, wait a little, answer with what stands by then."""

from collections.abc import Callable
from typing import Any

from ..core.reports.markdown import shorten
from ..core.runs import launch, watch
from ..core.runs.mode import Mode
from ..core.runs.record import RunFolder, RunStatus
from .spec import Caller, Hints, NextStep, Reply, Tool, ToolName

REPORT_LIMIT = 6_000  # characters; about 1,500 tokens

NextSteps = Callable[[Any, Any], tuple[NextStep, ...]]
"""From the resolved request and the result to the calls worth making next."""


def mode_tool(mode: Mode, name: ToolName, title: str, description: str, next_steps: NextSteps, hints: Hints) -> Tool:
    """The tool that starts runs of a mode."""

    async def call(request: Any, caller: Caller) -> Reply[Any]:
        resolved = mode.resolve(request, caller.settings)
        folder = launch.start(mode, caller.given, resolved, caller.settings)
        status = await watch.wait(folder, request.wait_s, caller.on_progress)
        return run_reply(mode, folder, status, next_steps)

    return Tool(
        name=name,
        title=title,
        description=description,
        input=mode.request,
        output=Reply[mode.result],
        hints=hints,
        call=call,
    )


def run_reply(mode: Mode, folder: RunFolder, status: RunStatus, next_steps: NextSteps) -> Reply[Any]:
    """The reply of one run as it stands."""
    done = status.status == "succeeded"
    result = mode.result.model_validate_json(folder.result_path.read_bytes()) if done else None
    request = mode.request.model_validate(folder.record().resolved)
    report_path = folder.report_path if done else None
    text = report_path.read_text(encoding="utf-8") if report_path else ""
    return Reply[mode.result](
        run_id=folder.run_id,
        mode=mode.name,
        status=status.status,
        progress=status.progress,
        result=result,
        error=status.error,
        report_markdown=shorten(text, REPORT_LIMIT, str(report_path)),
        report_path=report_path and str(report_path),
        run_dir=str(folder.path),
        next_steps=next_steps(request, result) if result is not None else _meanwhile(folder, status),
    )


def _meanwhile(folder: RunFolder, status: RunStatus) -> tuple[NextStep, ...]:
    logs = NextStep(
        tool="runs", arguments={"action": "logs", "run_id": folder.run_id}, why="See what the worker printed."
    )
    if status.status in ("failed", "cancelled"):
        resume = NextStep(
            tool="runs", arguments={"action": "resume", "run_id": folder.run_id}, why="Go on from the last checkpoint."
        )
        return (logs, resume) if status.status == "failed" else (resume,)
    wait = NextStep(
        tool="runs", arguments={"action": "wait", "run_id": folder.run_id}, why="Wait for the end, up to 25 s a call."
    )
    cancel = NextStep(
        tool="runs", arguments={"action": "cancel", "run_id": folder.run_id}, why="Stop it; what it saved stays."
    )
    return (wait, cancel)
