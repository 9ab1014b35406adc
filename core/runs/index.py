"""The index of runs: one small pointer file a run. The folders are the truth; this can be rebuilt from them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .. import files
from ..errors import PathError, RunNotFoundError
from ..schema import Model
from ..settings import STATE, Settings
from ..untrusted import quote
from .record import RunFolder

RUNS = ".run"  # in an output_dir: the folder of its run folders


class Pointer(Model):
    """Where a run lies, and what it is a run of."""

    run_id: str
    run_dir: Path
    mode: str
    request_key: str


def add(pointer: Pointer, settings: Settings) -> None:
    """Make a run findable by its id.

    Raises:
        PathError: The index cannot be written.
    """
    with _writing(settings):
        files.write_model(settings.state_dir / "runs" / f"{pointer.run_id}.json", pointer)


@contextlib.contextmanager
def _writing(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"The index of runs in '{settings.state_dir}' cannot be written: {error.strerror or error}."
        step = f"Free some space there, or name another folder in {STATE} where the server is started."
        raise PathError(problem, step) from error


def pointers(settings: Settings) -> Iterator[Pointer]:
    """All runs that this server may see, newest first; pointers to vanished folders are dropped."""
    folder = settings.state_dir / "runs"
    if not folder.is_dir():
        rebuild(settings)
    for path in sorted(folder.glob("*.json"), reverse=True):
        try:
            pointer = Pointer.model_validate_json(path.read_bytes())
        except (OSError, ValueError):
            continue
        if not RunFolder(path=pointer.run_dir).record_path.is_file():
            with contextlib.suppress(OSError):  # an index that cannot be written can still be read
                path.unlink()
        elif _is_visible(pointer.run_dir, settings):
            yield pointer


def find(run_id: str, settings: Settings) -> RunFolder:
    """The folder of the run with this id.

    Raises:
        RunNotFoundError: There is none below the roots, or links in its folder lead out of them.
    """
    for _ in range(2):
        for pointer in pointers(settings):
            if pointer.run_id == run_id:
                return RunFolder(path=pointer.run_dir)
        rebuild(settings)  # the folder may have come with a copied or restored output_dir
    raise RunNotFoundError(
        f"No run has the id {quote(run_id)}, or its folder holds links that lead out of the folders allowed here.",
        "List the runs with `runs` and action list.",
    )


def rebuild(settings: Settings) -> int:
    """Read the index anew from the run folders below the roots; returns how many runs were found."""
    with _writing(settings):
        (settings.state_dir / "runs").mkdir(parents=True, exist_ok=True)
    found = 0
    for root in settings.roots:
        if root == Path(root.anchor):  # the whole disk is no place to search
            continue
        for folder, names, _ in os.walk(root):
            if RUNS in names:
                found += sum(_add_folder(path, settings) for path in (Path(folder) / RUNS).iterdir())
            names[:] = [name for name in names if not name.startswith(".") and name != "node_modules"]
    return found


def _add_folder(path: Path, settings: Settings) -> bool:
    try:
        record = RunFolder(path=path).record()
    except RunNotFoundError:
        return False
    # by the folder's name: the record may say anything, and the pointer is a file of that name
    add(Pointer(run_id=path.name, run_dir=path, mode=record.mode, request_key=record.request_key), settings)
    return True


def _is_visible(run_dir: Path, settings: Settings) -> bool:
    if settings.state_dir in run_dir.parents:  # dry runs
        return True
    # A copied folder may bring links in place of its files, which would be read and written as the run's own
    links = [entry.path for entry in os.scandir(run_dir) if entry.is_symlink()]
    return all(_is_inside(path, settings) for path in (run_dir, *map(Path, links)))


def _is_inside(path: Path, settings: Settings) -> bool:
    real = Path(os.path.realpath(path))  # which takes links in a circle, too
    return any(root in real.parents for root in settings.roots)
