"""What a start has done at the provider, kept in its run folder so that nothing is done twice."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from .. import files
from ..errors import RunNotFoundError, RunStateError
from ..runs.active import ActiveRun
from ..runs.record import RunFolder
from ..schema import Model

NAME = "hosted.json"


class SentFile(Model):
    """How far the upload of one file is."""

    name: str
    """Its name at the provider, which says run and content: no other file there has it."""
    size_bytes: int
    begun: bool = False
    """Whether a request that may have stored it was sent."""
    upload_id: str | None = None
    """Of an upload in parts."""
    parts: tuple[str, ...] = ()
    """Ids of the parts that have arrived, in order."""
    file_id: str | None = None
    """Once it is whole."""


class Hosted(Model):
    """hosted.json."""

    request_id: str
    """Goes into the job's metadata; the id of the run that began."""
    host: str
    """The provider that all of this is at."""
    files: dict[str, SentFile] = Field(default_factory=dict)
    """By what they are for: train, valid."""
    creating: bool = False
    """Whether a request that may have created the job was sent."""
    job_id: str | None = None
    given_up: bool = False
    """Whether the job ended without a model: then the next start makes another one."""
    took_s: float | None = None
    """From the job's creation to its end with a model; null before, and where the provider does not say."""
    trained_tokens: int | None = None
    """Of all epochs, once it has ended."""


class Memory:
    """hosted.json of one run, written anew at every step."""

    def __init__(self, path: Path, hosted: Hosted) -> None:
        self._path = path
        self.hosted = hosted

    def note(self, **changed: Any) -> None:
        """Remember, on disk, before anything else happens."""
        self.hosted = self.hosted.model_copy(update=changed)
        files.write_model(self._path, self.hosted)

    def note_file(self, role: str, **changed: Any) -> SentFile:
        """Remember how far a file is."""
        sent = self.hosted.files[role].model_copy(update=changed)
        self.note(files=self.hosted.files | {role: sent})
        return sent


def remembered(run: ActiveRun, host: str, rerun: bool) -> Memory:
    """What this run, or an earlier run of the same request, has done already; an empty memory when nothing.

    Raises:
        RunStateError: It was done at another provider.
    """
    path = run.folder.path / NAME
    hosted = (
        _read(path)
        or (None if rerun else _of_earlier_run(run.folder))
        or Hosted(request_id=run.folder.run_id, host=host)
    )
    if hosted.host != host:
        raise RunStateError(
            f"This run began at {hosted.host}, but OPENAI_BASE_URL names {host} now.",
            f"Start the server with the address of {hosted.host}, or start anew with rerun: true.",
        )
    memory = Memory(path, hosted)
    memory.note()
    return memory


def read_memory(folder: RunFolder) -> Hosted | None:
    """What a run has done; None when it began nothing, or in a way that this version cannot read."""
    try:
        return _read(folder.path / NAME)
    except ValidationError:
        return None


def _read(path: Path) -> Hosted | None:
    try:
        return Hosted.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None


def _of_earlier_run(folder: RunFolder) -> Hosted | None:
    """The newest memory of the same request, unless its job ended without a model."""
    key = folder.record().request_key
    for path in sorted(folder.path.parent.iterdir(), reverse=True):
        if path == folder.path or not (path / NAME).is_file():
            continue
        try:
            same = RunFolder(path=path).record().request_key == key
        except RunNotFoundError:
            continue
        if same:
            earlier = _read(path / NAME)
            return None if earlier is None or earlier.given_up else earlier
    return None
