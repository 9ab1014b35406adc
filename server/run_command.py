"""One tool as a command: start, show progress on a terminal, wait to the end, print the report."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import anyio

from ..core.runs import index, watch
from ..core.runs.record import ENDED
from ..core.runs.watch import OnProgress
from ..core.settings import Settings
from ..tools.arguments import parse
from ..tools.modes import run_reply
from ..tools.spec import Caller, Reply, Tool


async def run_command(tool: Tool, given: dict[str, Any], settings: Settings, as_json: bool) -> int:
    """Carry out a tool to its end; returns 0 only when it succeeded.

    Ctrl-C stops the run at a checkpoint, as `runs` with action cancel does.
    """
    with _progress_on_terminal() as show:
        caller = Caller(settings=settings, given=given, on_progress=show)
        if tool.mode is None:
            reply = await tool.call(parse(tool.input, given), caller)
        else:
            reply = await tool.call(parse(tool.input, given | {"wait_s": 0}), caller)
            if reply.run_id is not None:  # else it was answered at once
                reply = await _to_the_end(tool, reply, settings, show)
    text = reply.model_dump_json(indent=2) if as_json else _as_text(reply)
    sys.stdout.write(text.rstrip() + "\n")
    failed = reply.error is not None or (tool.mode is not None and reply.status != "succeeded")
    return 1 if failed else 0


async def _to_the_end(tool: Tool, reply: Reply[Any], settings: Settings, show: OnProgress | None) -> Reply[Any]:
    assert reply.run_id is not None
    folder = index.find(reply.run_id, settings)
    try:
        while (status := await watch.wait(folder, 3600, show)).status not in ENDED:
            pass
    except anyio.get_cancelled_exc_class():
        sys.stderr.write(f"\nStopping {folder.run_id} at a checkpoint ...\n")
        with anyio.CancelScope(shield=True):
            await watch.cancel(folder, settings.stop_grace_s + 5)
        sys.stderr.write(f"Go on with: faion-finetuner runs --action resume --run-id {folder.run_id}\n")
        raise
    return run_reply(tool, folder, status)


def _as_text(reply: Reply[Any]) -> str:
    parts = [reply.report_markdown]
    if reply.error is not None:
        parts.append(f"{reply.mode} {reply.status}: {reply.error.problem}\nNext: {reply.error.next_step}")
    if reply.report_path is not None:
        parts.append(f"Whole report: {reply.report_path}")
    return "\n".join(part for part in parts if part)


@contextlib.contextmanager
def _progress_on_terminal() -> Iterator[OnProgress | None]:
    """What shows a run's progress; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from .progress_bar import ProgressBar

    with ProgressBar() as bar:
        yield bar.show
