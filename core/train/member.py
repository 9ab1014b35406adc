"""One of several processes that train together, as torchrun starts it: `python -m ...member FOLDER`.

Does what a lone worker does, on its share of the rows. The first one writes progress and metrics into the run; each one
leaves its outcome in FOLDER, where the worker that started them all finds it.
"""

import fcntl
import logging
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from .. import files
from ..errors import FinetunerError
from ..runs import entry
from ..runs.active import ActiveRun
from ..runs.record import RunError, RunFolder
from ..schema import Model
from . import distributed
from .request import TrainRequest
from .result import TrainResult

ORDER = "order.json"
ALIVE = "worker.lock"
"""Locked as long as the worker lives: the kernel frees a lock when its process ends, however it ends."""


class Order(Model):
    """What all processes are to do."""

    request: TrainRequest
    run_dir: Path
    output_dir: Path
    resume: bool


class Outcome(Model):
    """How it went for one process."""

    result: TrainResult | None = None
    error: RunError | None = None


class SilentRun(ActiveRun):
    """The run in all processes but the first: it can be stopped, and writes nothing."""

    def progress(self, done: float, total: float | None, unit: str, message: str = "") -> None:
        """Nothing: the first process tells it."""

    def stage(self, message: str) -> None:
        """Nothing: the first process tells it."""

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Nothing: the first process tells it."""


def outcome_path(folder: Path, rank: int) -> Path:
    """Where a process leaves its outcome."""
    return folder / f"outcome-{rank}.json"


def main(folder: Path) -> int:
    """Train; returns the exit code: 0 only when this process came to the end."""
    _end_with_the_worker(folder / ALIVE)
    order = Order.model_validate_json((folder / ORDER).read_bytes())
    kind = ActiveRun if distributed.rank() == 0 else SilentRun
    run = kind(RunFolder(path=order.run_dir), order.output_dir, order.resume)
    signal.signal(signal.SIGTERM, lambda *_: run.request_stop())
    distributed.join()
    outcome = _attempt(order, run)
    files.write_model(outcome_path(folder, distributed.rank()), outcome)
    distributed.leave()
    return 0 if outcome.error is None else 1


def _attempt(order: Order, run: ActiveRun) -> Outcome:
    from .job import carry_out  # heavy, and a signal may come while it loads

    try:
        return Outcome(result=carry_out(order.request, run))
    except FinetunerError as error:
        logging.getLogger("faion_finetuner.train").error("process %s: %s", distributed.rank(), error)
        return Outcome(error=RunError(code=error.code, problem=error.problem, next_step=error.next_step))


def _end_with_the_worker(lock: Path) -> None:
    """Kill this process when the worker is gone: torchrun gives each a session of its own, out of its reach."""

    def wait() -> None:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True, name="worker-alive").start()


if __name__ == "__main__":
    entry.carry_out(main)
