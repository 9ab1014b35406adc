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
WIDER = {  # the same with more signs; it counts where the file needs it
    **{"shift_jis": "cp932", "euc_kr": "cp949", "big5": "cp950", "tis-620": "cp874"},
}
ALWAYS_WIDER = {  # as browsers read them
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
}
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
SAMPLE_LINES = 2_000  # with non-ASCII bytes; far fewer settle an encoding
SAMPLE_BYTES = 1 << 16
CHUNK_BYTES = 1 << 16  # larger ones leave the processor's cache: decoding is then five times slower
MAX_BINARY_SHARE = 0.02
MIN_NUL_SHARE = 0.02  # of UTF-16: Chinese in JSON has a tenth
FEW_CONTROLS = 8  # control characters that a text of any length may hold
MAX_BROKEN_SHARE = 0.1  # of the lines in a legacy encoding
PARTS = 8
DENSE = 0.05  # share of non-ASCII bytes from which a text is taken to be in another script than Latin
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
NON_ASCII = re.compile(rb"[\x80-\xff]+")
IN_A_WORD = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]")
PUNCTUATION = re.compile(rb"[\x80\x82-\x8c\x91-\x9b\xa0-\xbf]")  # of windows-1252: curly quotes, dashes, signs
HANGUL = re.compile(rb"(?:[\xb0-\xc8][\xa1-\xfe])+")  # of EUC-KR; Chinese uses more of the range
SURELY_KOREAN = 32  # bytes; uchardet needs far more
SHIFTS = re.compile(rb"\x1b\$[)(]?[@A-D]")  # ISO-2022: 7-bit, so they would pass for ASCII


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoding of a file."""

    name: str
    bom: bool = False
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
    """The encoding: by byte order mark, else by the pattern of NUL bytes, else strict UTF-8, else by its statistics.

    A file with a few lines that are not UTF-8 among others that are is UTF-8, and those lines are bad rows.

    Raises:
        DataError: The file holds no text.
    """
    with open_bytes(path) as file:
        head = file.read(HEAD_BYTES)
    for bom, name in BOMS:
        if head.startswith(bom):
            return Encoding(name, bom=True)
    if kind := next((name for magic, name in MAGIC.items() if head.startswith(magic)), None):
        raise _not_text(path, kind)
    if wide := _wide(head):
        return Encoding(wide, guessed=True)
    if SHIFTS.search(head) and (shifting := _named(head)) and shifting.startswith("iso2022"):
        return Encoding(shifting, guessed=True)
    if len(CONTROLS.findall(head)) > max(MAX_BINARY_SHARE * len(head), FEW_CONTROLS):
        raise _not_text(path, "a binary file, not text")
    if _is_all(path, "utf-8"):
        return Encoding("utf-8")
    if other := _other(path):
        wider = WIDER.get(other)
        return Encoding(wider if wider and not _is_all(path, other) else other, guessed=True)
    return Encoding("utf-8")


def _wide(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: its NUL bytes stand at every second place, or at three of four."""
    if not head.count(0):
        return None
    whole = head[: len(head) // 4 * 4] or head
    nuls = [whole[place::4].count(0) for place in range(4)]
    quarter = len(whole) / 4
    names = {"utf-32-le": nuls[2] + nuls[3], "utf-32-be": nuls[0] + nuls[1]}
    wide = next((name for name, count in names.items() if count > 1.8 * quarter), None)
    if wide is None:
        low, high = nuls[0] + nuls[2], nuls[1] + nuls[3]
        wide = "utf-16-le" if high > 10 * low else "utf-16-be" if low > 10 * high else None
    if wide is None or sum(nuls) < max(MIN_NUL_SHARE * len(whole), 2):
        return None
    text = whole.decode(wide, "replace")
    strange = sum(sign == "\ufffd" or (sign < " " and sign not in "\t\n\r\f") for sign in text)
    return wide if strange <= MAX_BINARY_SHARE * len(text) else None


def _not_text(path: Path, kind: str) -> DataError:
    return DataError(f"{quote(str(path), 200)} is {kind}.", f"Readable are {KNOWN}.")


def _is_all(path: Path, name: str) -> bool:
    """Whether the whole file is in the encoding: looking at all of it costs little, a wrong answer spoils accents."""
    decoder = codecs.getincrementaldecoder(name)()
    with open_bytes(path) as file:
        try:
            while chunk := file.read(CHUNK_BYTES):
                if not chunk.isascii() or decoder.getstate()[0]:
                    decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _other(path: Path) -> str | None:
    """The encoding of a file that is not all UTF-8; None where it mostly is, or where nothing else fits better."""
    good = 0
    bad: list[bytes] = []
    with open_bytes(path) as file:
        while good + len(bad) < SAMPLE_LINES and (line := file.readline(SAMPLE_BYTES)):
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                good += 1
            except UnicodeDecodeError:
                bad.append(line)
    return _guess(bad) if len(bad) > good else None


def _guess(lines: list[bytes]) -> str | None:
    """The encoding under which the lines make sense; None for stray bytes."""
    sample = b"".join(lines)[:SAMPLE_BYTES]
    runs = NON_ASCII.findall(sample)
    dense = sum(map(len, runs)) >= DENSE * len(sample)
    in_words = len(IN_A_WORD.findall(sample)) >= 0.5 * len(runs)
    if all(map(PUNCTUATION.fullmatch, runs)):
        return "cp1252"
    if sum(map(len, runs)) >= SURELY_KOREAN and all(map(HANGUL.fullmatch, runs)):
        return "euc_kr"
    if not (dense or in_words):
        return None
    parts = (b"".join(lines[start::PARTS]) for start in range(PARTS))  # others may know what the whole hides
    names = (name for part in (sample, *parts) if (name := _named(part[:SAMPLE_BYTES])))
    wanted = (1 - MAX_BROKEN_SHARE) * len(lines)
    return next((name for name in names if sum(_decodes(line, name) for line in lines) >= wanted), None)


def _named(sample: bytes) -> str | None:
    """uchardet's answer as Python names it; None for UTF-8 and for what Python does not know."""
    import cchardet

    found = cchardet.detect(sample)["encoding"]
    try:
        name = codecs.lookup(found or "ascii").name
    except LookupError:
        return None
    return None if name in ("ascii", "utf-8") else ALWAYS_WIDER.get(name, name)


def _decodes(line: bytes, name: str) -> bool:
    try:
        line.decode(WIDER.get(name, name))
    except UnicodeDecodeError:
        return False
    return True


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
    """The file's content as UTF-8 without a byte order mark, in pieces."""
    with open_bytes(path) as file:
        if encoding.name != "utf-8":
            yield from _recoded(file, encoding)
            return
        if encoding.bom:
            file.read(len(codecs.BOM_UTF8))
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def beginning(path: Path, encoding: Encoding, size: int) -> bytes:
    """The first `size` bytes of the file as UTF-8 without a byte order mark, or all of them when it is shorter."""
    parts: list[bytes] = []
    for chunk in chunks(path, encoding):
        parts.append(chunk)
        size -= len(chunk)
        if size <= 0:
            break
    content = b"".join(parts)
    return content[: len(content) + size] if size < 0 else content


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
