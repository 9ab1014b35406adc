"""The last step: the splits and the ledger in output_dir, each file whole or absent."""

import contextlib
import shutil
from pathlib import Path

from ..files import atomic_writer
from .job import Job
from .result import OutputFile
from .split import Split


def write(job: Job, found: Split, output_dir: Path) -> tuple[OutputFile, ...]:
    """Write train.jsonl, valid.jsonl (unless no validation rows were asked for) and ledger.jsonl.

    In a dry run nothing is written, and the answer says what would be.
    """
    job.ledger.close()
    request, rows = job.request, job.store.kept_count
    if not request.dry_run:
        _write_files(job, found, output_dir)
    parts = [("train.jsonl", rows - len(found.valid), "Training"), ("valid.jsonl", len(found.valid), "Validation")]
    written = [
        OutputFile(path=output_dir / name, examples=count, share=count / rows, purpose=purpose)
        for name, count, purpose in parts
        if name == "train.jsonl" or request.valid_fraction
    ]
    purpose = "Every dropped, changed or flagged row, and why"
    ledger = OutputFile(path=output_dir / "ledger.jsonl", examples=job.ledger.lines, share=None, purpose=purpose)
    return (*written, ledger)


def _write_files(job: Job, found: Split, output_dir: Path) -> None:
    with contextlib.ExitStack() as files:  # all three take their places one after another, once all are whole
        ledger = files.enter_context(atomic_writer(output_dir / "ledger.jsonl"))
        train = files.enter_context(atomic_writer(output_dir / "train.jsonl"))
        with job.ledger.path.open("rb") as lines:
            shutil.copyfileobj(lines, ledger)
        valid = train
        if job.request.valid_fraction:
            valid = files.enter_context(atomic_writer(output_dir / "valid.jsonl"))
        for index in job.store.kept():
            (valid if index in found.valid else train).write(job.store.line(index))
