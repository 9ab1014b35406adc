"""What both models are asked: the held-out rows as prompts and references, and what is to be said of these rows."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checks import Check
from ..examples.files import read_examples
from ..examples.fingerprint import fingerprint, prompt_fingerprint
from ..examples.types import Example, answer_of
from .choice import Choice, choose
from .request import EvaluateRequest

MAX_NEW_TOKENS = 1_024
ROOM = 1.2  # an answer may be that much longer than the longest reference ...
SPARE_TOKENS = 16  # ... and some more, before it is cut
LEAK_SHARE = 0.05  # of the rows; fewer cannot carry a result


@dataclass(frozen=True)
class Drawn:
    """The rows of the file that are to be measured, if the models can take them."""

    found: int
    """Rows in the file."""
    examples: tuple[Example, ...]
    choice: Choice


@dataclass(frozen=True)
class Subject:
    """The held-out rows, ready to be asked; the same for both models."""

    examples: tuple[Example, ...]
    prompts: tuple[str, ...]
    references: tuple[str, ...]
    choice: Choice
    asked: tuple[int, ...]
    """Positions of the rows whose answers are generated."""
    shown: tuple[int, ...]
    """Positions among `asked` that the report shows."""
    max_new_tokens: int
    checks: tuple[Check, ...]


def draw_rows(request: EvaluateRequest) -> Drawn:
    """The rows of the data, or `limit` random ones, and the scores that fit their answers.

    Raises:
        DataError: The file has no example, or lines that are none.
    """
    found = read_examples(request.data_path)
    choice = choose([answer_of(example) for example in found], request.metrics)
    drawn = tuple(found[i] for i in _positions(len(found), request.limit, request.seed))
    return Drawn(len(found), drawn, choice)


def subject_of(
    request: EvaluateRequest, drawn: Drawn, usable: Sequence[Example], prompts: Sequence[str], longest_answer: int
) -> Subject:
    """What is measured: the rows that both models can take.

    Args:
        request: The resolved request.
        drawn: All rows that were to be measured.
        usable: Those that can be.
        prompts: What is asked of each of these, as the models get it.
        longest_answer: Tokens of the longest reference among them.
    """
    wanted = max(request.samples, request.judge_pairs if request.judge != "none" else 0)
    asked = range(len(usable)) if drawn.choice.scores else range(min(wanted, len(usable)))
    return Subject(
        examples=tuple(usable),
        prompts=tuple(prompts),
        references=tuple(answer_of(example) for example in usable),
        choice=drawn.choice,
        asked=tuple(asked),
        shown=tuple(_positions(len(asked), request.samples, request.seed)),
        max_new_tokens=min(MAX_NEW_TOKENS, math.ceil(longest_answer * ROOM) + SPARE_TOKENS),
        checks=(
            _rows_check(drawn, len(usable)),
            *(_leak_checks(usable, request.data_path) if request.finetuned_path else ()),
            *_unfit_check(drawn.choice),
        ),
    )


def _positions(n: int, limit: int | None, seed: int) -> list[int]:
    """All positions, or `limit` random ones, in their order."""
    if limit is None or limit >= n:
        return list(range(n))
    return sorted(random.Random(seed).sample(range(n), limit))


def _rows_check(drawn: Drawn, usable: int) -> Check:
    left_out = len(drawn.examples) - usable
    details = f"{usable} of {drawn.found} rows measured"
    if len(drawn.examples) < drawn.found:
        details += f", drawn at random (limit {len(drawn.examples)})"
    if not left_out:
        return Check(name="rows", status="pass", details=details + ".", count=usable)
    return Check(
        name="rows",
        status="warn",
        details=f"{details}; {left_out} left out: no answer, or longer than the model's context.",
        count=left_out,
        next_step="Shorten or drop those rows with prepare's max_length.",
    )


def _leak_checks(examples: Sequence[Example], data_path: Path) -> tuple[Check, ...]:
    """Whether held-out rows stand in the training data that lies beside them."""
    train_path = data_path.parent / "train.jsonl"
    if data_path == train_path:
        details = "These are the training rows themselves: the scores show memory, not ability."
        return (
            Check(name="held_out", status="fail", details=details, next_step="Measure on rows that were held out."),
        )
    if not train_path.is_file():
        details = "Not checked: no train.jsonl lies beside the held-out file."
        next_step = "Give prepare's output_dir as data_path, so that overlap with the training rows is found."
        return (Check(name="held_out", status="warn", details=details, next_step=next_step),)
    train = read_examples(train_path)
    rows, prompts = {fingerprint(example) for example in train}, {prompt_fingerprint(example) for example in train}
    same = sum(fingerprint(example) in rows for example in examples)
    asked = sum(prompt_fingerprint(example) in prompts for example in examples)
    if not asked:
        details = f"None of the {len(examples)} held-out rows stands in train.jsonl."
        return (Check(name="held_out", status="pass", details=details, count=0),)
    details = f"Of {len(examples)} held-out rows, {same} stand in train.jsonl, and {asked} ask a question that does."
    return (
        Check(
            name="held_out",
            status="fail" if same > LEAK_SHARE * len(examples) else "warn",
            details=details,
            count=asked,
            next_step="Run prepare again with dedup: near, train on the new split, and evaluate on its valid.jsonl.",
        ),
    )


def _unfit_check(choice: Choice) -> tuple[Check, ...]:
    if not choice.unfit:
        return ()
    return (
        Check(
            name="metrics",
            status="warn",
            details=f"Not computed: {', '.join(choice.unfit)}. They mean nothing here: {choice.reason}.",
            count=len(choice.unfit),
            next_step="Leave metrics out to get those that fit.",
        ),
    )
