"""The shapes in which HellaSwag, MMLU, GSM8K, TruthfulQA and ARC are published, and their rows as lm-eval wants them.

What a shape's rows become has the columns of the data set on the hub that lm-eval's task of that name reads, so that
its prompts and metrics fit. A row without its right answer (the hidden test rows of HellaSwag) becomes nothing; one
whose right answer is none of its choices is damaged, and raises a ValueError that says so.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .table_files import Row

LETTERS = "ABCDE"
MMLU_LETTERS = "ABCD"
OPTION = re.compile(r"\s*\(([A-E1-5])\)\s+")  # "(A) " before each answer in the CSV files of ARC
CHOICE_COLUMNS = (("choice0", "choice1", "choice2", "choice3"), ("a", "b", "c", "d"))
QUERY_START, QUERY_END = "Question: ", "\nAnswer:"


Words = frozenset[str]


@dataclass(frozen=True)
class Shape:
    """One way of publishing a benchmark."""

    benchmark: str
    """Its family: arc, gsm8k, hellaswag, mmlu, truthfulqa_mc or truthfulqa_gen."""
    fits: Callable[[Row, Words], bool]
    """Whether a first row has the shape, in a file whose path has these words."""
    convert: Callable[[Row], Row | None]


def _has(row: Row, *columns: str) -> bool:
    return all(column in row for column in columns)


def _place(right: Any, count: int) -> int:
    """The position of the right answer among so many."""
    place = int(right)
    if not 0 <= place < count:
        raise ValueError(f"the right answer is number {place} of {count}, counted from 0")
    return place


def _hellaswag(row: Row) -> Row | None:
    if row.get("label") in ("", None):
        return None
    label = _place(row["label"], len(row["endings"]))
    return {name: row[name] for name in ("activity_label", "ctx_a", "ctx_b", "endings")} | {"label": str(label)}


def _hellaswag_query(row: Row) -> Row:
    """From "Activity: context" with choices and gold."""
    activity, _, context = str(row["query"]).partition(": ")
    label = str(_place(row["gold"], len(row["choices"])))
    return {"activity_label": activity, "ctx_a": context, "ctx_b": "", "endings": row["choices"], "label": label}


def _gsm8k(row: Row) -> Row:
    if "####" not in str(row["answer"]):
        raise ValueError("its answer has no number behind ####")
    return {"question": row["question"], "answer": row["answer"]}


def _mmlu(row: Row) -> Row | None:
    choices = row.get("choices") or next([row[name] for name in names] for names in CHOICE_COLUMNS if _has(row, *names))
    answer = "" if row["answer"] is None else str(row["answer"]).strip().upper()
    if not answer:
        return None
    if len(choices) != len(MMLU_LETTERS):
        raise ValueError(f"{len(choices)} choices where there should be {len(MMLU_LETTERS)}")
    if len(answer) != 1 or answer not in MMLU_LETTERS + "0123":
        raise ValueError(f"its answer {answer} is none of A to D and 0 to 3")
    right = MMLU_LETTERS.index(answer) if answer in MMLU_LETTERS else int(answer)
    return {"question": str(row["question"]), "choices": [str(one) for one in choices], "answer": right}


def _arc(row: Row) -> Row | None:
    """From the columns of the hub, or the authors' JSONL, whose question holds its own choices."""
    inside = isinstance(row["question"], dict)
    question = row["question"]["stem"] if inside else row["question"]
    choices: Any = row["question"]["choices"] if inside else row["choices"]
    if isinstance(choices, list):
        choices = {name: [choice[name] for choice in choices] for name in ("text", "label")}
    return _arc_row(question, choices["text"], choices["label"], row["answerkey"])


def _arc_csv(row: Row) -> Row | None:
    """From the authors' CSV, where the answers stand in the question: "What is hot? (A) ice (B) fire"."""
    question, *rest = OPTION.split(row["question"])
    return _arc_row(question, [text.strip() for text in rest[1::2]], rest[::2], row["answerkey"])


def _arc_query(row: Row) -> Row | None:
    """From "Question: ..." with choices and gold."""
    question = str(row["query"]).removeprefix(QUERY_START).removesuffix(QUERY_END)
    labels = list(LETTERS[: len(row["choices"])])
    return _arc_row(question, row["choices"], labels, labels[_place(row["gold"], len(labels))])


def _arc_row(question: str, texts: list[str], labels: list[Any], key: Any) -> Row | None:
    """Some questions number their choices; as numbers of JSON they are the same labels."""
    if key in ("", None):
        return None
    names, right = [str(label).strip() for label in labels], str(key).strip()
    if right not in names or len(names) != len(texts):
        raise ValueError(f"its answer {right} is none of its choices {', '.join(names) or '(none)'}")
    return {"question": question, "choices": {"text": texts, "label": names}, "answerKey": right}


def _truthful_targets(row: Row) -> Row:
    """From the columns of the hub, or the authors' mc_task.json, where each answer is a key with 1 or 0."""
    targets = {name: row[name] for name in ("mc1_targets", "mc2_targets")}
    return {"question": row["question"]} | {
        name: one if "choices" in one else {"choices": list(one), "labels": list(one.values())}
        for name, one in targets.items()
    }


def _truthful_mc(row: Row) -> Row:
    """From the authors' CSV: mc1 is the best answer against the wrong ones, mc2 all the right against all the wrong."""
    plain = _truthful_gen(row)
    right, wrong = plain["correct_answers"], plain["incorrect_answers"]

    def targets(true: list[str]) -> Row:
        return {"choices": [*true, *wrong], "labels": [1] * len(true) + [0] * len(wrong)}

    return {
        "question": plain["question"],
        "mc1_targets": targets([plain["best_answer"]]),
        "mc2_targets": targets(right),
    }


def _truthful_gen(row: Row) -> Row:
    return {
        "question": row["question"],
        "best_answer": str(row["best_answer"]).strip(),
        "correct_answers": _answers(row["correct_answers"]),
        "incorrect_answers": _answers(row["incorrect_answers"]),
    }


def _answers(value: str | list[str]) -> list[str]:
    parts = value.split(";") if isinstance(value, str) else value
    return [part.strip() for part in parts if part.strip()]


def _is_mmlu(row: Row, _: Words) -> bool:
    if not _has(row, "question", "answer") or "####" in str(row["answer"]):
        return False
    return isinstance(row.get("choices"), list) or any(_has(row, *names) for names in CHOICE_COLUMNS)


def _is_arc(row: Row, _: Words) -> bool:
    inside = isinstance(row.get("question"), dict) and _has(row["question"], "stem", "choices")
    return _has(row, "question", "answerkey") and (inside or isinstance(row.get("choices"), dict | list))


def _is_arc_csv(row: Row, _: Words) -> bool:
    return _has(row, "question", "answerkey") and bool(OPTION.search(str(row["question"])))


def _is_hellaswag(row: Row, _: Words) -> bool:
    return _has(row, "ctx_a", "ctx_b", "activity_label") and isinstance(row.get("endings"), list)


def _is_gsm8k(row: Row, _: Words) -> bool:
    return _has(row, "question", "answer") and "####" in str(row["answer"])


def _is_truthful_mc(row: Row, _: Words) -> bool:
    return _has(row, "question", "mc1_targets", "mc2_targets")


def _is_truthful_qa(row: Row, _: Words) -> bool:
    return _has(row, "question", "best_answer", "correct_answers", "incorrect_answers")


def _is_query(name: str) -> Callable[[Row, Words], bool]:
    """One shape for several benchmarks, as evaluation suites publish them: only the path says which."""
    return lambda row, words: _has(row, "query", "choices", "gold") and name in words


SHAPES = (
    Shape("hellaswag", _is_hellaswag, _hellaswag),
    Shape("hellaswag", _is_query("hellaswag"), _hellaswag_query),
    Shape("gsm8k", _is_gsm8k, _gsm8k),
    Shape("truthfulqa_mc", _is_truthful_mc, _truthful_targets),
    Shape("truthfulqa_mc", _is_truthful_qa, _truthful_mc),
    Shape("truthfulqa_gen", _is_truthful_qa, _truthful_gen),
    Shape("arc", _is_arc, _arc),
    Shape("arc", _is_arc_csv, _arc_csv),
    Shape("arc", _is_query("arc"), _arc_query),
    Shape("mmlu", _is_mmlu, _mmlu),
)


def shapes_of(row: Row, words: Words) -> tuple[Shape, ...]:
    """What a file with this first row and these words in its path can be used for: one shape of each benchmark."""
    found: dict[str, Shape] = {}
    for shape in SHAPES:
        if shape.fits(row, words):
            found.setdefault(shape.benchmark, shape)
    return tuple(found.values())
