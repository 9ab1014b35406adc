"""A data file held against the rules: what every line says, gathered by rule."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import xxhash

from .lines import Problem, Rule, read_lines, starts_with_bom
from .request import Method
from .rules import CHECK_LINE
from .tokens import example_tokens

SHOWN_PLACES = 8  # of each rule; one mistake mostly repeats itself in the same way


@dataclass
class Violations:
    """What one rule found in one file."""

    lines: int = 0
    """Lines that break the rule."""
    shown: list[str] = field(default_factory=list)
    """The first of them as "file:line place problem"."""


@dataclass
class DataFile:
    """What one file holds."""

    path: Path
    size_bytes: int
    has_bom: bool
    examples: int = 0
    """Lines that are JSON objects."""
    tokens: int = 0
    """Tokens of all examples, each cut at the longest allowed."""
    too_long: Violations = field(default_factory=Violations)
    lines_with_images: int = 0
    violations: dict[Rule, Violations] = field(default_factory=dict)
    digests: dict[bytes, int] = field(default_factory=dict)
    """Each example's digest and the first line that holds it."""


@dataclass(frozen=True)
class Reading:
    """How to read: by which rules, with which counter, telling whom."""

    method: Method
    context: int
    """Most tokens of one example."""
    count: Callable[[str], int]
    on_line: Callable[[int], None]


def read_data(path: Path, reading: Reading) -> DataFile:
    """Read a whole file and hold every line against the rules of the method."""
    found = DataFile(path=path, size_bytes=path.stat().st_size, has_bom=starts_with_bom(path))
    check = CHECK_LINE[reading.method]
    for line in read_lines(path):
        reading.on_line(line.number)
        if line.record is None:
            _note(found, line.number, [line.problem] if line.problem else [])
            continue
        found.examples += 1
        _note(found, line.number, list(check(line.record)))
        tokens = example_tokens(line.record, reading.count)
        found.tokens += min(tokens, reading.context)
        if tokens > reading.context:
            _add(found.too_long, f"{path.name}:{line.number} has {tokens:,} tokens")
        found.lines_with_images += b'"image_url"' in line.raw
        digest = xxhash.xxh3_128_digest(orjson.dumps(line.record, option=orjson.OPT_SORT_KEYS))
        found.digests.setdefault(digest, line.number)
    return found


def _note(found: DataFile, number: int, problems: list[Problem]) -> None:
    """Note the first problem of each rule: a rule counts lines, not places."""
    firsts: dict[Rule, Problem] = {problem.rule: problem for problem in reversed(problems)}
    for rule, first in firsts.items():
        where = f"{found.path.name}:{number}" + (f" {first.place}" if first.place else "")
        _add(found.violations.setdefault(rule, Violations()), f"{where} {first.text}")


def _add(violations: Violations, text: str) -> None:
    violations.lines += 1
    if len(violations.shown) < SHOWN_PLACES:
        violations.shown.append(text)
