"""Programs run beside the worker: a crash there is an answer, not an end."""

import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .active import ActiveRun

POLL_S = 0.2
TAIL = 2_000  # characters of a program's own words that go into an error

log = logging.getLogger("faion_finetuner.child")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    """Exit code; minus the signal's number when one ended it."""
    stdout: str
    stderr: str
    timed_out: bool = False

    @property
    def well(self) -> bool:
        return self.code == 0 and not self.timed_out

    @property
    def how(self) -> str:
        """The end in words, e.g. "crashed with SIGSEGV"."""
        if self.timed_out:
            return "did not finish in time"
        if self.code < 0:
            return f"crashed with {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"

    def says(self, limit: int = TAIL) -> str:
        """The last of its own words."""
        return (self.stderr.strip() or self.stdout.strip())[-limit:]


def run_child(
    command: Sequence[str],
    run: ActiveRun,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    on_poll: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a program to its end, its output kept and copied to the log; stopping the run stops it.

    Args:
        command: Program and arguments.
        run: The run that it belongs to.
        timeout_s: After that many seconds it is ended.
        environment: Variables beyond this process's own.
        on_poll: Called several times a second meanwhile, and once after the end.

    Raises:
        Cancelled: The run was asked to stop meanwhile.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **(environment or {})}
        ) as child:
            timed_out = not _wait(child, run, timeout_s, on_poll)
            on_poll()
        ended = Ended(child.returncode, _read(out), _read(err), timed_out)
    log.info("%s %s\n%s", command[0], ended.how, ended.says())
    return ended


def growing(run: ActiveRun, file: Path, total_bytes: float, message: str) -> Callable[[], None]:
    """What tells, as often as it is called, how much of a file that a program writes is there."""

    def tell() -> None:
        written = file.stat().st_size if file.exists() else 0
        run.progress(min(written, total_bytes) / 1e6, total_bytes / 1e6, "MB", message)

    return tell


def _wait(child: subprocess.Popen[bytes], run: ActiveRun, timeout_s: float, on_poll: Callable[[], None]) -> bool:
    """Whether it ended by itself; otherwise it was ended here."""
    deadline = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline:
            run.raise_if_stopped()
            on_poll()
            try:
                child.wait(POLL_S)
                return True
            except subprocess.TimeoutExpired:
                continue
        return False
    finally:
        if child.poll() is None:
            child.kill()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
