"""A data file held against the rules: what every line says, gathered by rule."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import xxhash

from ..models.hosted.providers import Method
from ..models.hosted.tokens import example_tokens
from .grader import check_fields
from .lines import Problem, Rule, read_lines, starts_with_bom
from .rules import CHECK_LINE

SHOWN_PROBLEMS = 5  # of each rule and file; one mistake mostly repeats itself word for word
SHOWN_LINES = 5  # of each problem


@dataclass
class Violations:
    """What one rule found in one file."""

    file: str
    lines: int = 0
    """Lines that break the rule."""
    shown: dict[str, list[int]] = field(default_factory=dict)
    """The first different problems, each with all lines that have it."""

    def add(self, line: int, problem: str) -> None:
        """Count a line, and keep its problem when it is among the first or a repetition of one."""
        self.lines += 1
        if problem in self.shown or len(self.shown) < SHOWN_PROBLEMS:
            self.shown.setdefault(problem, []).append(line)

    def described(self) -> list[str]:
        """Each shown problem as "file:line problem", with the next lines that have it."""
        return [f"{self.file}:{lines[0]} {problem}{_further(lines[1:])}" for problem, lines in self.shown.items()]


def _further(lines: list[int]) -> str:
    named = ", ".join(str(line) for line in lines[: SHOWN_LINES - 1])
    more = len(lines) - SHOWN_LINES + 1
    also = f"{named} and {more:,} more" if more > 0 else named
    return f" (also line{'s' if len(lines) > 1 else ''} {also})" if lines else ""


@dataclass
class DataFile:
    """What one file holds."""

    path: Path
    size_bytes: int
    has_bom: bool
    too_long: Violations
    examples: int = 0
    """Lines that are JSON objects."""
    tokens: int = 0
    """Tokens of all examples, each cut at the longest allowed."""
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
    wanted: frozenset[str] = frozenset()
    """Fields that a grader takes from every row."""


def read_data(path: Path, reading: Reading) -> DataFile:
    """Read a whole file and hold every line against the rules of the method."""
    found = DataFile(path, path.stat().st_size, starts_with_bom(path), too_long=Violations(path.name))
    check = CHECK_LINE[reading.method]
    for line in read_lines(path):
        reading.on_line(line.number)
        if line.record is None:
            _note(found, line.number, [line.problem] if line.problem else [])
            continue
        found.examples += 1
        _note(found, line.number, [*check(line.record), *check_fields(line.record, reading.wanted)])
        tokens = example_tokens(line.record, reading.count)
        found.tokens += min(tokens, reading.context)
        if tokens > reading.context:
            found.too_long.add(line.number, f"has {tokens:,} tokens")
        found.lines_with_images += b'"image_url"' in line.raw
        digest = xxhash.xxh3_128_digest(orjson.dumps(line.record, option=orjson.OPT_SORT_KEYS))
        found.digests.setdefault(digest, line.number)
    return found


def _note(found: DataFile, number: int, problems: list[Problem]) -> None:
    """Note the first problem of each rule: a rule counts lines, not places."""
    firsts: dict[Rule, Problem] = {problem.rule: problem for problem in reversed(problems)}
    for rule, first in firsts.items():
        violations = found.violations.setdefault(rule, Violations(found.path.name))
        violations.add(number, f"{first.place} {first.text}".lstrip())
