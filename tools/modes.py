"""A mode as a tool: check the request, start the run, wait a little, answer with what stands by then."""

from typing import Any

from pydantic import ValidationError

from ..core.errors import DataError, InputError, PathError, RunStateError
from ..core.reports.markdown import shorten
from ..core.runs import launch, watch
from ..core.runs.mode import Mode
from ..core.runs.record import RunFolder, RunStatus
from .spec import Caller, Hints, NextStep, NextSteps, Reply, Tool, ToolName

ASKED_WRONGLY = (InputError.code, PathError.code, DataError.code)  # the same run would end in the same way
REPORT_LIMIT = 6_000  # characters; about 1,500 tokens


def mode_tool(mode: Mode, name: ToolName, title: str, description: str, next_steps: NextSteps, hints: Hints) -> Tool:
    """The tool that starts runs of a mode."""

    async def call(request: Any, caller: Caller) -> Reply[Any]:
        resolved = mode.resolve(request, caller.settings)
        folder = launch.start(mode, caller.given, resolved, caller.settings)
        status = await watch.wait(folder, request.wait_s, caller.on_progress)
        return run_reply(tool, folder, status)

    tool = Tool(
        name=name,
        title=title,
        description=description,
        input=mode.request,
        output=Reply[mode.result],
        hints=hints,
        call=call,
        mode=mode,
        next_steps=next_steps,
    )
    return tool


def run_reply(tool: Tool, folder: RunFolder, status: RunStatus) -> Reply[Any]:
    """The reply of one run of this tool as it stands.

    Raises:
        RunStateError: Another version has written the run's files.
    """
    mode = tool.mode
    assert mode is not None
    succeeded = status.status == "succeeded"
    try:
        result = mode.result.model_validate_json(folder.result_path.read_bytes()) if succeeded else None
        request = mode.request.model_validate(folder.record().resolved)
    except ValidationError as error:
        raise RunStateError(
            f"Run {folder.run_id} has files of another version of this program, which cannot be read as its reply.",
            f"Read its report in '{folder.path}', or make the same call with rerun: true.",
        ) from error
    report_path = str(folder.report_path) if succeeded else None
    text = folder.report_path.read_text(encoding="utf-8") if succeeded else ""
    return tool.output(
        run_id=folder.run_id,
        mode=mode.name,
        status=status.status,
        progress=status.progress,
        result=result,
        error=status.error,
        report_markdown=shorten(text, REPORT_LIMIT, str(report_path)),
        report_path=report_path,
        run_dir=str(folder.path),
        next_steps=tool.next_steps(request, result) if result is not None else _meanwhile(folder, status),
    )


def _meanwhile(folder: RunFolder, status: RunStatus) -> tuple[NextStep, ...]:
    """What to do about a run that has no result (yet)."""

    def step(action: str, why: str) -> NextStep:
        return NextStep(tool="runs", arguments={"action": action, "run_id": folder.run_id}, why=why)

    match status.status:
        case "failed":
            logs = step("logs", "See what the worker printed.")
            if status.error is not None and status.error.code in ASKED_WRONGLY:
                return (logs,)
            return logs, step("resume", "Go on from what it has saved.")
        case "cancelled":
            return (step("resume", "Go on from what it has saved."),)
        case _:
            return step("wait", "Wait for the end, up to 25 s a call."), step("cancel", "Stop it; what it saved stays.")
