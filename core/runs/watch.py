"""Watching and stopping runs from any process."""

import contextlib
import subprocess
import time
from collections.abc import Awaitable, Callable

import anyio

from .. import files
from ..errors import RunStateError
from ..schema import Model
from .process import Process
from .record import ENDED, RunError, RunFolder, RunStatus, now

POLL_S = 0.1
START_GRACE_S = 30.0  # between launch and the first sign of a worker whose launcher died in between
LOG_LINES_IN_ERROR = 12

OnProgress = Callable[[RunStatus], Awaitable[None]]
"""Told where a run stands, again and again."""

_children: list[subprocess.Popen[bytes]] = []


class CancelRequest(Model):
    """cancel.json: somebody asked this attempt to stop."""

    requested_at: str


def adopt(worker: subprocess.Popen[bytes]) -> None:
    """Reap this child when it ends, so that it does not stay behind as a zombie."""
    _children[:] = [child for child in _children if child.poll() is None]
    _children.append(worker)


def observe(folder: RunFolder) -> RunStatus:
    """Where the run stands, with the process looked at: a dead worker's run is ended here and its status repaired."""
    status = folder.status()
    if status.status in ENDED or _worker_lives(folder, status):
        return status
    status = folder.status()  # it may have written its end just before it went
    if status.status in ENDED:
        return status
    if (process := _process(folder)) is not None:
        process.kill_group()  # what a killed worker had started goes with it
    ended = status.model_copy(update={"ended_at": now(), "progress": None} | _how_it_died(folder))
    with contextlib.suppress(OSError):  # on a full disk it is found again the next time
        folder.write_status(ended)
    return ended


def _worker_lives(folder: RunFolder, status: RunStatus) -> bool:
    process = _process(folder)
    if process is None:
        return (now() - status.launched_at).total_seconds() < START_GRACE_S
    return _is_there(process)


def _is_there(process: Process) -> bool:
    """Whether a worker still runs, or is a child of ours that holds memory while the system takes it apart."""
    adopted = [child.pid for child in _children if child.poll() is None]
    return process.pid in adopted or process.is_alive()


def _process(folder: RunFolder) -> Process | None:
    try:
        return Process.model_validate_json(folder.process_path.read_bytes())
    except (OSError, ValueError):  # none yet, or damaged
        return None


def _how_it_died(folder: RunFolder) -> dict[str, object]:
    resume = "Continue it with `runs` and action resume."
    if folder.cancel_path.exists():
        return {
            "status": "cancelled",
            "error": RunError(code="cancelled", problem="The run was stopped on request.", next_step=resume),
        }
    tail = "\n".join(folder.log_tail(LOG_LINES_IN_ERROR)) or "(the log is empty)"
    problem = (
        f"The worker process died without a word: killed from outside, or out of memory. Last lines of its log:\n{tail}"
    )
    return {"status": "failed", "error": RunError(code="worker_died", problem=problem, next_step=resume)}


async def wait(folder: RunFolder, wait_s: float, on_progress: OnProgress | None = None) -> RunStatus:
    """The run's status once it has ended or `wait_s` seconds have passed, whichever is first."""
    deadline = time.monotonic() + wait_s
    while True:
        status = observe(folder)
        if status.status in ENDED or time.monotonic() >= deadline:
            return status
        if on_progress is not None:
            await on_progress(status)
        await anyio.sleep(POLL_S)


async def cancel(folder: RunFolder, wait_s: float) -> RunStatus:
    """Ask the run to stop and wait for it; the worker saves a checkpoint first and ends its whole group by itself.

    Raises:
        RunStateError: The run has ended already.
    """
    status = observe(folder)
    if status.status in ENDED:
        raise RunStateError(f"Run {folder.run_id} has ended already: {status.status}.", "Nothing to stop.")
    with contextlib.suppress(OSError):  # a full disk is a reason to stop; the worker itself tells how it ended
        files.write_model(folder.cancel_path, CancelRequest(requested_at=now().isoformat()))
    deadline = time.monotonic() + wait_s
    process = _process(folder)
    if process is not None:
        process.terminate()
    status = await wait(folder, wait_s)
    while process is not None and _is_there(process) and time.monotonic() < deadline:
        await anyio.sleep(POLL_S)  # its last word is written, but memory and devices are free only when it is gone
    return status
