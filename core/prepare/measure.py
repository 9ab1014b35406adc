"""How long the rows are, by field and against the length that training allows."""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from ..checks import Check
from ..errors import DataError
from ..examples.dialects import Format, read_record
from ..examples.mask import Rendered, Tokenized, render_example, tokenize_rendered
from .job import Job
from .result import TokenStatistics, Truncation
from .row import Row
from .wording import counted

MISSING = -1
MANY = 0.01  # share of rows that teach nothing, from which the set is not fit for training
ORDER = (
    *("system", "instruction", "input", "output", "history", "prompt", "completion"),
    *("user", "human", "assistant", "gpt", "tool", "observation", "function_call", "row"),
)


class Measure:
    """The step: count the tokens of every row's fields, and with a model also what a trained row looks like."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._counts: dict[str, array[int]] = {}
        self._rows = 0
        self._trained: Trained | None = Trained(job) if job.tokens.chat else None

    def __call__(self, rows: list[Row]) -> list[Row]:
        fields = [fields_of(row.prepared, self._job.request.format) for row in rows]
        texts = [text for one in fields for text in one.values()]
        counts = iter(self._job.tokens.count_many(texts))
        for one in fields:
            counted = {name: next(counts) for name in one}
            self._add(counted | ({} if self._trained else {"row": sum(counted.values())}))
        if self._trained:
            self._trained.add(rows)
        return rows

    def _add(self, counted: dict[str, int]) -> None:
        for name in counted.keys() - self._counts.keys():
            self._counts[name] = array("l", [MISSING]) * self._rows
        self._rows += 1
        for name, column in self._counts.items():
            column.append(counted.get(name, MISSING))

    def statistics(self) -> tuple[TokenStatistics, ...]:
        """Per field over the rows that are left, in the order of a conversation."""
        kept = np.fromiter(self._job.store.kept(), dtype=np.int64, count=self._job.store.kept_count)
        columns = {name: np.array(column)[kept] for name, column in self._counts.items()}
        if self._trained:
            columns["row"] = np.array(self._trained.totals)[kept]
        names = sorted(columns, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
        return tuple(_statistics(name, own) for name in names if len(own := columns[name][columns[name] != MISSING]))

    def truncation(self) -> Truncation | None:
        """What training would cut off; None without a model."""
        return self._trained.truncation() if self._trained else None

    def checks(self) -> list[Check]:
        """Rows over max_length, and with a model what of them would be trained."""
        if self._trained:
            return [self._trained.length_check(), *self._trained.mask_checks()]
        return [self._estimated_length_check()]

    def _estimated_length_check(self) -> Check:
        limit = self._job.request.max_length
        if limit is None:
            return Check(name="Max Length", status="pass", details="no max_length asked for", count=None)
        over = sum(self._counts["row"][index] > limit for index in self._job.store.kept())
        details = f"{counted(over, 'row')} above {limit:,} tokens, {self._job.tokens.label}"
        step = "Pass model_name for exact counts and what training would cut off." if over else None
        return Check(name="Max Length", status="warn" if over else "pass", details=details, count=over, next_step=step)


def fields_of(record: dict[str, Any], format: Format) -> dict[str, str]:
    """The texts of a prepared record by field, or by role in conversations; several of one role are joined."""
    if format == "completion":
        return {"prompt": record["prompt"], "completion": record["completion"]}
    if format == "alpaca":
        history = "\n".join(text for pair in record.get("history", ()) for text in pair)
        extra = {"system": record.get("system"), "history": history}
        own = {name: record[name] for name in ("instruction", "input", "output")}
        return own | {name: text for name, text in extra.items() if text}
    turns, role, content = ("messages", "role", "content") if format == "openai" else ("conversations", "from", "value")
    said: dict[str, list[str]] = {}
    for turn in record[turns]:
        said.setdefault(turn[role], []).append(turn[content])
    return {name: "\n".join(texts) for name, texts in said.items()}


def _statistics(name: str, counts: np.ndarray) -> TokenStatistics:
    return TokenStatistics(
        field=name,
        min=int(counts.min()),
        max=int(counts.max()),
        mean=round(float(counts.mean()), 1),
        median=round(float(np.median(counts)), 1),
        p95=round(float(np.percentile(counts, 95)), 1),
    )


class Trained:
    """Rows as training will see them, through the masking code that training uses.

    Attributes:
        totals: Tokens of each row, template included; 0 where the template refused the row.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.totals = array("l")
        self._lost_trained = array("l")
        self._trained_left = array("l")
        self._unended = array("b")
        self._refused: dict[int, str] = {}

    def add(self, rows: Sequence[Row]) -> None:
        """Render, mask and count rows."""
        tokenizer = self._job.tokens.chat
        assert tokenizer is not None
        rendered: dict[int, Rendered] = {}
        for row in rows:
            try:
                rendered[row.index] = render_example(read_record(orjson.loads(orjson.dumps(row.prepared))), tokenizer)
            except DataError as error:
                self._refused[row.index] = error.problem
                self._job.ledger.flag(row.place, "template_refused", error.problem)
        done = dict(zip(rendered, tokenize_rendered(list(rendered.values()), tokenizer, None), strict=True))
        for row in rows:
            self._measure(done.get(row.index))

    def _measure(self, whole: Tokenized | None) -> None:
        limit = self._job.request.max_length
        beyond = whole.labels[limit:] if whole and limit is not None else []
        lost = sum(label != -100 for label in beyond)
        self.totals.append(len(whole.input_ids) if whole else 0)
        self._lost_trained.append(lost)
        self._trained_left.append(whole.trained_tokens - lost if whole else 0)
        self._unended.append(bool(whole and whole.unended_turns))

    def truncation(self) -> Truncation:
        """What training at max_length would cut off from the rows that are left."""
        kept = list(self._job.store.kept())
        limit = self._job.request.max_length
        totals = [self.totals[index] for index in kept]
        over = [total - limit for total in totals if limit is not None and total > limit]
        return Truncation(
            max_length=limit,
            rows_over=len(over),
            lost_tokens=sum(over),
            lost_trained_tokens=sum(self._lost_trained[index] for index in kept),
            rows_without_trained_token=sum(
                self._trained_left[index] == 0 for index in kept if index not in self._refused
            ),
            length_for_99_percent=sorted(totals)[max(0, -(-len(totals) * 99 // 100) - 1)],
        )

    def length_check(self) -> Check:
        """The mission's Max Length."""
        cut = self.truncation()
        if cut.max_length is None:
            details = f"no max_length asked for; {cut.length_for_99_percent:,} tokens hold 99% of the rows whole"
            return Check(name="Max Length", status="pass", details=details)
        if not cut.rows_over:
            details = f"0 rows above {cut.max_length:,} tokens"
            return Check(name="Max Length", status="pass", details=details, count=0)
        details = (
            f"{counted(cut.rows_over, 'row')} above {cut.max_length:,} tokens: training would cut off "
            f"{cut.lost_tokens:,} tokens, {cut.lost_trained_tokens:,} of them trained"
        )
        step = f"{cut.length_for_99_percent:,} tokens hold 99% of the rows whole."
        return Check(name="Max Length", status="warn", details=details, count=cut.rows_over, next_step=step)

    def mask_checks(self) -> list[Check]:
        """Whether every row has something to learn, and learns to stop."""
        refused = [index for index in self._job.store.kept() if index in self._refused]
        checks = []
        if refused:
            details = f"the model's chat template refuses {counted(len(refused), 'row')}: {self._refused[refused[0]]}"
            step = "Read the rows flagged template_refused in ledger.jsonl; training cannot use them."
            checks.append(
                Check(name="Chat Template", status="fail", details=details, count=len(refused), next_step=step)
            )
        else:
            checks.append(Check(name="Chat Template", status="pass", details="renders every row", count=0))
        bare = self.truncation().rows_without_trained_token
        unended = sum(self._unended[index] for index in self._job.store.kept())
        if bare:
            details = f"{counted(bare, 'row')} with no trained token left"
            status = "fail" if bare > MANY * self._job.store.kept_count else "warn"
        elif unended:
            details, status = f"{counted(unended, 'row')} with an answer without end-of-turn token", "warn"
        else:
            details, status = "every row has trained tokens, and every answer an end-of-turn token", "pass"
        step = "Raise max_length or shorten these rows." if bare else None
        step = "Check the model's chat template: it would not learn to stop." if unended and not bare else step
        checks.append(Check(name="Loss Mask", status=status, details=details, count=bare or unended, next_step=step))
        return checks
