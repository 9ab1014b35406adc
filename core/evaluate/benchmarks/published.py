"""A folder of published benchmark data: which file holds which benchmark, and its rows."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from ... import untrusted
from ...errors import DataError, InputError
from . import table_files
from .shapes import Shape, Words, shapes_of
from .table_files import SUFFIXES, Row

SPLITS = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation",
          "dev": "dev"}  # fmt: skip
UNNAMED = "unnamed"  # split of a file whose path names none
SHARD = re.compile(r"-\d{5}-of-\d{5}")
UNUSED = frozenset(["auxiliary"])  # MMLU's auxiliary_train holds other benchmarks' rows, a hundred times as many
SHOWN_FILES = 8
SHOWN_COLUMNS = 12


@dataclass(frozen=True)
class Source:
    """One file, or the shards of one, with rows of one benchmark's split."""

    shape: Shape
    split: str
    words: Words
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return self.files[0].name

    def rows(self) -> "Rows":
        """Its rows as lm-eval's task wants them.

        Raises:
            DataError: A row does not have what the first one had.
        """
        found = Rows()
        for _, row in self._all():
            found.add(row)
        return found

    def rows_by_subject(self) -> "dict[str, Rows]":
        """The same, by what the rows themselves call their subject ("abstract_algebra")."""
        found: dict[str, Rows] = {}
        for subject, row in self._all():
            found.setdefault("_".join(subject.split()), Rows()).add(row)
        return found

    def _all(self) -> Iterator[tuple[str, Row | None]]:
        for path in self.files:
            for n, row in enumerate(table_files.rows(path), start=1):
                yield str(row.get("subject", "")), self._converted(row, path, n)

    def _converted(self, row: Row, path: Path, n: int) -> Row | None:
        try:
            return self.shape.convert(row)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, StopIteration) as error:
            raise DataError(
                f"'{path}', row {n}, is no row of {self.shape.benchmark} as the first one is: {_reason(error, row)}.",
                "Mend the row or move the file away.",
            ) from error


def _reason(error: Exception, row: Row) -> str:
    if isinstance(error, KeyError):
        columns = ", ".join(list(row)[:SHOWN_COLUMNS])
        return f"it has no {untrusted.quote(str(error.args[0]), 40)}, only {untrusted.quote(columns, 200)}"
    if isinstance(error, ValueError):
        return untrusted.quote(str(error), 120)
    return f"a value is of another kind ({type(error).__name__})"


@dataclass
class Rows:
    """Rows that can be asked."""

    answered: list[Row] = field(default_factory=list)
    unanswered: int = 0
    """Rows left out, since they tell no right answer."""

    def add(self, row: Row | None) -> None:
        """One more row; None where it tells no right answer."""
        if row is None:
            self.unanswered += 1
        else:
            self.answered.append(row)


class Published:
    """What lies in a folder."""

    def __init__(self, folder: Path) -> None:
        """Look at each data file's first row."""
        self.folder = folder
        self.sources: list[Source] = []
        self.strange: list[str] = []
        """Files that were not recognised, with their columns, as text."""
        for files in _wholes(folder):
            self._look(files)

    def find(
        self, benchmark: str, splits: Sequence[str], words: Words = frozenset(), without: Sequence[Words] = ()
    ) -> Source | None:
        """The source of the first of these splits that there is.

        Args:
            benchmark: Family of the shape.
            splits: In the order of preference.
            words: All of which the file's path must have.
            without: Sets of words, none of which it may have whole.

        Raises:
            InputError: More than one file serves.
        """
        for split in splits:
            fitting = [
                source
                for source in self.sources
                if source.shape.benchmark == benchmark
                and source.split == split
                and words <= source.words
                and not any(others <= source.words for others in without)
            ]
            if len(fitting) > 1:
                names = ", ".join(f"'{source.files[0]}'" for source in fitting[:SHOWN_FILES])
                raise InputError(
                    f"Several files hold {benchmark} rows for '{split}': {names}.",
                    "Keep one of them in benchmarks_dir, or name the splits in the files (train, validation, test).",
                )
            if fitting:
                return fitting[0]
        return None

    def _look(self, files: tuple[Path, ...]) -> None:
        relative = str(files[0].relative_to(self.folder).with_suffix("")).lower()
        words = frozenset(re.findall(r"[a-z]+|\d+", relative))
        if words & UNUSED:
            return
        try:
            row = table_files.first_row(files[0])
        except DataError as error:
            self.strange.append(error.problem)
            return
        shapes = shapes_of(row, words)
        for shape in shapes:
            self.sources.append(Source(shape, _split(relative), words, files))
        if not shapes:
            columns = ", ".join(untrusted.quote(str(name), 40) for name in list(row)[:SHOWN_COLUMNS]) or "none"
            self.strange.append(f"'{files[0].relative_to(self.folder)}' (columns: {columns})")


def _wholes(folder: Path) -> Iterator[tuple[Path, ...]]:
    """The data files below a folder; shards of one (x-00000-of-00002.parquet) together."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    for _, shards in groupby(found, key=lambda path: path.with_name(SHARD.sub("", path.name))):
        yield tuple(shards)


def _split(relative: str) -> str:
    """The split that a path names: in the file's name before a folder's."""
    named = [SPLITS[word] for word in re.findall(r"[a-z]+", relative) if word in SPLITS]
    return named[-1] if named else UNNAMED
