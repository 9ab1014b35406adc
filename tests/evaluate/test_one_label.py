"""A classifier that beats a base without labels, but not a constant answer, has proved little."""

from dataclasses import replace

import pytest
from faion_finetuner.core.evaluate.findings import one_label
from faion_finetuner.core.evaluate.measured import Measured
from faion_finetuner.core.evaluate.scoring.choice import choose
from faion_finetuner.core.evaluate.subject import Subject
from faion_finetuner.core.evaluate.training_rows import TrainingRows
from faion_finetuner.core.models.generate import Generation

REFERENCES = ("Praise",) * 36 + ("complaint",) * 24
SUBJECT = Subject(
    examples=(), prompts=(), references=REFERENCES, choice=choose(REFERENCES, None), asked=tuple(range(60)), shown=(),
    max_new_tokens=9, training=TrainingRows(), checks=(),
)  # fmt: skip


def saying(*texts: str) -> Measured:
    answers = tuple(Generation(text=text, tokens=1, stopped=True) for text in texts)
    return Measured(likelihoods=(), answers=answers, probes=(), benchmarks=())


@pytest.mark.parametrize(
    ("answers", "status", "end"),
    [
        (["praise"] * 60, "warn", "right in 36 of 60 rows; always answering «Praise» would be right in 36."),
        (["praise"] * 18 + ["complaint"] * 42, "warn", "right in 36, so better than that is not proven."),
        (["praise"] * 30 + ["complaint"] * 30, "pass", "right in 36."),
    ],
)
def test_answers_are_held_against_the_most_frequent_label(answers: list[str], status: str, end: str):
    (check,) = one_label.check(SUBJECT, saying(*answers), seed=0)
    assert check.status == status
    assert check.details.endswith(end)


def test_nothing_is_said_of_answers_that_are_no_labels_or_of_a_handful():
    few = replace(SUBJECT, asked=(0, 1))
    assert one_label.check(few, saying("praise", "praise"), seed=0) == ()
    text = replace(SUBJECT, choice=choose([f"a longer text, number {n}" for n in range(60)], None))
    assert one_label.check(text, saying(*["praise"] * 60), seed=0) == ()
