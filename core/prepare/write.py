"""The last step: the splits and the ledger in output_dir, each file whole or absent."""

import contextlib

from ..files import atomic_writer
from .ledger import Ledger
from .request import PrepareRequest
from .result import OutputFile
from .split import Split
from .store import Store


def write(request: PrepareRequest, store: Store, ledger: Ledger, found: Split) -> tuple[OutputFile, ...]:
    """Write train.jsonl, valid.jsonl (unless no validation rows were asked for) and ledger.jsonl.

    In a dry run nothing is written, and the answer says what would be.
    """
    if not request.dry_run:
        _write_files(request, store, ledger, found)
    rows, valid = store.kept_count, int(found.valid.sum())
    folder = request.output_dir
    parts = [("train.jsonl", rows - valid, "Training"), ("valid.jsonl", valid, "Validation")]
    written = [
        OutputFile(path=folder / name, examples=count, share=count / rows, purpose=purpose)
        for name, count, purpose in parts
        if name == "train.jsonl" or request.valid_fraction
    ]
    purpose = "Every dropped, changed or flagged row, and why"
    return (*written, OutputFile(path=folder / "ledger.jsonl", examples=ledger.lines, share=None, purpose=purpose))


def _write_files(request: PrepareRequest, store: Store, ledger: Ledger, found: Split) -> None:
    with contextlib.ExitStack() as files:  # all three take their places one after another, once all are whole
        ledger.copy_to(files.enter_context(atomic_writer(request.output_dir / "ledger.jsonl")))
        train = files.enter_context(atomic_writer(request.output_dir / "train.jsonl"))
        valid = train
        if request.valid_fraction:
            valid = files.enter_context(atomic_writer(request.output_dir / "valid.jsonl"))
        for index, line in store.lines():
            (valid if found.valid[index] else train).write(line)
