"""Files that are whole or absent: temporary file, fsync, replace."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeVar

from pydantic import ValidationError

from .schema import Model

ModelT = TypeVar("ModelT", bound=Model)


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    The temporary file lies in the same folder, so the replace is one rename; the folder is created when missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        if isinstance(error, OSError) and error.filename is None:  # a failed write does not say where
            error.filename = str(path)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 text file, or nothing."""
    with atomic_writer(path) as file:
        file.write(text.encode("utf-8"))


def write_model(path: Path, model: Model) -> None:
    """Write a model as indented JSON, or nothing."""
    write_text(path, model.model_dump_json(indent=2) + "\n")


def append_model(path: Path, model: Model) -> None:
    """Add a model as one line of JSON to the end of a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(model.model_dump_json() + "\n")


def read_models(path: Path, kind: type[ModelT]) -> list[ModelT]:
    """What `append_model` left in a file, none when there is no file; a line that a killed process cut is passed over.

    Such a line is ended, so that the next one stands for itself.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    if data and not data.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")
    models = []
    for line in data.split(b"\n"):
        with contextlib.suppress(ValidationError):
            models.append(kind.model_validate_json(line))
    return models


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of `path` when the block ends well, and vanishes when it does not.

    An earlier folder at `path` is replaced; callers check beforehand that they may do that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        fresh.chmod(0o755 & ~_umask())
        yield fresh
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".old"))
            os.replace(path, old / path.name)
            os.replace(fresh, path)
            shutil.rmtree(old)
        else:
            os.replace(fresh, path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def folder_bytes(path: Path) -> int:
    """Bytes of all regular files below a folder, or of the file itself."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
