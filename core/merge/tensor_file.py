"""A safetensors file written in pieces: the header first, then each tensor's rows in any order, from any thread."""

import errno
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import ExportError
from .checkpoint import Tensor, read_into

if TYPE_CHECKING:
    import torch

COPY_BYTES = 1 << 18  # a buffer that stays in the processor's cache; larger ones copy several times slower
ALIGNMENT = 8  # of the header's end, as the format asks


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor to be written."""

    name: str
    stored: str
    """Number format as safetensors names it."""
    shape: tuple[int, ...]
    bytes: int


class TensorFile:
    """A file of known size whose tensors are filled in; memory: what the caller hands over, and nothing else."""

    def __init__(self, path: Path, entries: Sequence[Entry]) -> None:
        """Lay the tensors out, those of wider numbers first, as the format's own writer does to keep them aligned."""
        self.path = path
        places: dict[str, int] = {}
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        end = 0
        for entry in sorted(entries, key=_number_bytes, reverse=True):
            places[entry.name] = end
            offsets = [end, end + entry.bytes]
            header[entry.name] = {"dtype": entry.stored, "shape": list(entry.shape), "data_offsets": offsets}
            end = offsets[1]
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % ALIGNMENT)
        self._places: Mapping[str, int] = {name: 8 + len(text) + place for name, place in places.items()}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        _reserve(self._file, 8 + len(text) + end)
        self._put(0, memoryview(len(text).to_bytes(8, "little") + text))

    def __enter__(self) -> "TensorFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def write(self, name: str, first: int, rows: "torch.Tensor") -> None:
        """Put a tensor's rows from `first` on in their place."""
        import torch

        if rows.numel():
            row_bytes = rows[0].numel() * rows.element_size()
            data = rows.contiguous().reshape(-1).view(torch.uint8).numpy().data
            self._put(self._places[name] + first * row_bytes, data)

    def copy(self, name: str, source: Tensor) -> None:
        """Take a tensor over as it is stored; the system copies it where it can, else a small buffer does."""
        done = 0
        with source.file.open("rb", buffering=0) as opened, suppress(OSError, AttributeError):
            while done < source.bytes:  # not every system and not every pair of file systems can do this
                place = self._places[name] + done
                got = os.copy_file_range(opened.fileno(), self._file, source.bytes - done, source.offset + done, place)
                if not got:
                    break
                done += got
        buffer = bytearray(COPY_BYTES if done < source.bytes else 0)
        while done < source.bytes:
            part = memoryview(buffer)[: source.bytes - done]
            read_into(source.file, source.offset + done, part)
            self._put(self._places[name] + done, part)
            done += len(part)

    def _put(self, place: int, data: memoryview) -> None:
        while data:
            written = os.pwrite(self._file, data, place)
            place, data = place + written, data[written:]


def _reserve(file: int, size: int) -> None:
    """Give the file its whole size at once: the system then takes half the time for what is put into it.

    Raises:
        ExportError: The disk is too full for it.
    """
    try:
        os.posix_fallocate(file, 0, size)
    except (OSError, AttributeError) as error:  # not every system and not every file system can do this
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise ExportError(
                f"The disk has no room for a weight file of {size / 1e9:.2f} GB.",
                "Free some space, or choose an output_dir on another disk.",
            ) from error
        os.truncate(file, size)


def _number_bytes(entry: Entry) -> int:
    return entry.bytes // max(1, math.prod(entry.shape))
