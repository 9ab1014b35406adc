"""All that can be done with a row alone; runs in as many processes as there are cores."""

from functools import cache

import numpy as np
import orjson
import xxhash

from .. import lossless_json
from ..examples.types import ChatExample
from .balance import Classes
from .batch import Batch, Done
from .clean import Clean
from .contamination import Contamination
from .convert import Convert
from .duplicates import content_digest, question_digest
from .given import split_named
from .languages import languages_of
from .ledger import Entries
from .measure import Measure
from .near import Comparison, Likeness, alike
from .personal_step import PersonalData
from .plan import Plan
from .row import Row
from .shingles import shingle
from .signatures import Template, compared, sign
from .texts import texts_of
from .understand import Understand

LANGUAGE_LETTERS = 200  # of a row, from its answer: enough to tell


class Worker:
    """Carries batches through the steps; each step sees only the rows that those before it let through."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._understand = Understand(plan)
        self._steps = (Clean(plan), PersonalData(plan), Convert(plan), Contamination(plan))
        self._measures = (Measure(plan), Classes(plan))

    def work(self, batch: Batch) -> Done:
        """What becomes of a batch."""
        request = self.plan.request
        done = Done(len(batch.pieces), Entries(hide=request.pii != "off" and not request.keep_values))
        rows = self._understand(batch, done)
        for step in self._steps:
            rows = step(rows, done)
        if rows:
            for measure in self._measures:
                measure(rows, done)
            self._note_identity(rows, batch, done)
            self._note_shape(rows, done)
            done.shingles = shingle([compared(row.example).text for row in rows])
            if batch.near_template is not None:
                self.sign(done, batch.near_template)
            done.lines = [_line(row) for row in rows]
        return done

    def compare(self, comparison: Comparison) -> list[Likeness]:
        """The pairs that are similar enough to be near duplicates."""
        return alike(comparison, self.plan.request.near_duplicate_threshold)

    def _note_identity(self, rows: list[Row], batch: Batch, done: Done) -> None:
        columns, count = done.columns, len(rows)
        columns["source"] = np.full(count, batch.file, dtype=np.uint32)
        columns["number"] = np.fromiter((row.number for row in rows), np.uint64, count)
        columns["line"] = np.fromiter((row.place.line for row in rows), np.uint64, count)
        columns["raw"] = np.fromiter((row.digest for row in rows), np.uint64, count)
        digests = b"".join(content_digest(row.example) for row in rows)
        columns["content"] = np.frombuffer(digests, dtype=np.uint64).reshape(count, 2)
        columns["question"] = np.fromiter((question_digest(row.example) for row in rows), np.uint64, count)
        if self.plan.restored_rows:
            columns["restored"] = np.fromiter(
                (row.place.row_id in self.plan.restored_rows for row in rows), bool, count
            )
        group_by = self.plan.request.group_by
        if group_by is not None:
            columns["group"] = np.fromiter((_group(row, group_by) for row in rows), np.uint64, count)
        given = self.plan.given[batch.file]
        columns["given"] = np.fromiter((given or split_named(row.named("split")) for row in rows), np.uint8, count)

    def _note_shape(self, rows: list[Row], done: Done) -> None:
        codes = [_coded(language) for language in languages_of([_sample(row) for row in rows])]
        done.columns["language"] = np.array(codes, dtype=np.uint32)
        done.columns["turns"] = np.fromiter((_turns(row) for row in rows), np.uint16, len(rows))

    def sign(self, done: Done, template: Template) -> None:
        """Turn the word triples into signatures, once it is known which of them are a template."""
        if done.shingles is not None:
            done.columns["signature"] = sign(done.shingles, template, self.plan.request.near_duplicate_threshold)
            done.shingles = None


def _sample(row: Row) -> str:
    """A text of the row that tells its language: the answer, with what is before it when that is short."""
    texts = texts_of(row.example)
    return texts[-1] if len(texts[-1]) >= LANGUAGE_LETTERS else " ".join(reversed(texts))[:LANGUAGE_LETTERS]


@cache
def _coded(language: str) -> int:
    """The letters of a language's code as a number."""
    return int.from_bytes(language.encode()[:4], "little")


def _group(row: Row, field: str) -> int:
    value = row.named(field)
    return 0 if value is None else xxhash.xxh3_64_intdigest(lossless_json.dumps(value)) or 1


def _turns(row: Row) -> int:
    """Questions and answers of a row."""
    if not isinstance(row.example, ChatExample):
        return 1
    return min(sum(message.role in ("user", "assistant") for message in row.example.messages), 0xFFFF)


def _line(row: Row) -> bytes:
    try:
        return orjson.dumps(row.prepared, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # it holds a number that only the lossless writer keeps
        return lossless_json.dumps(row.prepared) + b"\n"
