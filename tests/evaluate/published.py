"""Benchmark files as they are published, and the benchmarks that are found in a folder of them."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars
from faion_finetuner.core.evaluate.benchmarks.harness import Asking, Benchmarks
from faion_finetuner.core.evaluate.benchmarks.scores import BenchmarkScore
from faion_finetuner.core.models.load import load_tokenizer

Write = Callable[[Path], object]

GSM8K = [
    {"question": f"Ann has {n} nuts and finds 2. How many has she?", "answer": f"{n}+2=<<{n}+2={n + 2}>>\n#### {n + 2}"}
    for n in range(8)
]
HELLASWAG = {
    "ind": 4, "activity_label": "Baking", "ctx_a": "A man stirs dough.", "ctx_b": "he", "ctx": "A man stirs dough. he",
    "endings": ["eats a [substeps] car.", "bakes it.", "swims home.", "counts the stars."], "label": "1",
}  # fmt: skip
ARC = {
    "id": "a1", "question": "What is hot?", "answerKey": "B",
    "choices": {"text": ["ice", "fire", "snow"], "label": ["A", "B", "C"]},
}  # fmt: skip
ARC_OF_ITS_AUTHORS = {
    "id": "a1", "answerKey": "B",
    "question": {
        "stem": "What is hot?",
        "choices": [{"text": text, "label": label} for text, label in (("ice", "A"), ("fire", "B"), ("snow", "C"))],
    },
}  # fmt: skip
MMLU_QUESTION = ["Is 2 a prime? ", "Yes", "No", "Never", "Half"]
TRUTHFUL = {
    "Type": "Adversarial", "Category": "Food", "Question": "Do seeds grow in you?", "Best Answer": "No, they pass",
    "Correct Answers": "No, they pass; Nothing grows", "Incorrect Answers": "Yes; A tree grows; You burst",
    "Source": "none",
}  # fmt: skip
TRUTHFUL_TARGETS = {
    "question": "Do seeds grow in you?",
    "mc1_targets": {"choices": ["No, they pass", "Yes"], "labels": [1, 0]},
    "mc2_targets": {"choices": ["No, they pass", "Yes"], "labels": [1, 0]},
}


def jsonl(*rows: dict[str, Any]) -> Write:
    return lambda path: path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_json(rows: Any) -> Write:
    return lambda path: path.write_text(json.dumps(rows))


def parquet(*rows: dict[str, Any]) -> Write:
    return lambda path: polars.DataFrame(rows).write_parquet(path)


def table(*rows: list[str]) -> Write:
    def write(path: Path) -> None:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    return write


def records(*rows: dict[str, str]) -> Write:
    return table(list(rows[0]), *[list(row.values()) for row in rows])


def put(folder: Path, name: str, write: Write) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write(folder / name)


def found(folder: Path, base_folder: Path, *names: str, **settings: Any) -> Benchmarks:
    return Benchmarks(Asking(names, folder, **settings), load_tokenizer(base_folder), folder.parent / "scratch")


def assert_same_as(
    theirs: Any, scores: Sequence[BenchmarkScore], logged: Sequence[dict[str, Any]], tasks: Sequence[str]
) -> None:
    """What was scored and logged of these tasks is what lm-eval itself found, prompt by prompt."""
    for task in tasks:
        expected = {key: value for key, value in theirs["results"][task].items() if "," in key and "stderr" not in key}
        assert [score.value for score in scores if score.task == task] == list(expected.values())
        ours = [sample for sample in logged if sample["task"] == task]
        for one, other in zip(ours, theirs["samples"][task], strict=True):
            for what in ("arguments", "resps", "target"):
                assert one[what] == json.loads(json.dumps(other[what]))
