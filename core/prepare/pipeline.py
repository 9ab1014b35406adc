"""The preparation from top to bottom: read, look at each row, settle what concerns all rows, write.

Pieces of the files go in batches to a worker on every core, which does all that can be done with a row alone. What
comes back is stored: the text on disk, numbers in memory. Then this process finds duplicates, splits and writes. So
memory stays lean, and rows/s grow with the cores.
"""

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from ..errors import DataError
from ..examples.comparisons import UNSURE_NEXT_STEP, why_unsure
from ..runs.active import ActiveRun
from ..settings import Settings
from ..untrusted import quote
from .balance import give_up
from .batch import Batch, Done
from .books import Books
from .conclude import conclude
from .inventory import guesses
from .ledger import Ledger
from .opening import open_plan
from .pool import Alone, Pool, processes
from .read import DataFile, pieces
from .request import PrepareRequest
from .result import PrepareResult
from .row import Piece
from .settle import settle
from .signatures import SAMPLE_ROWS, Template
from .sources import packing
from .store import Store
from .understand import check_names
from .verdict import listed, unusable_next_step
from .wording import counted, place_of
from .worker import Worker
from .worth import worst

BATCH_ROWS = 400  # what is in work at a time is most of a process's memory
BATCH_BYTES = 4 << 20


def run(request: PrepareRequest, run: ActiveRun) -> PrepareResult:
    """Prepare the data that the request names.

    A resumed run starts anew: it is quick, and the same request gives the same files.

    Raises:
        DataError: No row of the data can be used, or a file holds no data.
        InputError: A field that the request names is not in the data, or a row to restore is not.
    """
    run.stage("looking at the files")
    plan = open_plan(request, Settings.from_environment(), run)
    with (
        _work_folder(run) as folder,
        contextlib.closing(Ledger(folder / "ledger.jsonl")) as ledger,
        contextlib.closing(Store(folder / "rows.jsonl")) as store,
    ):
        return Preparation(Books(plan, ledger, store), run).carry_out()


@contextlib.contextmanager
def _work_folder(run: ActiveRun) -> Iterator[Path]:
    folder = run.folder.path / "work"
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was cut off
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Preparation:
    """One preparation on its way."""

    def __init__(self, books: Books, run: ActiveRun) -> None:
        self.books, self.plan, self.run = books, books.plan, run
        self._progress = ReadingProgress(books.plan.files, run)

    def carry_out(self) -> PrepareResult:
        """Read everything, decide about it, write it."""
        self.run.stage("reading, cleaning and checking rows")
        worker = Worker(self.plan)
        batches = self._batches()
        # here, before there are processes: they shall all know what the first rows show about the others
        first = [worker.work(batch) for batch in islice(batches, 1)]
        more = next(batches, None)  # the rest of a large data set is worth several processes
        crew = contextlib.nullcontext(Alone(worker)) if more is None else Pool(worker, processes())
        with crew as many:
            rest = many.map(Worker.work, chain([more] if more else [], batches))
            for done in self._signed(worker, chain(first, rest)):
                self._take(done)
            self._refuse_unsure()
            self._refuse_nothing()
            self.books.store.finish(tuple(str(file.path) for file in self.plan.files))
            settlement = settle(self.books, self.run, many)
        return conclude(self.books, settlement)

    def _batches(self) -> Iterator[Batch]:
        number = 1
        for at, file in enumerate(self.plan.files):
            for portion in portions(pieces(file)):
                self.run.raise_if_stopped()
                yield Batch(at, number, portion, self.books.near_template)
                number += len(portion)
                self.books.rows_of[at] += len(portion)
                self._progress.seen(portion)

    def _signed(self, worker: Worker, found: Iterable[Done]) -> Iterator[Done]:
        """What is found, with signatures; it waits for the first rows, which show what all rows share."""
        first: list[Done] = []
        for done in found:
            if self.books.near_template is None:
                first.append(done)
                if sum(len(one.lines) for one in first) < SAMPLE_ROWS:
                    continue
            yield from self._sign(worker, first or [done])
            first = []
        yield from self._sign(worker, first)

    def _sign(self, worker: Worker, found: list[Done]) -> list[Done]:
        if self.books.near_template is None:
            self._check_names(found)
            self.books.near_template = Template.of([done.shingles for done in found if done.shingles])
        for done in found:
            worker.sign(done, self.books.near_template)
        return found

    def _check_names(self, first: list[Done]) -> None:
        """Whether the request fits the data, as far as the first rows show."""
        template = self.plan.prompt_template
        names = Counter(chain.from_iterable(done.tally.names for done in first))
        fields = template.fields if template else frozenset()
        check_names(self.plan.request, names, fields, sum(done.read for done in first))

    def _take(self, done: Done) -> None:
        books = self.books
        books.rows_read += done.read
        books.ledger.take(done.entries)
        books.tally.add(done.tally)
        books.worst = worst([*books.worst, *done.worst])
        if done.lines:
            books.store.append(done.lines, done.columns)
            give_up(books.tally, books.store, self.plan.request.stratify_by)
        self._progress.done(books.rows_read)

    def _refuse_unsure(self) -> None:
        """Raises DataError when a file's choices do not tell which of two answers is the better one."""
        choices = self.books.tally.choices
        for source in dict.fromkeys(source for source, _ in choices):
            own = [choice for named, choice in choices if named == source]
            from_0 = any(choice.number == "0" for choice in own)  # then other files say nothing of how this one counts
            why = why_unsure(own if from_0 else (choice for _, choice in choices))
            if why is not None:
                raise DataError(f"{quote(source, 120)}: {why}.", UNSURE_NEXT_STEP)

    def _refuse_nothing(self) -> None:
        """Raises DataError when no row is left, with what became of them."""
        if len(self.books.store):
            return
        files = self.plan.files
        names = ", ".join(quote(str(file.path), 120) for file in files[:3])
        names += f" and {counted(len(files) - 3, 'more file')}" if len(files) > 3 else ""
        if all(file.kind == "empty" for file in files):
            raise DataError(f"{names} {'is' if len(files) == 1 else 'are'} empty.", "Give a file with rows.")
        if not self.books.rows_read:
            raise DataError(f"There are no rows in {names}.", "Give a file with rows.")
        dropped = self.books.ledger.dropped
        reasons = "".join(
            f" {place_of(place)}: {reason}"
            for reason, place in (*self.books.tally.unreadable.items(), *self.books.tally.unparsed.items())
        )
        reasons += "".join(f" {guess}." for guess in guesses(self.plan)[:3])
        raise DataError(
            f"None of the {self.books.rows_read:,} rows in {names} can be used ({listed(dropped)}).{reasons}",
            unusable_next_step(dropped, self.books.tally),
        )


def portions(found: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Pieces by the hundreds, fewer when they are long."""
    portion: list[Piece] = []
    size = 0
    for piece in found:
        portion.append(piece)
        size += len(piece.raw)
        if len(portion) == BATCH_ROWS or size >= BATCH_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


class ReadingProgress:
    """Tells how many rows are done, how fast, and how many there will be, as far as sizes of files show it."""

    def __init__(self, files: Sequence[DataFile], run: ActiveRun) -> None:
        self._run, self._began = run, time.monotonic()
        self._rows = self._bytes = 0
        read = [file for file in files if file.kind != "empty"]
        plain = all(file.encoding is not None and packing(file.path) is None for file in read)
        self._total_bytes = sum(file.path.stat().st_size for file in files) if plain else None

    def seen(self, portion: list[Piece]) -> None:
        """A portion has been read from its file."""
        self._rows += len(portion)
        self._bytes += sum(len(piece.raw) + 1 for piece in portion)

    def done(self, rows: int) -> None:
        """So many rows have been taken in."""
        speed = rows / max(time.monotonic() - self._began, 1e-9)
        total = None
        if self._total_bytes and self._bytes:
            total = max(rows, round(self._rows * self._total_bytes / self._bytes))
        self._run.progress(rows, total, "rows", f"reading and checking, {speed:,.0f} rows/s")
