"""The worker: carries out one run and writes down how it ended.

Started as `python -P -m faion_finetuner.core.runs.worker RUN_DIR` in a session of its own, so that it outlives
the server and nothing in the working directory can shadow a library. Finds the mode by the address in run.json.
"""

import contextlib
import errno
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .. import files
from ..errors import Cancelled, FinetunerError
from ..reports.report import write_report
from ..settings import Settings
from . import entry, queue
from .active import ActiveRun
from .mode import Mode, load
from .process import Process
from .record import RunError, RunFolder, RunRecord, RunState, now

NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)
OUT_OF_MEMORY = "Use a smaller batch_size or max_seq_length, technique qlora, or a smaller model."

log = logging.getLogger("faion_finetuner.worker")


def main(run_dir: Path) -> int:
    """Carry out the run in this folder; returns the exit code: 0 only when it succeeded."""
    folder = RunFolder(path=run_dir)
    record = folder.record()
    own = Process.of(os.getpid())
    assert own is not None
    files.write_model(folder.process_path, own)
    folder.write_status(folder.status().model_copy(update={"pid": own.pid, "process_started_at": own.started_at}))
    run = ActiveRun(folder, record.output_dir, resume=folder.status().attempt > 1)
    signal.signal(signal.SIGTERM, lambda *_: _stop(run))
    state, error = _attempt(record, run)
    folder.write_status(
        folder.status().model_copy(update={"status": state, "error": error, "ended_at": now(), "progress": None})
    )
    log.info("%s", state)
    return 0 if state == "succeeded" else 1


def _attempt(record: RunRecord, run: ActiveRun) -> tuple[RunState, RunError | None]:
    try:
        with _turn(record, run):
            run.raise_if_stopped()
            _carry_out(record, run)
    except Cancelled as error:
        return "cancelled", _described(error)
    except FinetunerError as error:
        log.error("%s", error)
        return "failed", _described(error)
    except MemoryError:
        log.exception("out of memory")
        return "failed", RunError(
            code="out_of_memory", problem="The machine ran out of memory.", next_step=OUT_OF_MEMORY
        )
    except Exception as error:
        log.exception("unexpected error")
        if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
            return "failed", _unwritable(error, record.output_dir)
        problem = f"Unexpected {type(error).__name__} in {record.mode}; the traceback is in the log."
        return "failed", RunError(
            code="internal", problem=problem, next_step="Read it with `runs`, action logs, and report it as a defect."
        )
    return "succeeded", None


def _unwritable(error: OSError, folder: Path) -> RunError:
    """What a full disk, or a folder of somebody else, means for any mode that has not said it better."""
    problem = f"'{error.filename or folder}' could not be written: {error.strerror}. Files that stand are whole."
    next_step = "Free some space, or see that this user may write there; then continue with `runs`, action resume."
    return RunError(code="not_writable", problem=problem, next_step=next_step)


def _described(error: FinetunerError) -> RunError:
    return RunError(code=error.code, problem=error.problem, next_step=error.next_step)


@contextlib.contextmanager
def _turn(record: RunRecord, run: ActiveRun) -> Iterator[None]:
    if record.slot is None:
        yield
        return
    ticket = f"{record.created_at:%Y%m%dT%H%M%S%f}-{record.run_id}"
    queue_dir = Settings.from_environment().state_dir / "queue" / record.slot

    def waiting(before: int) -> None:
        run.raise_if_stopped()
        run.stage(f"waiting for the accelerator: {before} run{'s' if before > 1 else ''} before this one")

    def leave_queue(*_: object) -> None:  # raising out of the handler is what ends a blocking lock call
        run.request_stop()
        run.raise_if_stopped()

    stop_gently = signal.signal(signal.SIGTERM, leave_queue)
    with queue.turn(queue_dir, ticket, waiting):
        signal.signal(signal.SIGTERM, stop_gently)
        yield


def _carry_out(record: RunRecord, run: ActiveRun) -> None:
    folder = run.folder
    folder.write_status(folder.status().model_copy(update={"status": "running", "started_at": now(), "progress": None}))
    mode: Mode = load(record.address)
    request = mode.request.model_validate(record.resolved)
    result = load(mode.run)(request, run)
    files.write_model(folder.result_path, result)
    report = load(mode.report)(result)
    write_report(report, folder.path, None if request.dry_run else run.output_dir)
    folder.write_status(folder.status().model_copy(update={"headline": report.headline}))


def _stop(run: ActiveRun) -> None:
    """Ask the mode to stop, and make sure of it: after the grace time this worker ends its whole group itself."""
    if run.stop_requested:
        return
    run.request_stop()

    def deadline() -> None:
        time.sleep(Settings.from_environment().stop_grace_s)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=deadline, daemon=True, name="stop-deadline").start()


if __name__ == "__main__":
    entry.carry_out(main)
