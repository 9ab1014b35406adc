"""Plain text and Markdown as records: one paragraph is one text to continue."""

from collections.abc import Iterator
from pathlib import Path

from .encoding import Encoding, Line, lines
from .row import Found

FENCES = (b"```", b"~~~")


def read_text(path: Path, encoding: Encoding) -> Iterator[Found]:
    """One record `{"text": paragraph}` for each block between empty lines; a fenced code block is never cut."""
    block: list[Line] = []
    fenced = False
    for line in lines(path, encoding):
        if line.content.lstrip().startswith(FENCES):
            fenced = not fenced
        if line.content.strip() or (fenced and block):
            block.append(line)
        elif block:
            yield _record(block)
            block = []
    if block:
        yield _record(block)


def _record(block: list[Line]) -> Found:
    raw = b"\n".join(line.content for line in block)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return Found(block[0].number, raw, None, "undecodable")
    return Found(block[0].number, raw, {"text": text.strip("\n")})
