"""Worker processes: one is named for good by its pid and start time."""

import contextlib
import os
import signal
import sys

import psutil
from pydantic import Field

from ..schema import Model


class Process(Model):
    """process.json: the worker of the current attempt."""

    pid: int = Field(gt=1)
    started_at: float
    """Start time in seconds, as the operating system has it: on Linux since the boot, elsewhere since the epoch."""

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process that has this pid now; None when it is gone."""
        try:
            return cls(pid=pid, started_at=_started_at(psutil.Process(pid)))
        except psutil.NoSuchProcess:
            return None

    def is_alive(self) -> bool:
        """Whether this very process still runs; a zombie or another process with the same pid does not count."""
        try:
            found = psutil.Process(self.pid)
            return abs(_started_at(found) - self.started_at) < 0.05 and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def terminate(self) -> None:
        """Ask the worker to stop; it saves what it can, then ends its whole group."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill_group(self) -> None:
        """End the worker and everything it started, at once.

        A worker leads its own session and group. The pid stays taken while the group has members, so
        when another process has the pid now, the group is long gone and nothing is killed.
        """
        current = Process.of(self.pid)
        if current is not None and abs(current.started_at - self.started_at) >= 0.05:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def _started_at(process: psutil.Process) -> float:
    """A start time that stays when the clock is set: Linux counts from the boot, and psutil adds the clock's."""
    return process.create_time() - (psutil.boot_time() if sys.platform == "linux" else 0)
