"""Several processes that train one model, seen from the worker: torchrun starts them, and none outlives it."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from .. import files
from ..errors import FinetunerError, InputError, TrainingError
from ..models.machine import Machine, look
from ..models.source import local_path, resolve_model
from ..runs.active import ActiveRun
from ..settings import Settings
from .member import ALIVE, ORDER, Order, Outcome, outcome_path
from .request import TrainRequest
from .result import TrainResult

FOLDER = "processes"
"""In the run folder: what the processes are to do, and how it went."""

LOOK_EVERY_S = 0.2
LOG_LINES = 60
DEATH = re.compile(r"rank\s*: (?P<rank>\d+) .*?exitcode\s*: (?P<code>-?\d+)", re.DOTALL)
"""In what torchrun prints at the end: the process that died first."""


def train_together(request: TrainRequest, run: ActiveRun) -> TrainResult:
    """Train with `num_processes` processes on this machine, and wait for them.

    Raises:
        InputError: There are fewer devices than processes.
        FinetunerError: Whatever the processes raised.
        TrainingError: A process died.
    """
    machine = look()
    _refuse_too_many(request.num_processes, machine)
    run.stage("finding the model")
    settings = Settings.from_environment()
    local_path(resolve_model(request.model_name, settings), settings)  # fetched or converted once, not by all at once
    folder = run.folder.path / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    order = Order(request=request, run_dir=run.folder.path, output_dir=run.output_dir, resume=run.resume)
    files.write_model(folder / ORDER, order)
    with _held(folder / ALIVE):
        _wait(_launch(request.num_processes, folder, machine), run)
    return _outcome(request.num_processes, folder, run)


def _refuse_too_many(processes: int, machine: Machine) -> None:
    devices = {"cuda": torch.cuda.device_count(), "mps": 1}.get(machine.device, processes)
    if processes > devices:
        raise InputError(
            f"num_processes is {processes}, but this machine has {devices} GPU{'s' if devices != 1 else ''}.",
            f"Use num_processes {devices}: each process needs a GPU of its own.",
        )


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _launch(processes: int, folder: Path, machine: Machine) -> subprocess.Popen[bytes]:
    threads = max(1, machine.cpu_count // processes)
    environment = {"OMP_NUM_THREADS": str(threads), "PYTHONSAFEPATH": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"} | os.environ
    if sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")  # they all run here, so nobody else need reach them
    torchrun = ["-P", "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    member = ["--module", "faion_finetuner.core.train.member", str(folder)]
    return subprocess.Popen(
        [sys.executable, *torchrun, "--nproc-per-node", str(processes), *member],
        stdin=subprocess.DEVNULL,
        env=environment,
    )


def _wait(launcher: subprocess.Popen[bytes], run: ActiveRun) -> None:
    told = False
    try:
        while launcher.poll() is None:
            if run.stop_requested and not told:
                launcher.terminate()  # it passes the signal on, and they save a checkpoint
                told = True
            try:
                launcher.wait(LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                continue
    finally:
        launcher.kill()
        launcher.wait()


def _outcome(processes: int, folder: Path, run: ActiveRun) -> TrainResult:
    """What the first process found; when it was torn away, what another one did; else how a process died."""
    paths = [outcome_path(folder, rank) for rank in range(processes)]
    outcomes = [Outcome.model_validate_json(path.read_bytes()) for path in paths if path.is_file()]
    if outcomes and outcomes[0].result is not None and paths[0].is_file():
        return outcomes[0].result
    error = next((outcome.error for outcome in outcomes if outcome.error is not None), None)
    if error is not None:
        raise _kinds(FinetunerError).get(error.code, TrainingError)(error.problem, error.next_step)
    run.raise_if_stopped()
    raise _death(processes, run)


def _kinds(base: type[FinetunerError]) -> dict[str, type[FinetunerError]]:
    found = {base.code: base}
    for kind in base.__subclasses__():
        found |= _kinds(kind)
    return found


def _death(processes: int, run: ActiveRun) -> TrainingError:
    deaths = list(DEATH.finditer("\n".join(run.folder.log_tail(LOG_LINES))))
    if deaths:
        rank, code = int(deaths[-1]["rank"]) + 1, int(deaths[-1]["code"])
        killed = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
        problem = f"Process {rank} of {processes} {killed}; the others were stopped."
    else:
        problem = f"One of {processes} processes died; the others were stopped."
    return TrainingError(
        problem,
        "Read the log with `runs`, action logs; a kill without a word is mostly a lack of memory: use a smaller "
        "batch_size or fewer processes. Continue with `runs`, action resume.",
    )
