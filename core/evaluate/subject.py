"""What both models are asked: the held-out rows as prompts and references, and what is to be said of these rows."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..checks import Check
from ..examples.files import read_examples
from ..examples.types import CompletionExample, Example, answer_of
from ..settings import Settings
from . import training_rows
from .call_reader import ANY, Reader
from .expected_calls import (
    Expected,
    earlier_check,
    expected_of,
    is_of,
    prompts_check,
    questions_of,
    reference_of,
)
from .findings import leakage
from .request import EvaluateRequest
from .scoring.choice import Choice, Tooled, choose
from .scoring.scores import Of, find
from .training_rows import TrainingRows

MAX_NEW_TOKENS = 1_024
ROOM = 1.2  # an answer may be that much longer than the longest reference ...
SPARE_TOKENS = 16  # ... and some more, before it is cut


@dataclass(frozen=True)
class Drawn:
    """The rows of the file that are to be measured, if the models can take them."""

    found: int
    """Rows in the file."""
    repeats: int
    """Of these, rows that say word for word what an earlier one says."""
    examples: tuple[Example, ...]
    choice: Choice
    training: TrainingRows


@dataclass(frozen=True)
class Subject:
    """The held-out rows, ready to be asked; the same for both models."""

    examples: tuple[Example, ...]
    """The rows."""
    prompts: tuple[str, ...]
    """Of `questions`; the first are those of the rows."""
    references: tuple[str, ...]
    """Of `questions`."""
    choice: Choice
    asked: tuple[int, ...]
    """Positions of the questions whose answers are generated."""
    shown: tuple[int, ...]
    """Positions among `asked` that the report shows."""
    max_new_tokens: int
    training: TrainingRows
    checks: tuple[Check, ...]
    answer_bytes: tuple[int, ...] = ()
    """UTF-8 bytes of what is learned in each row, the template's marks not counted; empty for hosted models."""
    questions: tuple[Example, ...] = ()
    """The rows, and parts of some that end in an earlier answer."""
    expected: tuple[Expected | None, ...] = ()
    """What each question expects where there are tools; empty: none is about tools."""
    reader: Reader = ANY
    """Of the calls in answers."""

    def wanted(self, row: int) -> tuple[str, Expected | None]:
        """The reference of a question, and what it expects where there are tools."""
        return self.references[row], self.expected[row] if self.expected else None


def draw_rows(request: EvaluateRequest) -> Drawn:
    """The rows of the data, or `limit` random ones, and the scores that fit their answers.

    A row that is there several times is one item: its copies get the same answers, so they prove nothing more.

    Raises:
        DataError: The file has no example, or lines that are none.
    """
    found = read_examples(request.data_path)
    first: dict[str, Example] = {}
    for example in found:
        first.setdefault(_said(example), example)
    rows = list(first.values())
    wanted = [(answer_of(one), expected_of(one)) for one in questions_of(rows)]
    texts = [text for text, expected in wanted if is_of("text", text, expected)]
    tooled = Tooled(*(sum(is_of(of, *one) for one in wanted) for of in ("calls", "no calls")))
    choice = choose(texts, request.metrics, tooled)
    drawn = tuple(rows[i] for i in _positions(len(rows), request.limit, request.seed))
    training = training_rows.find(request, Settings.from_environment())
    return Drawn(len(found), len(found) - len(rows), drawn, choice, training)


def _said(example: Example) -> str:
    """All that a model reads and learns of a row, so that it can be told from others."""
    if isinstance(example, CompletionExample):
        return repr((example.prompt, example.completion))
    return repr((example.messages, example.fields.get("tools")))


def subject_of(
    request: EvaluateRequest,
    drawn: Drawn,
    usable: Sequence[Example],
    prompts: Sequence[str],
    longest_answer: int,
    room: Sequence[int] | None = None,
) -> Subject:
    """What is measured: the rows that both models can take.

    Args:
        request: The resolved request.
        drawn: All rows that were to be measured.
        usable: Those that can be.
        prompts: Each of `questions_of` these, as the models get it.
        longest_answer: Tokens of the longest reference among these questions.
        room: Tokens that each prompt leaves for an answer; None: enough.
    """
    limit = min(MAX_NEW_TOKENS, math.ceil(longest_answer * ROOM) + SPARE_TOKENS)
    questions = questions_of(usable)
    fitting = [i for i in range(len(questions)) if room is None or room[i] >= limit]
    expected, references = tuple(map(expected_of, questions)), tuple(map(reference_of, questions))
    choice, scored = _scored(drawn.choice, [(references[i], expected[i]) for i in fitting])
    answered = [i for i in fitting if references[i].strip()]
    shown = max(request.samples, request.judge_pairs if request.judge != "none" else 0)
    asked = [fitting[place] for place in scored] if scored else (answered or fitting)[:shown]
    return Subject(
        examples=tuple(usable),
        prompts=tuple(prompts),
        references=references,
        choice=choice,
        asked=tuple(asked),
        shown=tuple(_positions(len(asked), request.samples, request.seed)),
        max_new_tokens=limit,
        training=drawn.training,
        checks=(
            _rows_check(drawn, len(usable)),
            *earlier_check(questions, usable),
            *_unasked_check([left for left in room or () if left < limit]),
            *_textless_check(sum(not reference.strip() for reference in references[: len(usable)])),
            *prompts_check(expected, prompts),
            *((leakage.held_out(usable, drawn.training, request.data_path),) if request.finetuned_path else ()),
            *_unfit_check(drawn.choice),
        ),
        questions=questions,
        expected=expected if any(expected) else (),
    )


def _scored(choice: Choice, rows: Sequence[tuple[str, Expected | None]]) -> tuple[Choice, list[int]]:
    """The choice without the scores that none of the rows is left for, and the places of those that any is for."""
    kinds: dict[str, Of] = {name: find(name).of for name in choice.scores}
    there: set[Of] = {of for of in kinds.values() if any(is_of(of, *row) for row in rows)}
    left = tuple(name for name, of in kinds.items() if of in there)
    return replace(choice, scores=left), [i for i, row in enumerate(rows) if any(is_of(of, *row) for of in there)]


def _positions(n: int, limit: int | None, seed: int) -> list[int]:
    """All positions, or `limit` random ones, in their order."""
    if limit is None or limit >= n:
        return list(range(n))
    return sorted(random.Random(seed).sample(range(n), limit))


def _rows_check(drawn: Drawn, usable: int) -> Check:
    left_out = len(drawn.examples) - usable
    details = f"{usable} of {drawn.found} rows measured"
    if len(drawn.examples) < drawn.found - drawn.repeats:
        details += f", drawn at random (limit {len(drawn.examples)})"
    if drawn.repeats:
        details += f"; {drawn.repeats} repeat another word for word and prove nothing more, so each counts once"
    if not left_out:
        return Check(name="rows", status="pass", details=details + ".", count=usable)
    return Check(
        name="rows",
        status="warn",
        details=f"{details}; {left_out} left out: they have no prompt or no answer.",
        count=left_out,
        next_step="Run prepare on the file: it drops such rows.",
    )


def _unasked_check(room: Sequence[int]) -> tuple[Check, ...]:
    """By the tokens that are left beside the prompts that are not asked; below 0 for those beyond the window."""
    count, beyond = len(room), sum(left < 0 for left in room)
    details = (
        f"{count} prompts leave no room for an answer in the model's window: their rows are not answered, and count "
        "in the loss alone."
    )
    if beyond:
        details += (
            f" {beyond} are longer than the window itself, the longest by {-min(room):,} tokens: of these, what "
            "stands before the window is not read."
        )
    step = "Shorten those prompts, or drop the rows with prepare's max_length."
    return _warned("prompts_fit", count, details, step)


def _textless_check(count: int) -> tuple[Check, ...]:
    details = f"{count} rows end in an empty answer, which no score fits: they count in the loss alone."
    step = "Drop them, or write what is to be answered; prepare tells why an answer is empty."
    return _warned("answers_with_text", count, details, step)


def _unfit_check(choice: Choice) -> tuple[Check, ...]:
    details = f"Not computed: {', '.join(choice.unfit)}. They mean nothing here: {choice.reason}."
    return _warned("metrics", len(choice.unfit), details, "Leave metrics out to get those that fit.")


def _warned(name: str, count: int, details: str, step: str) -> tuple[Check, ...]:
    """The warning, when there is anything to count."""
    return (Check(name=name, status="warn", details=details, count=count, next_step=step),) if count else ()
