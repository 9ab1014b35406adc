"""Whether held-out rows stand in the training data."""

from collections.abc import Sequence

from ...checks import Check
from ...examples.fingerprint import fingerprint, prompt_fingerprint
from ...examples.types import Example, answer_of, prompt_of
from ...untrusted import quote
from ..training_rows import TrainingRows

LEAK_SHARE = 0.05  # of the rows; fewer cannot carry a result
SPLIT_AGAIN = "Run prepare again with dedup: near, train on the new split, and evaluate on its valid.jsonl."


def held_out(examples: Sequence[Example], training: TrainingRows, data: object) -> Check:
    """Whether held-out rows stand in the training data, and how many of them word for word."""
    if data in training.files:
        details = "These are the training rows themselves: the scores show memory, not ability."
        return Check(name="held_out", status="fail", details=details, next_step="Measure on rows that were held out.")
    if not training.files:
        details = "Not checked: neither the fine-tuned model's run folder nor a train.jsonl beside the data was found."
        next_step = "Give prepare's output_dir as data_path, so that overlap with the training rows is found."
        return Check(name="held_out", status="warn", details=details, next_step=next_step)
    rows, prompts = set(map(fingerprint, training.examples)), set(map(prompt_fingerprint, training.examples))
    exact = set(map(_said, training.examples))
    same = sum(fingerprint(example) in rows for example in examples)
    literal = sum(_said(example) in exact for example in examples)
    asked = sum(prompt_fingerprint(example) in prompts for example in examples)
    where = " and ".join(f"{file.parent.name}/{file.name}" for file in training.files)
    where = f"the {len(training.examples):,} training rows ({quote(where)})"
    if not asked:
        details = f"None of the {len(examples)} held-out rows stands in {where}."
        return Check(name="held_out", status="pass", details=details, count=0)
    details = (
        f"Of {len(examples)} held-out rows, {same} stand in {where}, {literal} of them word for word (the rest "
        f"but for case and spaces); {asked} ask a question that does."
    )
    return Check(
        name="held_out",
        status="fail" if same > LEAK_SHARE * len(examples) else "warn",
        details=details,
        count=asked,
        next_step=SPLIT_AGAIN,
    )


def _said(example: Example) -> tuple[object, str]:
    prompt = prompt_of(example)
    if isinstance(prompt, str):
        return prompt, answer_of(example)
    return tuple((message.role, message.content) for message in prompt), answer_of(example)
