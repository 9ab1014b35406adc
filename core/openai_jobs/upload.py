"""Files on their way to the provider: once each, in parts when they are large, resumed after a cut."""

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RemoteError
from ..models.hosted.answers import fields, identity
from ..models.hosted.faults import Busy, Rejected, Unanswered
from ..models.hosted.service import TRIES, Service
from ..runs.active import ActiveRun
from .memory import Memory, SentFile

if TYPE_CHECKING:
    from openai import OpenAI

PURPOSE = "fine-tune"
MEDIA_TYPE = "text/jsonl"
SENT_WITHIN_S = 1200.0  # 64 MB over a slow line take minutes
MOST_LISTED = 1000  # of the newest files, when one is looked for by its name


class Uploader:
    """Brings files to a provider, and remembers how far each is."""

    def __init__(self, service: Service, memory: Memory, run: ActiveRun) -> None:
        self._service = service
        self._memory = memory
        self._run = run

    def upload(self, role: str, path: Path) -> str:
        """The provider's id of a file, which is uploaded unless it is there already.

        Raises:
            RemoteError: The provider refused it or could not be reached.
        """
        size = path.stat().st_size
        name = f"{self._memory.hosted.request_id}-{_digest(path)}-{role}.jsonl"
        sent = self._memory.hosted.files.get(role)
        if sent is None or sent.name != name:  # another content is another file
            sent = SentFile(name=name, size_bytes=size)
            self._memory.note(files=self._memory.hosted.files | {role: sent})
        if sent.file_id is not None:
            return sent.file_id
        self._run.stage(f"uploading {path.name}")
        part_bytes = max(1, int(self._service.provider.part_mb * 1e6))
        in_parts = size > part_bytes and "uploads" not in self._service.provider.lacks
        file_id = self._until_known(
            role, lambda: self._send_parts(role, path, part_bytes) if in_parts else self._send_whole(role, path)
        )
        self._memory.note_file(role, file_id=file_id)
        return file_id

    def _until_known(self, role: str, send: Callable[[], str]) -> str:
        """The file's id: an attempt without an answer is looked for among the stored files before the next one."""
        for attempt in range(1, TRIES + 1):
            sent = self._memory.hosted.files[role]
            if sent.begun and (found := self._find(sent)) is not None:
                return found
            try:
                return send()
            except (Unanswered, Busy) as fault:
                if attempt == TRIES:
                    raise
                self._service.pause(attempt, fault)
        raise AssertionError("unreachable")

    def _find(self, sent: SentFile) -> str | None:
        """The id of a stored file with this name and size."""

        def look(client: "OpenAI") -> str | None:
            listed = client.files.list(purpose=PURPOSE)
            for number, file in enumerate(listed):
                found = fields(file, "file")
                if found.get("filename") == sent.name and found.get("bytes") in (sent.size_bytes, None):
                    return identity(file, "file")
                if number >= MOST_LISTED:
                    break
            return None

        return self._service.ask(look, lambda found: found)

    def _send_whole(self, role: str, path: Path) -> str:
        sent = self._memory.note_file(role, begun=True)
        with _Watched(path, self._told(sent)) as file:
            return self._service.once(
                lambda client: client.files.create(
                    file=(sent.name, file, MEDIA_TYPE), purpose=PURPOSE, timeout=SENT_WITHIN_S
                ),
                lambda answer: _stored(answer, path),
            )

    def _send_parts(self, role: str, path: Path, part_bytes: int) -> str:
        sent = self._memory.hosted.files[role]
        if sent.upload_id is not None:
            try:
                return self._go_on(role, path, part_bytes)
            except Rejected:  # an upload lasts an hour, then its parts are gone
                self._memory.note_file(role, upload_id=None, parts=())
        upload_id = self._service.ask(
            lambda client: client.uploads.create(
                bytes=sent.size_bytes, filename=sent.name, mime_type=MEDIA_TYPE, purpose=PURPOSE
            ),
            lambda answer: identity(answer, "upload"),
        )
        self._memory.note_file(role, upload_id=upload_id, parts=())
        return self._go_on(role, path, part_bytes)

    def _go_on(self, role: str, path: Path, part_bytes: int) -> str:
        """Send the parts that have not arrived, and put the file together."""
        sent = self._memory.hosted.files[role]
        name, upload_id = sent.name, str(sent.upload_id)
        tell, digest = self._told(sent), hashlib.md5(usedforsecurity=False)
        for number, data in enumerate(_parts(path, part_bytes)):
            digest.update(data)
            self._run.raise_if_stopped()
            if number >= len(sent.parts):
                part_id = self._service.ask(
                    lambda client, data=data: client.uploads.parts.create(
                        upload_id, data=(name, data), timeout=SENT_WITHIN_S
                    ),
                    lambda answer: identity(answer, "part"),
                )
                sent = self._memory.note_file(role, parts=(*sent.parts, part_id))
            tell(min(sent.size_bytes, (number + 1) * part_bytes))
        sent = self._memory.note_file(role, begun=True)
        return self._service.once(
            lambda client: client.uploads.complete(upload_id, part_ids=list(sent.parts), md5=digest.hexdigest()),
            lambda answer: _stored(fields(answer, "upload").get("file"), path),
        )

    def _told(self, sent: SentFile) -> Callable[[int], None]:
        total = round(sent.size_bytes / 1e6, 3)
        return lambda done: self._run.progress(round(done / 1e6, 3), total, "MB", f"uploading {sent.name}")


class _Watched(io.FileIO):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, tell: Callable[[int], None]) -> None:
        super().__init__(path)
        self._tell = tell

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        self._tell(self.tell())
        return data


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _parts(path: Path, part_bytes: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(part_bytes):
            yield data


def _stored(answer: object, path: Path) -> str:
    """The id of a stored file that the provider has not found fault with."""
    found = fields(answer, "file")
    if found.get("status") == "error":
        why = str(found.get("status_details") or "no reason given")
        raise RemoteError(f"The provider cannot use '{path.name}': {why[:300]}.", "Check the data with action check.")
    return identity(answer, "file")
