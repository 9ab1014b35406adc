"""Which encoding a file is in, and its lines as UTF-8."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import DataError
from ..untrusted import quote
from .sources import KNOWN, open_bytes

BOMS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MAGIC = {
    b"PK\x03\x04": "a ZIP archive or Office document",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x1f\x8b": "a gzip file without the suffix .gz",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database",
    b"\x80\x04\x95": "a Python pickle",
}
HEAD_BYTES = 1 << 16
SAMPLE_BYTES = 1 << 16  # of lines with non-ASCII bytes; chardet needs far fewer
CHUNK_BYTES = 1 << 20
MAX_BINARY_SHARE = 0.02
FEW_CONTROLS = 8  # control characters that a text of any length may hold
DENSE = 0.05  # share of non-ASCII bytes from which a text is taken to be in another script than Latin
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
NON_ASCII = re.compile(rb"[\x80-\xff]+")
IN_A_WORD = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoding of a file."""

    name: str
    bom: bool = False
    broken_lines: int = 0
    """Lines that are not in it; each becomes a bad row."""
    guessed: bool = False
    """Whether it was guessed from the bytes, so that a person should look."""

    @property
    def label(self) -> str:
        """The encoding for a person."""
        return self.name + (" with BOM" if self.bom else "") + (" (guessed)" if self.guessed else "")


class Line(NamedTuple):
    """One line of a text file."""

    number: int
    """From 1."""
    content: bytes
    """UTF-8 without the line end; not valid UTF-8 where the file's own bytes were not valid."""


def detect(path: Path) -> Encoding:
    """The encoding: by byte order mark, else strict UTF-8, else the pattern of NUL bytes, else by chardet.

    A file with a few lines that are not UTF-8 among others that are is UTF-8 with broken lines.

    Raises:
        DataError: The file is empty or holds no text.
    """
    with open_bytes(path) as file:
        head = file.read(HEAD_BYTES)
    if not head.strip():
        raise DataError(f"{quote(str(path), 200)} is empty.", "Give a file with rows.")
    for bom, name in BOMS:
        if head.startswith(bom):
            return Encoding(name, bom=True)
    if wide := _utf16_by_nuls(head):
        return Encoding(wide, guessed=True)
    _refuse_binary(path, head)
    return _utf8_or_other(path)


def _utf16_by_nuls(head: bytes) -> str | None:
    half = len(head) // 2
    if head[1::2].count(0) > 0.4 * half and head[::2].count(0) < 0.05 * half:
        return "utf-16-le"
    if head[::2].count(0) > 0.4 * half and head[1::2].count(0) < 0.05 * half:
        return "utf-16-be"
    return None


def _refuse_binary(path: Path, head: bytes) -> None:
    kind = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    if kind is None and len(CONTROLS.findall(head)) <= max(MAX_BINARY_SHARE * len(head), FEW_CONTROLS):
        return
    raise DataError(f"{quote(str(path), 200)} is {kind or 'a binary file, not text'}.", f"Readable are {KNOWN}.")


def _utf8_or_other(path: Path) -> Encoding:
    if _is_utf8(path):
        return Encoding("utf-8")
    good = bad = 0
    sample = bytearray()
    with open_bytes(path) as file:
        for line in file:
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                good += 1
            except UnicodeDecodeError:
                bad += 1
                if len(sample) < SAMPLE_BYTES:
                    sample += line[:SAMPLE_BYTES]
    other = _guess(bytes(sample)) if bad > good else None
    return Encoding(other, guessed=True) if other else Encoding("utf-8", broken_lines=bad)


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes(path) as file:
        try:
            while chunk := file.read(CHUNK_BYTES):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _guess(sample: bytes) -> str | None:
    """chardet's answer where the bytes look like letters of words at all; None for stray bytes."""
    import chardet

    runs = NON_ASCII.findall(sample)
    dense = sum(map(len, runs)) >= DENSE * len(sample)
    in_words = len(IN_A_WORD.findall(sample)) >= 0.5 * len(runs)
    if not (dense or in_words):
        return None
    name = chardet.detect(sample)["encoding"]
    if name is None or name.lower() in ("ascii", "utf-8"):
        return None
    try:
        sample.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None
    return name.lower()


def lines(path: Path, encoding: Encoding) -> Iterator[Line]:
    """The lines of the file as UTF-8, ended by LF, CR LF or CR."""
    for number, line in enumerate(lines_with_ends(chunks(path, encoding)), start=1):
        yield Line(number, line.rstrip(b"\r\n"))


def lines_with_ends(source: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in chunks of bytes that are cut anywhere, each with its LF, CR LF or CR."""
    held: list[bytes] = []
    for chunk in source:
        held.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:  # a long line is put together but once
            continue
        *whole, last = b"".join(held).splitlines(keepends=True)
        if last.endswith(b"\n"):
            whole.append(last)
            last = b""
        yield from whole
        held = [last]  # a CR at its end may be half of a CR LF
    yield from b"".join(held).splitlines(keepends=True)


def chunks(path: Path, encoding: Encoding) -> Iterator[bytes]:
    """The file's content as UTF-8 without a byte order mark, in pieces of about a megabyte."""
    with open_bytes(path) as file:
        if encoding.name != "utf-8":
            yield from _recoded(file, encoding)
            return
        if encoding.bom:
            file.read(len(codecs.BOM_UTF8))
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def read_all(path: Path, encoding: Encoding, limit: int) -> bytes | None:
    """The whole file as UTF-8 without a byte order mark; None when it is longer than `limit` bytes."""
    parts: list[bytes] = []
    left = limit
    for chunk in chunks(path, encoding):
        parts.append(chunk)
        left -= len(chunk)
        if left < 0:
            return None
    return b"".join(parts)


def _recoded(file: IO[bytes], encoding: Encoding) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding.name)(errors=MARKED)
    first = True
    while True:
        chunk = file.read(CHUNK_BYTES)
        text = decoder.decode(chunk, final=not chunk)
        yield (text.removeprefix("\ufeff") if first else text).encode("utf-8", "surrogateescape")
        first = first and not text
        if not chunk:
            return


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are not in the encoding stay, after an 0xFF: so the line is no UTF-8 and cannot pass for text."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "\udcff" + bad.decode("ascii", "surrogateescape"), error.end


MARKED = "faion-finetuner-marked"
codecs.register_error(MARKED, _mark)
