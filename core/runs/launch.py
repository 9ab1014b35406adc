"""Starting a run: the same request twice is one run, nothing is overwritten unasked, the worker stands alone."""

import contextlib
import hashlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from .. import files
from ..errors import OutputExistsError, PathError, RunStateError
from ..settings import STATE, Settings
from . import index, queue, watch
from .mode import Mode, loaded_mode
from .process import Process
from .record import ENDED, RunFolder, RunRecord, RunStatus, now
from .request import RunRequest

REPORTS = ("report.md", "report.html")
NOT_IDENTITY = {"wait_s", "rerun", "overwrite", "max_cost_usd"}  # how to ask, not what for
PACKAGES = (
    "faion-finetuner",
    "torch",
    "transformers",
    "datasets",
    "peft",
    "trl",
    "accelerate",
    "bitsandbytes",
    "lm-eval",
    "openai",
)
INHERITED = (
    "PATH", "HOME", "USER", "LANG", "LANGUAGE", "TMPDIR", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_DATASETS_CACHE",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "LLAMA_CPP_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SYSTEMROOT",
)  # fmt: skip
INHERITED_PREFIXES = (
    "LC_", "XDG_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_",
    "OMP_", "GOMP_", "MKL_", "MALLOC_", "TORCH_", "PYTORCH_", "NCCL_",
)  # fmt: skip

# Threads that wait for each other spin only shortly before they sleep (libgomp's default is 300,000 rounds): as fast on
# an idle machine, and beside other work, where spinning takes the core that the others need, a training is far quicker.
DEFAULTS = {"GOMP_SPINCOUNT": "20000"}

# Where models compute, glibc keeps freed tensors of up to 32 MB for the next ones. By itself it gives them back, and
# the system clears them anew: a tenth of the time of benchmarks, 2 to 7% of a training's. The peak was the same there,
# and up to a tenth higher where models were loaded one after the other; `give_back_memory` is called in between.
MODEL_DEFAULTS = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 30)}


def start(mode: Mode, given: dict[str, Any], request: RunRequest, settings: Settings) -> RunFolder:
    """Start a run of a resolved request, or find the one that is already there.

    Args:
        mode: What to run.
        given: The arguments as the caller gave them, for the record.
        request: The request after `mode.resolve`.
        settings: The server's settings.

    Raises:
        OutputExistsError: The run would replace files in output_dir and `overwrite` is not set.
        RunStateError: Another run is still writing into output_dir.
        PathError: The run's folder, or the index of runs, cannot be written.
    """
    step = "Give as output_dir a folder, or a name for one, where this user may write and the disk has room."
    with _alone(request.output_dir, step, settings):
        key = request_key(mode, request)
        if not request.rerun and (same := _same_run(mode, request, key, settings)):
            return same
        if not request.dry_run:
            _refuse_company(request.output_dir, settings)
            _refuse_overwriting(mode, request)
        return _create(mode, given, request, key, settings)


def resume(folder: RunFolder, settings: Settings) -> RunStatus:
    """Start the next attempt of a failed or cancelled run, in the same folder.

    Raises:
        RunStateError: The run is going on, or has succeeded, or another one is writing into its output_dir; or its
            folder was moved, or is of another version.
        FinetunerError: Its request would be refused by now, such as for a path outside the roots.
        PathError: The run's folder cannot be written.
    """
    with _alone(folder.path, "Free some space, or see that this user may write there, and resume again.", settings):
        status = watch.observe(folder)
        if status.status not in ("failed", "cancelled"):
            raise RunStateError(
                f"Run {folder.run_id} is {status.status}; only a failed or cancelled run can be resumed.",
                "Look at it with `runs` and action status.",
            )
        record = _proven(folder, settings)
        if settings.state_dir not in folder.path.parents:  # dry runs leave output_dir alone
            _refuse_company(record.output_dir, settings)
        launch_worker(folder, record, status.attempt + 1, settings)
        return folder.status()


def _proven(folder: RunFolder, settings: Settings) -> RunRecord:
    """The record, with all that tells the worker what to read and where to write proven and written anew.

    The file may have been edited, or have come with a copied folder: it has no more rights than a request.
    """
    record = folder.record()
    mode = loaded_mode(record.address)
    try:
        request = mode and mode.request.model_validate(record.resolved)
    except ValidationError:
        request = None
    if mode is None or request is None:
        raise RunStateError(
            f"'{folder.record_path}' is no run of this version of the program.", "Make its call again with rerun: true."
        )
    request = mode.resolve(request, settings)
    lies_in = folder.path.parent.parent
    if settings.state_dir not in folder.path.parents and request.output_dir != lies_in:
        raise RunStateError(
            f"Run {folder.run_id} was started for '{request.output_dir}', but its folder lies in '{lies_in}'.",
            f"It was moved or copied; make its call again with output_dir '{lies_in}'.",
        )
    proven = record.model_copy(
        update={
            "run_id": folder.run_id,
            "resolved": request.model_dump(mode="json"),
            "output_dir": request.output_dir,
            "slot": queue.slot_name() if mode.uses_accelerator(request) else None,
            "environment": mode.environment(request),
        }
    )
    if proven != record:
        files.write_model(folder.record_path, proven)
    return proven


@contextlib.contextmanager
def _alone(folder: Path, step: str, settings: Settings) -> Iterator[None]:
    """Keep other servers from starting a run meanwhile; what cannot be written becomes an error with this next step."""
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(settings.state_dir / "start.lock"):
            yield
    except OSError as error:
        path = Path(error.filename or folder)
        if settings.state_dir in (path, *path.parents):
            step = f"Free some space there, or name another folder in {STATE} where the server is started."
        raise PathError(f"'{path}' cannot be written: {error.strerror or error}.", step) from error


def request_key(mode: Mode, request: RunRequest) -> str:
    """A digest that is equal for equal resolved requests over unchanged inputs (by path, size and change time)."""
    asked = request.model_dump(mode="json", exclude=NOT_IDENTITY)
    made = {request.output_dir / name for name in (*mode.outputs(request), *REPORTS, index.RUNS)}
    found = [file for path in mode.inputs(request) for file in _files_of(path)]
    stamps = [_stamp(file) for file in found if made.isdisjoint((file, *file.parents))]  # data may lie in output_dir
    text = json.dumps([mode.name, asked, stamps, *mode.circumstances(request)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _files_of(path: Path) -> Iterable[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else (path,)


def _stamp(file: Path) -> tuple[str, int, int]:
    found = file.stat() if file.exists() else None
    return str(file), found.st_size if found else -1, found.st_mtime_ns if found else -1


def _same_run(mode: Mode, request: RunRequest, key: str, settings: Settings) -> RunFolder | None:
    for pointer in index.pointers(settings):
        if pointer.request_key != key:
            continue
        folder = RunFolder(path=pointer.run_dir)
        status = watch.observe(folder).status
        complete = request.dry_run or all((request.output_dir / name).exists() for name in mode.outputs(request))
        if status in ("queued", "running") or (status == "succeeded" and complete):
            return folder
    return None


def _refuse_company(output_dir: Path, settings: Settings) -> None:
    for pointer in index.pointers(settings):
        if (
            pointer.run_dir.parent.parent == output_dir
            and watch.observe(RunFolder(path=pointer.run_dir)).status not in ENDED
        ):
            raise RunStateError(
                f"Run {pointer.run_id} ({pointer.mode}) is still writing into '{output_dir}'.",
                "Wait for it or cancel it with `runs`, or choose another output_dir.",
            )


def _refuse_overwriting(mode: Mode, request: RunRequest) -> None:
    present = [name for name in mode.outputs(request) if (request.output_dir / name).exists()]
    if present and not request.overwrite:
        raise OutputExistsError(
            f"'{request.output_dir}' already holds {', '.join(present)}.",
            "Choose another output_dir, or pass overwrite: true to replace them.",
        )


def _create(mode: Mode, given: dict[str, Any], request: RunRequest, key: str, settings: Settings) -> RunFolder:
    created = now()
    run_id = f"{created:%Y%m%d-%H%M%S}-{mode.name}-{secrets.token_hex(3)}"  # sorts by age
    parent = settings.state_dir / "dry-runs" if request.dry_run else request.output_dir / index.RUNS
    folder = RunFolder(path=parent / run_id)
    folder.path.mkdir(parents=True)
    record = RunRecord(
        run_id=run_id,
        mode=mode.name,
        address=mode.address,
        request_key=key,
        request=given,
        resolved=request.model_dump(mode="json"),
        output_dir=request.output_dir,
        slot=queue.slot_name() if mode.uses_accelerator(request) else None,
        environment=mode.environment(request),
        created_at=created,
        packages=_versions(),
        host={
            "name": platform.node(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "cpus": str(os.cpu_count()),
        },
    )
    try:
        files.write_model(folder.record_path, record)
        index.add(index.Pointer(run_id=run_id, run_dir=folder.path, mode=mode.name, request_key=key), settings)
        launch_worker(folder, record, attempt=1, settings=settings)
    except (OSError, PathError):  # it never began, so nothing of it stays to be found as a dead run
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def launch_worker(folder: RunFolder, record: RunRecord, attempt: int, settings: Settings) -> None:
    """Start a worker on a run folder, in a session of its own, with a cut-down environment and no standard input."""
    folder.cancel_path.unlink(missing_ok=True)
    folder.write_status(RunStatus(status="queued", attempt=attempt, launched_at=now()))
    with folder.log_path.open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "faion_finetuner.core.runs.worker", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.path,
            env=_worker_environment(record, settings),
            start_new_session=True,
        )
    watch.adopt(worker)
    if (process := Process.of(worker.pid)) is not None:
        with contextlib.suppress(OSError):  # the worker writes it, too
            files.write_model(folder.process_path, process)


def _worker_environment(record: RunRecord, settings: Settings) -> dict[str, str]:
    names = {*INHERITED, *record.environment}
    kept = {name: value for name, value in os.environ.items() if name in names or name.startswith(INHERITED_PREFIXES)}
    fixed = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    defaults = DEFAULTS | (MODEL_DEFAULTS if record.slot else {})
    return defaults | kept | fixed | settings.as_environment()


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
