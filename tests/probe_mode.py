"""A mode for tests of runs: does what its request says and waits at gates, so that no test needs to sleep.

A worker finds it through PYTHONPATH, which the mode itself asks to be passed on.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

from faion_finetuner.core.errors import DataError
from faion_finetuner.core.paths import confine
from faion_finetuner.core.reports.report import Report
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.mode import Mode
from faion_finetuner.core.runs.request import RunRequest
from faion_finetuner.core.schema import Model
from faion_finetuner.core.settings import Settings

Act = Literal["count", "fail", "crash", "fill", "hold", "work"]


class ProbeRequest(RunRequest):
    act: Act = "count"
    data_path: Path | None = None


class ProbeResult(Model):
    counted: int
    resumed: bool
    seen: dict[str, str]


def resolve(request: ProbeRequest, settings: Settings) -> ProbeRequest:
    return request.model_copy(update={"output_dir": confine(request.output_dir, settings)})


def run(request: ProbeRequest, run: ActiveRun) -> ProbeResult:
    match request.act:
        case "fail":
            raise DataError("Row 3 has no answer.", "Give it one.")
        case "crash":
            raise ZeroDivisionError
        case "fill":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run.output_dir / "rows.jsonl"))
        case "hold":  # busy in a child process; only the stop deadline or a kill ends it
            child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
            (run.folder.path / "child.pid").write_text(str(child.pid), encoding="utf-8")
            print("holding", flush=True)  # noqa: T201 - into the log
            announce(run.folder.path)
            child.wait()
        case "work":  # works in units until it is asked to stop, like a training loop
            announce(run.folder.path)
            while not run.stop_requested:
                run.progress(1, 2, "steps")
            (run.folder.path / "checkpoint").write_text("saved", encoding="utf-8")
            run.raise_if_stopped()
    run.stage("counting")
    for step in range(1, 4):
        run.metric({"step": step, "loss": 1 / step})
        run.progress(step, 3, "steps")
    if not request.dry_run:
        (run.output_dir / "counted.txt").write_text("3", encoding="utf-8")
    seen = {name: value for name, value in os.environ.items() if name.startswith(("PROBE_", "MALLOC_"))}
    return ProbeResult(counted=3, resumed=run.resume, seen=seen)


def report(result: ProbeResult) -> Report:
    return Report(
        title="Probe", headline=f"counted {result.counted}", markdown=f"# Probe\n\nCounted {result.counted}.\n"
    )


def announce(run_dir: Path) -> None:
    """Tell the test that the work has begun: opening a named pipe blocks until the other end opens it too."""
    with (run_dir.parent.parent.parent / "begun").open("w", encoding="utf-8") as pipe:
        pipe.write(run_dir.name)


MODE = Mode(
    name="probe",
    address="tests.probe_mode:MODE",
    request=ProbeRequest,
    result=ProbeResult,
    resolve=resolve,
    inputs=lambda request: (request.data_path,) if request.data_path else (),
    outputs=lambda request: ("counted.txt",),
    run="tests.probe_mode:run",
    report="tests.probe_mode:report",
    uses_accelerator=lambda _: True,
    environment=lambda _: ("PYTHONPATH",),
)
