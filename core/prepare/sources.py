"""The files behind data_path, and how to open one whatever it is packed with."""

import bz2
import glob
import gzip
import io
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from .. import paths
from ..errors import PathError
from ..settings import Settings
from ..untrusted import quote
from .hub import fetch, is_hub_entry

RECORD_SUFFIXES = (
    *(".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".tab"),
    *(".parquet", ".pq", ".arrow", ".feather", ".ipc"),
)
TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown")
PIECE_BYTES = 1 << 17
PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
BESIDE_NAMES = ("ledger.jsonl", "report.md")
RESULT_NAMES = ("train.jsonl", "valid.jsonl", *BESIDE_NAMES)
DESCRIPTIONS = (
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
)  # what `datasets` writes beside its data
COMPANIONS = (  # what lies beside data without being any
    *("", ".md", ".markdown", ".rst", ".py", ".ipynb", ".sh", ".yaml", ".yml", ".toml", ".log", ".bib", ".lock"),
    *(".crc", ".md5", ".sha256"),
)
KNOWN = "JSON, JSONL, CSV, TSV, TXT, Markdown, Parquet and Arrow files, also packed as .gz, .bz2, .xz or .zst"


def absolute(entries: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """The entries of data_path with their paths absolute and confined; globs keep their pattern.

    Raises:
        PathError: An entry lies outside the roots or does not exist.
    """
    if not entries:
        raise PathError("data_path is an empty list.", "Name at least one file, folder or glob.")
    return tuple(_absolute(entry, settings) for entry in entries)


def _absolute(entry: str, settings: Settings) -> str:
    if not entry.strip():
        raise PathError("data_path holds an empty path.", "Name a file, folder or glob.")
    if is_hub_entry(entry):
        return entry
    return str(paths.confine(entry, settings) if _is_glob(entry, settings) else paths.existing(entry, settings, "Data"))


def _is_glob(entry: str, settings: Settings) -> bool:
    """Whether an entry is a pattern: it has the signs of one, and no file has just that name."""
    return any(sign in entry for sign in "*?[") and not paths.confine(entry, settings).exists()


def expand(entries: Sequence[str], settings: Settings, leave_out: Path | None = None) -> tuple[Path, ...]:
    """The files behind absolute entries, proven to lie below the roots; see `find`.

    Raises:
        PathError: A folder or glob holds no data file, or a link leads out of the roots.
    """
    local = tuple(entry for entry in entries if not is_hub_entry(entry))
    return tuple(dict.fromkeys(paths.confine(path, settings) for path in find(local, leave_out)))


def fetched(entries: Sequence[str]) -> tuple[Path, ...]:
    """The files of the entries that name data sets of the hub; see `hub.fetch`."""
    kinds = (*RECORD_SUFFIXES, *(f"{kind}{packed}" for kind in RECORD_SUFFIXES for packed in PACKED_SUFFIXES))
    found = (path for entry in entries if is_hub_entry(entry) for path in fetch(entry, kinds))
    return tuple(path for path in found if not _describes_data(path))


def find(entries: Sequence[str], leave_out: Path | None = None) -> tuple[Path, ...]:
    """The files behind absolute entries, each once, folders and globs in the order of their names.

    A folder gives its data files at any depth; text files only when it has no records. Hidden files, and what lies
    in `leave_out` (the output folder) below a data folder, do not count.

    Raises:
        PathError: A folder or glob holds no data file.
    """
    return tuple(dict.fromkeys(path for entry in entries for path in _files(Path(entry), leave_out)))


def left_out(entries: Sequence[str], found: Sequence[Path], output_dir: Path | None) -> tuple[Path, ...]:
    """Files in the folders among the entries that may be data and are not among those found, in order."""
    folders = [Path(entry) for entry in entries if not is_hub_entry(entry) and Path(entry).is_dir()]
    known = {*found}
    inside = (
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if _counts(path, folder, output_dir) or _leads_nowhere(path, folder, output_dir)
    )
    return tuple(dict.fromkeys(path for path in inside if path.resolve() not in known and not _is_companion(path)))


def _is_companion(path: Path) -> bool:
    return suffix(path) in COMPANIONS or path.stem.lower() in ("readme", "license", "licence")


def _files(entry: Path, leave_out: Path | None) -> list[Path]:
    if entry.is_file():
        return [entry]
    if entry.is_dir():
        inside = [path for path in sorted(entry.rglob("*")) if _counts(path, entry, leave_out)]
        records = [path for path in inside if suffix(path) in RECORD_SUFFIXES]
        texts = [path for path in inside if suffix(path) in TEXT_SUFFIXES]
        if records or texts:
            return records or texts
        raise PathError(f"The folder {quote(str(entry), 200)} holds no data files.", f"Known are {KNOWN}.")
    matches = [Path(name) for name in sorted(glob.glob(str(entry), recursive=True))]
    plain = [path for path in matches if path.is_file()]
    if not plain:
        raise PathError(f"No file matches {quote(str(entry), 200)}.", "Check the pattern, or name the files in a list.")
    return plain


def _counts(path: Path, folder: Path, leave_out: Path | None) -> bool:
    return path.is_file() and not _is_passed_over(path, folder, leave_out) and not _describes_data(path)


def _leads_nowhere(path: Path, folder: Path, leave_out: Path | None) -> bool:
    """Whether a path is a link to nothing where a file would count."""
    return path.is_symlink() and not path.exists() and not _is_passed_over(path, folder, leave_out)


def _is_passed_over(path: Path, folder: Path, leave_out: Path | None) -> bool:
    """Whether a path is hidden, or a result of ours."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    if leave_out == folder:  # results of an earlier run beside the data are not data
        ours = path.parent == folder and path.name in RESULT_NAMES and (folder / ".run").is_dir()
    else:
        ours = leave_out is not None and leave_out in path.parents
        ours = ours or (path.name in BESIDE_NAMES and (path.parent / ".run").is_dir())  # a prepared set as the data
    return hidden or ours


def _describes_data(path: Path) -> bool:
    """Whether a file belongs to a saved `datasets` folder without holding its rows."""
    beside = path.name == "state.json" or path.name.startswith("cache-")
    return path.name in DESCRIPTIONS or (beside and (path.parent / "dataset_info.json").is_file())


def suffix(path: Path | str) -> str:
    """The file's suffix in small letters, without that of its packing."""
    path = Path(str(path).lower())
    return Path(path.stem).suffix if path.suffix in PACKED_SUFFIXES else path.suffix


def is_plain_text(entry: str) -> bool:
    """Whether an entry of data_path names text files, by its suffix."""
    return suffix(entry) in TEXT_SUFFIXES


def packing(path: Path) -> str | None:
    """How the file is packed, by its suffix; None when it is not."""
    return path.suffix.lower() if path.suffix.lower() in PACKED_SUFFIXES else None


def open_bytes(path: Path) -> IO[bytes]:
    """The file's content as a binary stream, unpacked."""
    match packing(path):
        case ".gz":
            return cast(IO[bytes], gzip.open(path, "rb"))
        case ".bz2":
            return cast(IO[bytes], bz2.open(path, "rb"))
        case ".xz":
            return cast(IO[bytes], lzma.open(path, "rb"))
        case ".zst":
            return io.BufferedReader(_Unzstd(path))
        case _:
            return path.open("rb")


class _Unzstd(io.RawIOBase):
    """A Zstandard file unpacked; unlike the library's own reader it notices that a file breaks off."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._read_on():
            pass
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _read_on(self) -> bool:
        """Unpack one more piece; False at the end.

        Raises:
            EOFError: The last frame is not whole.
        """
        from zstandard import ZstdDecompressor

        packed = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
        packed = packed or self._file.read(PIECE_BYTES)
        if not packed:
            if self._frame is not None and not self._frame.eof:
                raise EOFError("the Zstandard frame breaks off")
            return False
        if self._frame is None or self._frame.eof:
            self._frame = ZstdDecompressor().decompressobj()
        self._ready = self._frame.decompress(packed)
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
