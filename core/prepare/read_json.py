"""JSON and JSON Lines files: where each record begins and ends, without holding the file.

A whole JSON file is walked value by value with the standard library's scanner, which says exactly where a value ends or
where it breaks. What is between the values is checked as strictly: a comma too many, a missing one, a missing bracket
or junk is each a bad row of its own, and reading goes on after it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import lossless_json
from ..errors import DataError
from ..untrusted import quote
from .encoding import Encoding, beginning, chunks, lines
from .json_walk import Walk, decoded, elements, names
from .row import Found, Piece

HOLDERS = ("data", "rows", "examples", "records", "items", "instances", "train", "valid", "validation", "dev", "test")
TURN_KEYS = frozenset({"role", "from"})
HEADERS = ("columns", "header", "headers", "column_names")  # of a table whose rows are lists, as pandas' `split` has it
NESTED = frozenset({"paragraphs", "qas"})  # of an article and a paragraph, which hold questions
MAX_COLUMNS_BYTES = 1 << 28  # columns must be held whole to be turned into rows


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the records of a whole JSON file are, when they are not its plain values or those of its list."""

    shape: Literal["held", "keyed", "columns", "table", "questions"]
    """held: in lists below the object's members; keyed: the members themselves; columns: cut up into equally long lists
    (or pandas' objects); table: lists of cells below one member, the columns' names in a list before; questions: below
    paragraphs below articles, as SQuAD has them."""
    members: tuple[str, ...] = ()
    """Members that hold records."""
    left_out: tuple[str, ...] = ()
    """Members that hold something else, which is not read."""

    @property
    def label(self) -> str:
        """The layout for a person."""
        if self.shape == "columns":
            return "one object of columns"
        if self.shape == "keyed":
            return "one object of records, without their keys"
        rest = f", without {_listed(self.left_out)}" if self.left_out else ""
        if self.shape == "table":
            return (
                f"a table, its names in {quote(self.members[0], 40)} and its rows in {quote(self.members[1], 40)}{rest}"
            )
        if self.shape == "questions":
            return f"the questions below the paragraphs{' of ' if self.members else ''}{_listed(self.members)}{rest}"
        return f"the records of {_listed(self.members)}{rest}"


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(quote(name, 40) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def line_pieces(path: Path, encoding: Encoding) -> Iterator[Piece]:
    """One piece a line; empty lines do not count."""
    for number, content in lines(path, encoding):
        if content and not content.isspace():
            yield Piece(number, content)


def parse_json(piece: Piece) -> Found:
    """The object in a piece."""
    try:
        value = lossless_json.loads(piece.raw)
    except ValueError as error:
        problem = why_bad(piece.raw)
        reason = None if problem == "undecodable" else _reason(error)  # its parser calls such bytes broken JSON
        return Found(piece.line, piece.raw, None, problem, reason=reason)
    if isinstance(value, list) and is_conversation(value):
        return Found(piece.line, piece.raw, {"messages": value})
    if not isinstance(value, dict):
        return Found(piece.line, piece.raw, None, "not_an_object")
    flag = "repeated_key" if lossless_json.repeats_key(piece.raw, value) else None
    if "row_idx" in value and isinstance(value.get("row"), dict):  # as the hub's viewer exports them
        value = value["row"]
    return Found(piece.line, piece.raw, value, flag=flag)


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of turns, which is a record without the name of its one field."""
    from ..examples.turns import names_speakers

    return isinstance(value, list) and names_speakers(value)


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, at character {error.colno} of line {error.lineno} of the record"
    return str(error)


def why_bad(content: bytes) -> str:
    """The rule that bytes break which are not JSON."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "undecodable"
    return "invalid_json"


def find_layout(path: Path, encoding: Encoding) -> Layout | None:
    """The layout of a file that is one object and holds its records; None when its values are the records."""
    walk = Walk(chunks(path, encoding))
    sign = walk.peek()
    if sign == "[" and (first := next(elements(walk), None)) is not None and NESTED.intersection(_keys(first)):
        return Layout("questions")
    if sign != "{":
        return None
    members = list(_members(walk))
    return None if walk.peek() in ("{", ",") else _layout(members, whole=not walk.flaws)


def json_pieces(path: Path, encoding: Encoding, layout: Layout | None) -> Iterator[Piece]:
    """The records of a whole JSON file: values one after another, a list of them, or as the layout says."""
    if layout is not None and layout.shape == "columns":
        return _columns(path, encoding)
    walk = Walk(chunks(path, encoding))
    if layout is None:
        return _values(walk)
    if layout.shape == "keyed":
        return _keyed(walk)
    if layout.shape == "table":
        return _table(walk, *layout.members)
    held = _held(walk, frozenset(layout.members)) if layout.members else _values(walk)
    return (question for article in held for question in questions(article)) if layout.shape == "questions" else held


def _values(walk: Walk) -> Iterator[Piece]:
    """Values one after another; those of a list stand for it."""
    lists = commas = 0
    while sign := walk.peek():
        if sign == "[":
            if lists:
                yield walk.take(0, "extra_data")
            lists += 1
            yield from elements(walk)
        elif sign == ",":  # a list without its brackets, said once
            piece = walk.take(1, "missing_bracket")
            commas += 1
            if commas == 1:
                yield piece
        elif sign in "}]:":
            yield walk.take(1, "extra_data")
        else:
            yield walk.value()


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    kind: Literal["objects", "lists", "list", "object", "other"]
    """objects, lists: a list of nothing but such, at least one."""
    size: int = 0
    keys: tuple[str, ...] = ()
    """Of an object, or of the first in a list of objects."""


def _members(walk: Walk) -> Iterator[_Member]:
    """The members of the object that begins here, as far as it is not broken."""
    for name, sign in names(walk):
        if sign == "[":
            pieces = objects = inner = 0
            keys: tuple[str, ...] = ()
            for piece in elements(walk):
                pieces += piece.problem is None
                objects += piece.problem is None and piece.raw[:1] == b"{"
                inner += piece.problem is None and piece.raw[:1] == b"["
                keys = _keys(piece) if pieces == objects == 1 else keys
            kind = "objects" if pieces == objects > 0 else "lists" if pieces == inner > 0 else "list"
            yield _Member(name, kind, pieces, keys)
        elif sign == "{":
            yield _Member(name, "object", keys=_keys(walk.value()))
        else:
            walk.value()
            yield _Member(name, "other")


def _keys(piece: Piece) -> tuple[str, ...]:
    value = decoded(piece)
    return tuple(value) if isinstance(value, dict) else ()


def _layout(members: list[_Member], whole: bool) -> Layout | None:
    from ..examples.field_names import ANSWER_FIELDS, QUESTION_FIELDS, TURN_FIELDS

    holders = [member.name for member in members if member.kind == "objects"]
    named = [name for name in holders if name.lower() in HOLDERS]
    lists = [member for member in members if member.kind in ("objects", "lists", "list")]
    texts = [member.name for member in members if member.kind == "other"]
    if any(member.name in TURN_FIELDS for member in members) or {*QUESTION_FIELDS, *ANSWER_FIELDS}.intersection(texts):
        return None  # it is one record itself
    if (table := _table_of(members)) is not None:
        return table
    if _are_records(members):
        return Layout("keyed")
    if any(not TURN_KEYS.isdisjoint(member.keys) for member in members if member.name.lower() not in HOLDERS):
        return None  # a record whose parts are turns
    if holders and (named or len(lists) == 1):
        chosen = tuple(named or holders)
        nested = all(NESTED.intersection(member.keys) for member in members if member.name in chosen)
        left_out = tuple(member.name for member in members if member.name not in chosen)
        return Layout("questions" if nested else "held", chosen, left_out)
    one_length = len(lists) == len(members) > 1 and len({member.size for member in lists}) == 1
    keys = members[0].keys if members else ()
    one_index = len(members) > 1 and bool(keys) and all(member.keys == keys for member in members)
    if whole and (one_length or (one_index and keys == tuple(map(str, range(len(keys)))))):
        return Layout("columns", tuple(member.name for member in members))
    return None


def _table_of(members: list[_Member]) -> Layout | None:
    """The layout of a table of names and lists of cells; the names come first, so that rows are read as they come."""
    names = [member.name for member in members]
    lists = [member for member in members if member.kind in ("list", "lists")]
    header = next((member.name for member in lists if member.name in HEADERS), None)
    rows = next((member.name for member in lists if member.name in HOLDERS and member.kind == "lists"), None)
    if header is None or rows is None or names.index(header) > names.index(rows):
        return None
    return Layout("table", (header, rows), tuple(name for name in names if name not in (header, rows)))


def _are_records(members: list[_Member]) -> bool:
    """Whether all members are records, or lists of turns, under keys that mean nothing to a reader, such as ids."""
    from ..examples.field_names import ANSWER_FIELDS, ANSWER_PAIRS, PART_WORDS, QUESTION_FIELDS, TURN_FIELDS

    known = {*QUESTION_FIELDS, *ANSWER_FIELDS, *TURN_FIELDS}
    taken = {*known, *PART_WORDS, *HOLDERS, *(name for pair in ANSWER_PAIRS for name in pair)}
    if len(members) < 2 or any(member.name.lower() in taken for member in members):
        return False
    filled = [set(member.keys) for member in members if member.keys]  # a broken record shows no keys
    shared = set[str]().union(*filled[:1]).intersection(*filled) if len(filled) > 1 else set[str]()
    if all(member.kind == "object" for member in members):
        return len(shared) > 1 and not known.isdisjoint(map(str.lower, shared))
    return all(member.kind == "objects" for member in members) and not TURN_KEYS.isdisjoint(shared)


def _keyed(walk: Walk) -> Iterator[Piece]:
    walk.peek()
    problem = None
    for _ in names(walk):
        piece = walk.value()
        problem = piece.problem
        yield piece
    yield from _rest(walk, problem)


def _held(walk: Walk, members: frozenset[str]) -> Iterator[Piece]:
    walk.peek()
    problem = None
    for name, sign in names(walk):
        for piece in elements(walk) if sign == "[" else [walk.value()]:
            problem = piece.problem
            if problem or (sign == "[" and name in members):
                yield piece
    yield from _rest(walk, problem)


def _table(walk: Walk, header: str, rows: str) -> Iterator[Piece]:
    """The rows of a table as objects; one that has not a cell for each column is bad."""
    walk.peek()
    problem = None
    columns: list[str] = []
    for name, sign in names(walk):
        for piece in elements(walk) if sign == "[" else [walk.value()]:
            problem = piece.problem
            cells = None if problem else decoded(piece)
            if name == header and problem is None:
                columns.append(cells if isinstance(cells, str) else piece.raw.decode("utf-8", "replace"))
            elif name == rows and problem is None and isinstance(cells, list) and len(cells) == len(columns):
                yield Piece(piece.line, lossless_json.dumps(dict(zip(columns, cells, strict=True))))
            elif problem or name == rows:
                yield piece
    yield from _rest(walk, problem)


def questions(article: Piece) -> Iterator[Piece]:
    """The questions of an article of SQuAD, each with its paragraph; what is none is given as it stands."""
    value = None if article.problem else decoded(article)
    paragraphs = value.get("paragraphs", [value]) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(paragraphs, list) or not paragraphs:
        yield article
        return
    about = {name: part for name, part in value.items() if name not in NESTED}
    for paragraph in paragraphs:
        asked = paragraph.get("qas") if isinstance(paragraph, dict) else None
        if not isinstance(asked, list) or not asked:
            yield article if paragraph is value else Piece(article.line, lossless_json.dumps(paragraph))
            continue
        shared = {**about, **{name: part for name, part in paragraph.items() if name != "qas"}}
        for one in asked:
            record = {**shared, **one} if isinstance(one, dict) else one
            yield Piece(article.line, lossless_json.dumps(record))


def _rest(walk: Walk, problem: str | None) -> Iterator[Piece]:
    """What was wrong between the members of an object whose last one had this problem, and what follows it."""
    yield from (flaw for flaw in walk.flaws if not flaw.problem == problem == "truncated")
    while sign := walk.peek():
        yield walk.take(1, "extra_data") if sign in "}],:" else walk.value()


def _columns(path: Path, encoding: Encoding) -> Iterator[Piece]:
    data = beginning(path, encoding, MAX_COLUMNS_BYTES)
    if len(data) == MAX_COLUMNS_BYTES:
        raise DataError(
            f"{quote(str(path), 200)} is one JSON object of columns, above {MAX_COLUMNS_BYTES >> 20} MiB.",
            "Export it as JSON Lines or Parquet.",
        )
    columns = {
        name: list(part.values()) if isinstance(part, dict) else part
        for name, part in lossless_json.loads(data).items()
    }
    for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
        yield Piece(number, lossless_json.dumps(dict(zip(columns, cells, strict=True))))
