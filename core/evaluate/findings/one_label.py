"""Whether a classifier knows more than which label is the most frequent."""

from collections import Counter

from ...checks import Check
from ...untrusted import quote
from ..comparison import ALPHA, MIN_ITEMS, SHARE, compare, rows_of
from ..measured import Measured
from ..scoring import text_match
from ..subject import Subject


def check(subject: Subject, finetuned: Measured | None, seed: int) -> tuple[Check, ...]:
    """Whether the fine-tuned model is right more often, beyond chance, than one label for every row would be.

    A base that names no label at all is easily beaten; this bar is not.
    """
    labelled = subject.choice.kind == "labels" and "accuracy" in subject.choice.scores
    if finetuned is None or not labelled or len(subject.asked) < MIN_ITEMS:
        return ()
    labels = [text_match.label(subject.references[i]) for i in subject.asked]
    spelled = text_match.spelled(subject.references[i] for i in subject.asked)
    ((most, count),) = Counter(labels).most_common(1)
    right = [text_match.label(answer.text) == label for answer, label in zip(finetuned.answers, labels, strict=True)]
    found = compare(SHARE, rows_of([label == most for label in labels]), rows_of(right), seed)
    assert found.delta is not None
    assert found.p_value is not None
    n = len(labels)
    details = (
        f"The fine-tuned model is right in {sum(right)} of {n} rows; "
        f"always answering {quote(spelled[most])} would be right in {count}"
    )
    if found.delta > 0 and found.p_value < ALPHA:
        return (Check(name="beats_one_label", status="pass", details=f"{details}."),)
    details += ", so better than that is not proven." if found.delta > 0 else "."
    step = "Read which label was taken for which; train on more rows of each label, and hold out rows of all."
    return (Check(name="beats_one_label", status="warn", details=details, next_step=step),)
