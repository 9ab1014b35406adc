"""Plain text and Markdown as records: one paragraph is one text to continue."""

from collections.abc import Iterator
from pathlib import Path

from .encoding import Encoding, Line, lines
from .row import Found, Piece

FENCES = (b"```", b"~~~")


def text_pieces(path: Path, encoding: Encoding) -> Iterator[Piece]:
    """A piece for each block between empty lines; a fenced code block is never cut."""
    block: list[Line] = []
    fenced = False
    for line in lines(path, encoding):
        if line.content.lstrip().startswith(FENCES):
            fenced = not fenced
        if line.content.strip() or (fenced and block):
            block.append(line)
        elif block:
            yield _piece(block)
            block = []
    if block:
        yield _piece(block)


def _piece(block: list[Line]) -> Piece:
    return Piece(block[0].number, b"\n".join(line.content for line in block))


def parse_text(piece: Piece) -> Found:
    """The record `{"text": paragraph}`."""
    try:
        text = piece.raw.decode("utf-8")
    except UnicodeDecodeError:
        return Found(piece.line, piece.raw, None, "undecodable")
    return Found(piece.line, piece.raw, {"text": text.strip("\n")})
