"""What a command costs with all processes that it starts: wall time, CPU time and memory. Linux only."""

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
EVERY_S = 0.1
SHARE = 0.02
"""Of one core, at most, for sampling: adding up the pages of large processes takes tens of milliseconds each time."""

STRAGGLERS_S = 10
"""Seconds that processes may live on after the command has ended; then they are killed."""


@dataclass(frozen=True)
class Usage:
    """What one run of a command cost."""

    wall_s: float
    """From its start to its end."""

    cpu_s: float
    """User and system time of all its processes."""

    peak_pss_mb: float
    """Largest sum over its processes at one time, each shared page counted once; sampled up to ten times a second."""

    max_rss_mb: float
    """Largest resident set that any one of its processes ever had, as the kernel counted it."""

    exit_code: int

    last_words: str
    """The end of what it wrote to standard output, and to standard error."""


def measure(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], limit_s: float | None = None
) -> Usage:
    """Run a command in a folder until it and all its descendants have ended; after limit_s they are killed."""
    _adopt_orphans()
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder, env=environment)
        with Watch(began + limit_s if limit_s else None) as watch:
            wall_s = cpu_s = max_rss_kb = 0.0
            with contextlib.suppress(ChildProcessError):  # none is left
                while True:
                    pid, status, used = os.wait4(-1, 0)
                    cpu_s += used.ru_utime + used.ru_stime
                    max_rss_kb = max(max_rss_kb, used.ru_maxrss)
                    if pid == child.pid:
                        wall_s = time.perf_counter() - began
                        child.returncode = os.waitstatus_to_exitcode(status)
                        watch.deadline = time.perf_counter() + STRAGGLERS_S
    last = "\n".join(_end(folder / name) for name in ("stdout", "stderr"))
    return Usage(wall_s, cpu_s, watch.peak_kb / 1024, max_rss_kb / 1024, child.returncode, last)


def _end(text: Path) -> str:
    return text.read_text(encoding="utf-8", errors="replace").strip()[-1_000:]


class Watch:
    """Samples the memory of this process's descendants on a thread, and ends them after the deadline."""

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self.peak_kb = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        wait_s = EVERY_S
        while not self._over.wait(wait_s):
            began = time.thread_time()
            self.peak_kb = max(self.peak_kb, sum(map(_pss_kb, descendants(os.getpid()))))
            if self.deadline is not None and time.perf_counter() > self.deadline:
                for pid in descendants(os.getpid()):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            wait_s = max(EVERY_S, (time.thread_time() - began) / SHARE)


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process started, those that they started, and so on."""
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has just ended
            for child in map(int, listed.read_text().split()):
                yield child
                yield from descendants(child)


def _pss_kb(pid: int) -> int:
    with contextlib.suppress(OSError):  # it has just ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _adopt_orphans() -> None:
    """Make descendants whose parent ended children of this process, so that their time is counted too."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
