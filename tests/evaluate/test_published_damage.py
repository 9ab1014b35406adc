"""Damaged benchmark files: what is wrong, where, and what to do, before any model is asked."""

import json
from pathlib import Path

import pytest
from faion_finetuner.core.errors import DataError, InputError

from tests.evaluate.published import ARC, GSM8K, HELLASWAG, MMLU_QUESTION, TRUTHFUL, found, jsonl, put, table

DAMAGES = {
    "a cut line": (
        "gsm8k", "gsm8k_test.jsonl",
        lambda path: path.write_text(json.dumps(GSM8K[0]) + '\n{"question": "How ma'),
        r"gsm8k_test\.jsonl', line 2, is not JSON",
    ),
    "no number": (
        "gsm8k", "gsm8k_test.jsonl", jsonl(GSM8K[0], {"question": "How many?", "answer": "Five."}),
        r"gsm8k_test\.jsonl', row 2, .*no number behind ####",
    ),
    "a comma without quotes": (
        "mmlu_anatomy", "anatomy_test.csv",
        lambda path: path.write_text("Is 2 odd?,Yes,No,Never,Half,B\nOf 1, 2, which?,1,2,3,4,A\n"),
        r"anatomy_test\.csv', line 2: 8 cells where the first row has 6",
    ),
    "a short row": (
        "mmlu_anatomy", "anatomy_test.csv", table([*MMLU_QUESTION, "A"], ["Why?", "1", "2"]),
        r"anatomy_test\.csv', line 2: 3 cells where the first row has 6",
    ),
    "another letter": (
        "mmlu_anatomy", "anatomy_test.csv", table([*MMLU_QUESTION, "A"], [*MMLU_QUESTION, "E"]),
        r"anatomy_test\.csv', row 2, .*answer E is none of A to D",
    ),
    "three choices": (
        "mmlu_anatomy", "anatomy_test.jsonl", jsonl({"question": "?", "choices": ["1", "2", "3"], "answer": 0}),
        r"anatomy_test\.jsonl', row 1, .*3 choices where there should be 4",
    ),
    "a label beyond the endings": (
        "hellaswag", "hellaswag_val.jsonl", jsonl(HELLASWAG, HELLASWAG | {"label": 4}),
        r"hellaswag_val\.jsonl', row 2, .*number 4 of 4",
    ),
    "no labels at all": (
        "hellaswag", "hellaswag_val.jsonl",
        jsonl({name: value for name, value in HELLASWAG.items() if name != "label"}),
        r"hellaswag_val\.jsonl' holds no row with a right answer for hellaswag",
    ),
    "a key that is no choice": (
        "arc_easy", "arc_easy.jsonl", jsonl(ARC, ARC | {"answerKey": "D"}),
        r"arc_easy\.jsonl', row 2, .*answer D is none of its choices A, B, C",
    ),
    "a missing column": (
        "arc_easy", "arc_easy.jsonl", jsonl(ARC, {"id": "a2", "question": "What?", "answerKey": "A"}),
        r"arc_easy\.jsonl', row 2, .*it has no «choices», only «id, question, answerkey»",
    ),
    "another encoding": (
        "truthfulqa_mc1", "TruthfulQA.csv",
        lambda path: path.write_bytes((",".join(TRUTHFUL) + "\n" + ",".join(["caf\xe9"] * 7)).encode("latin-1")),
        r"TruthfulQA\.csv' is not UTF-8 text",
    ),
    "a cut Parquet file": (
        "hellaswag", "hellaswag_val.parquet", lambda path: path.write_bytes(b"PAR1 and no more"),
        r"hellaswag_val\.parquet' cannot be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told_with_what_where_and_what_next(folder: Path, base_folder: Path, damage: str):
    task, name, write, says = DAMAGES[damage]
    put(folder, name, write)
    with pytest.raises((DataError, InputError), match=says) as refused:
        found(folder, base_folder, task)
    assert refused.value.next_step
