"""How a benchmark is asked, told for people: what a score means depends on it."""

from collections.abc import Sequence
from typing import Any

from ...checks import Check
from .ready_tasks import Data

NAME = "benchmark"


def check(name: str, tasks: Sequence[tuple[Any, Data | None]], limit: int | None, template: bool | None) -> Check:
    """What one benchmark asks, with how many examples in each prompt and whether in the chat template.

    Args:
        name: Task or group.
        tasks: lm-eval's tasks behind it, each with the data that was found for it in benchmarks_dir.
        limit: Items of each task.
        template: Whether the chat template is applied; None where the model has none.
    """
    counts = [len(task.eval_docs) for task, _ in tasks]
    asked = sum(min(n, limit or n) for n in counts)
    parts = [f"{asked:,} of {sum(counts):,} items" if asked < sum(counts) else f"{asked:,} items"]
    if len(tasks) > 1:
        parts[0] += f" of {len(tasks)} tasks"
    found = [data for _, data in tasks if data is not None]
    if found:
        parts[0] += f" from {_files([data.file for data in found])}"
    if unanswered := sum(data.unanswered for data in found):
        parts[0] += f" ({unanswered:,} more tell no right answer and are not asked)"
    parts.append(_examples(sorted({task.get_config("num_fewshot") for task, _ in tasks}), found))
    if template is not None:
        parts.append("with the chat template" if template else "without the chat template, as is lm-eval's default")
    return Check(name=NAME, status="pass", details=f"{name}: {', '.join(parts)}.", count=asked)


def _files(names: Sequence[str]) -> str:
    first, *rest = sorted(names)
    return first + (f" and {len(rest)} more files" if rest else "")


def _examples(shots: Sequence[int], found: Sequence[Data]) -> str:
    """Of all tasks: "5 examples in each prompt, from gsm8k_train.jsonl"."""
    if not any(shots):
        return "no examples in the prompt"
    told = f"{' or '.join(map(str, shots))} example{'' if shots == [1] else 's'} in each prompt"
    files = [data.examples for data in found if data.examples]
    if files:
        told += f", from {_files(files)}"
    if any(data.examples is None and not data.own_examples for data in found):
        told += (
            ", drawn from the other asked rows for want of a file of another split: not as published scores are taken"
        )
    return told
