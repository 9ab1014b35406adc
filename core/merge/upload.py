"""Sharing a model on the model hub: into a private repository, nothing but what belongs to it, and shown before."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ..errors import RemoteError
from ..extras import require
from ..models.source import HUB_FILES, HUB_TOKEN
from ..runs.active import ActiveRun
from .quantizers import BITS
from .request import CARD, MODELFILE, MergeRequest, gguf_name
from .result import Export, Upload, UploadedFile
from .work import Work

MODEL_FILES = (*HUB_FILES, "NOTICE*", "*USE_POLICY*", "*.py")
PURPOSE = "Uploading a model"


@dataclass(frozen=True, slots=True)
class Item:
    """One file to be uploaded."""

    name: str
    """In the repository."""
    content: Path | bytes

    @property
    def bytes(self) -> int:
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)


def items(work: Work, exports: Sequence[Export], modelfile: Path | None) -> tuple[Item, ...]:
    """What goes: the whole model, the GGUF files and the Modelfile; or GGUF files alone of a model that is not ours.

    Reports, logs and the folders of runs stay here: they hold rows of the user's data.
    """
    chosen = [Item(export.path.name, export.path) for export in exports]
    chosen += [Item(MODELFILE, modelfile)] if modelfile else []
    if work.merged or not exports:
        files = (path for path in sorted(work.model.iterdir()) if path.is_file())
        chosen = [Item(path.name, path) for path in files if _belongs(path)] + chosen
    else:
        chosen.append(Item(CARD, work.card(exports).encode()))
    return tuple(chosen)


def _belongs(path: Path) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in MODEL_FILES)


def planned(work: Work, weights: Sequence[tuple[str, int]], beside: Sequence[Path]) -> Upload:
    """What would go, before there is anything: sizes of GGUF files are estimates on the high side.

    Args:
        work: The job.
        weights: Name and bytes of each merged weight file.
        beside: What would be copied from base and adapter.
    """
    job = work.job
    if not job.adapters and not job.request.gguf:
        return _told(job.request, items(work, (), None))
    found = dict(weights) | {path.name: path.stat().st_size for path in beside} if job.adapters else {}
    found |= {gguf_name(q): int(job.base.parameters * BITS[q] / 8) for q in job.request.gguf}
    found |= {MODELFILE: 0} if job.request.gguf and job.request.modelfile else {}
    found[CARD] = len(work.card().encode())
    files = tuple(UploadedFile(name=name, bytes=size) for name, size in found.items())
    return Upload(repo_id=_repo(job.request), private=True, files=files, bytes=sum(found.values()), url=None)


def _told(request: MergeRequest, chosen: Sequence[Item], url: str | None = None) -> Upload:
    files = tuple(UploadedFile(name=item.name, bytes=item.bytes) for item in chosen)
    total = sum(file.bytes for file in files)
    return Upload(repo_id=_repo(request), private=True, files=files, bytes=total, url=url)


def _repo(request: MergeRequest) -> str:
    assert request.upload_to is not None
    return request.upload_to


def refuse_public(repo_id: str) -> None:
    """Look, before the work begins, whether the hub would take it.

    Raises:
        RemoteError: The login is refused, the hub cannot be reached, or the repository is one that others can read.
    """
    hub = require("huggingface_hub", PURPOSE)
    with _translated(repo_id):
        _hub().whoami()
        try:
            found = _hub().repo_info(repo_id)
        except hub.errors.RepositoryNotFoundError:
            return
        _refuse_if_public(repo_id, found.private)


def _refuse_if_public(repo_id: str, private: bool | None) -> None:
    if not private:
        raise RemoteError(
            f"'{repo_id}' is there already, and it is public: everybody would see the model at once.",
            "Name a new repository, or make that one private on its page; publish it there once you are sure.",
        )


def upload(request: MergeRequest, chosen: Sequence[Item], run: ActiveRun) -> Upload:
    """Put the files into a private repository, in one commit: until then nobody sees any of them there.

    Raises:
        RemoteError: The hub refused or could not be reached, or the repository is public.
        Cancelled: The run was asked to stop.
    """
    hub, repo_id = require("huggingface_hub", PURPOSE), _repo(request)
    total, done, url = sum(item.bytes for item in chosen), 0, ""
    run.stage(f"uploading to {repo_id}")
    with _translated(repo_id):
        try:
            _hub().create_repo(repo_id, private=True)
        except hub.errors.HfHubHTTPError as error:
            if getattr(error.response, "status_code", None) != 409:  # there already
                raise
            _refuse_if_public(repo_id, _hub().repo_info(repo_id).private)
        additions = []
        for item in chosen:
            run.raise_if_stopped()
            content = str(item.content) if isinstance(item.content, Path) else item.content
            additions.append(hub.CommitOperationAdd(path_in_repo=item.name, path_or_fileobj=content))
            _hub().preupload_lfs_files(repo_id, [additions[-1]])
            done += item.bytes
            run.progress(done / 1e6, total / 1e6, "MB", f"uploading to {repo_id}")
        url = str(_hub().create_commit(repo_id, additions, commit_message="Upload model").commit_url)
    return _told(request, chosen, url)


def _hub() -> Any:
    hub = require("huggingface_hub", PURPOSE)
    return hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=os.environ.get(HUB_TOKEN))


@contextmanager
def _translated(repo_id: str) -> Iterator[None]:
    """The hub's refusals in our words."""
    hub = require("huggingface_hub", PURPOSE)
    try:
        yield
    except (hub.errors.HTTPError, OSError, RuntimeError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            problem = f"The model hub refuses to take '{repo_id}': {HUB_TOKEN} may not write there (status {status})."
            raise RemoteError(problem, "Make a token with write access to it, and start the server with it.") from error
        words = " ".join(str(error.__cause__ or error).split())[:200]
        raise RemoteError(
            f"Uploading to '{repo_id}' failed: {words or type(error).__name__}.",
            "See whether the model hub is in reach, and try again.",
        ) from error
