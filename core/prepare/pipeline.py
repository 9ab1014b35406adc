"""The preparation from top to bottom: read, clean, redact, convert, find duplicates, check, split, write.

Rows go through the steps in batches as they are read; what must be known of all of them at the end (near duplicates,
classes, lengths) is collected as numbers, while the rows themselves wait on disk. So memory stays lean.
"""

import contextlib
import itertools
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import xxhash

from ..checks import Check
from ..errors import DataError
from ..runs.active import ActiveRun
from ..settings import Settings
from ..untrusted import quote
from . import sources
from .balance import Classes
from .clean import Clean
from .contamination import Contamination
from .convert import Convert
from .duplicates import ExactDuplicates, question_digest
from .job import Job, Step
from .ledger import Ledger
from .measure import Measure
from .near import NearDuplicates
from .personal import PersonalData, redact_all
from .read import DataFile, look
from .read import rows as read_rows
from .request import PrepareRequest, entries_of
from .result import PrepareResult
from .row import Row
from .split import Split, split, split_checks
from .store import Store
from .tokens import TokenCounter
from .understand import Understanding
from .verdict import accounting_check, ordered, reading_checks, source_of, unusable_next_step, warnings
from .write import write

BATCH_ROWS = 1_000


def run(request: PrepareRequest, run: ActiveRun) -> PrepareResult:
    """Prepare the data that the request names.

    A resumed run starts anew: it is quick, and the same request gives the same files.

    Raises:
        DataError: No row of the data can be used, or a file holds no data.
        InputError: A field that the request names is not in the data.
    """
    run.stage("looking at the files")
    settings = Settings.from_environment()
    files = [look(path) for path in sources.expand(entries_of(request), settings, leave_out=request.output_dir)]
    if request.model_name:
        run.stage(f"loading the tokenizer of {request.model_name}")
    with _work_folder(run) as folder, _job(request, folder, settings) as job:
        return Preparation(job, run, files).carry_out()


@contextlib.contextmanager
def _work_folder(run: ActiveRun) -> Iterator[Path]:
    folder = run.folder.path / "work"
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was cut off
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _job(request: PrepareRequest, folder: Path, settings: Settings) -> Iterator[Job]:
    hides = request.pii in ("redact", "drop")
    ledger = Ledger(folder / "ledger.jsonl", protect=redact_all if hides else lambda value: value)
    store = Store(folder / "rows.jsonl")
    try:
        yield Job(request, ledger, store, TokenCounter.for_model(request.model_name, settings))
    finally:
        ledger.close()
        store.close()


class Preparation:
    """One preparation with its steps."""

    def __init__(self, job: Job, run: ActiveRun, files: list[DataFile]) -> None:
        self.job, self.run, self.files = job, run, files
        self.understanding = Understanding(job)
        self.measure, self.classes, self.near = Measure(job), Classes(job), NearDuplicates(job)
        self.steps: tuple[Step, ...] = (  # each sees only the rows that those above it let through
            Clean(job),
            PersonalData(job),
            Convert(job),
            ExactDuplicates(job),
            Contamination(job),
            self.measure,
            self.classes,
            self.near,
        )

    def carry_out(self) -> PrepareResult:
        """Read everything, decide about it, write it."""
        self._read_all()
        self._refuse_nothing()
        self.run.stage("finding near duplicates")
        self.near.find(self.run.raise_if_stopped)
        self.run.stage("splitting and writing")
        found = split(self.job, self.classes.strata())
        accounting = accounting_check(self.job)
        if accounting.status == "fail":
            raise DataError(accounting.details, "This is a defect of the program; please report it.")
        of_steps = (check for step in self.steps for check in step.checks())
        own = reading_checks(self.job, self.understanding, self.files)
        checks = ordered([*own, *of_steps, *split_checks(self.job, found), accounting])
        return self._result(found, checks)

    def _read_all(self) -> None:
        self.run.stage("reading, cleaning and checking rows")
        began, names_checked = time.monotonic(), False
        for file in self.files:
            found = read_rows(file)
            while batch := list(itertools.islice(found, BATCH_ROWS)):
                self.run.raise_if_stopped()
                rows = self.understanding.rows(str(file.path), batch)
                if not names_checked:
                    self.understanding.check_names()
                    names_checked = True
                for step in self.steps:
                    rows = step(rows)
                self._store(rows)
                speed = self.job.rows_read / (time.monotonic() - began)
                self.run.progress(self.job.rows_read, None, "rows", f"reading and checking, {speed:,.0f} rows/s")
        self.job.store.finish()

    def _store(self, rows: list[Row]) -> None:
        store, group_by = self.job.store, self.job.request.group_by
        for row in rows:
            store.append(row, orjson.dumps(row.prepared, option=orjson.OPT_APPEND_NEWLINE))
            store.digests.append(question_digest(row.example))
            value = None if group_by is None else row.record.get(group_by)
            store.groups.append(0 if value is None else xxhash.xxh3_64_intdigest(orjson.dumps(value)))

    def _refuse_nothing(self) -> None:
        """Raises DataError when no row is left, with what became of them."""
        if self.job.store.kept_count:
            return
        names = ", ".join(quote(str(file.path), 120) for file in self.files[:3])
        if not self.job.rows_read:
            raise DataError(f"There are no rows in {names}.", "Give a file with rows.")
        dropped = self.job.ledger.dropped_by_reason
        why = ", ".join(f"{rule} {count:,}" for rule, count in dropped.most_common())
        reasons = "".join(
            f" {quote(place.source, 120)}:{place.line}: {reason}"
            for reason, place in self.understanding.unreadable.items()
        )
        raise DataError(
            f"None of the {self.job.rows_read:,} rows in {names} can be used ({why}).{reasons}",
            unusable_next_step(dropped),
        )

    def _result(self, found: Split, checks: tuple[Check, ...]) -> PrepareResult:
        job = self.job
        dropped = dict(job.ledger.dropped_by_reason.most_common())
        near, exact = dropped.get("near_duplicate", 0), dropped.get("duplicate", 0)
        return PrepareResult(
            source=source_of(job, self.files),
            format=job.request.format,
            total_examples=job.store.kept_count + near + exact,
            unique_examples=job.store.kept_count,
            duplicates_removed=exact,
            near_duplicates_removed=near,
            dropped_by_reason=dropped,
            changed_by_rule=dict(job.ledger.changed_by_rule.most_common()),
            personal_data=dict(job.personal_data.most_common()),
            checks=checks,
            token_statistics=self.measure.statistics(),
            tokens_counted_by=job.tokens.label,
            truncation=self.measure.truncation(),
            files=write(job, found, job.request.output_dir),
            balance=self.classes.balance(),
            warnings=warnings(job, checks),
            dry_run=job.request.dry_run,
        )
