"""Fingerprints say whether two examples are the same one."""

from collections.abc import Mapping

from faion_finetuner.core.examples.dialects import read_record
from faion_finetuner.core.examples.fingerprint import fingerprint, prompt_fingerprint

BASE = {"question": "What is it?", "answer": "Café"}


def of(record: Mapping[str, object]) -> str:
    return fingerprint(read_record(record))


def test_the_same_question_and_answer_are_the_same_in_every_dialect():
    turns = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "Café"}]
    assert of(BASE) == of({"conversations": turns}) == of({"prompt": "What is it?", "completion": "Café"})
    assert len(of(BASE)) == 32


def test_case_spaces_unicode_spelling_and_leftover_fields_do_not_count():
    assert of(BASE) == of({"question": " what  is\nit? ", "answer": "cafe\u0301", "id": 3})


def test_another_answer_is_another_example_with_the_same_prompt():
    other = {"question": "What is it?", "answer": "Tea"}
    assert of(BASE) != of(other)
    assert prompt_fingerprint(read_record(BASE)) == prompt_fingerprint(read_record(other))
    assert prompt_fingerprint(read_record(BASE)) != prompt_fingerprint(read_record({**BASE, "question": "Who?"}))


def test_where_the_prompt_ends_counts():
    assert of({"question": "a b", "answer": "c"}) != of({"question": "a", "answer": "b c"})


def test_half_of_a_surrogate_pair_does_not_break_it():
    assert len(of({"question": "\ud83d", "answer": "x"})) == 32


def test_the_rejected_answer_of_a_pair_counts():
    pair, other = ({"question": "q", "chosen": "a", "rejected": rejected} for rejected in ("b", "c"))
    assert fingerprint(read_record(pair)) != fingerprint(read_record(other))
    assert fingerprint(read_record(pair)) == fingerprint(read_record({**pair, "prompt": None, "rejected": " B"}))
    texts = {"prompt": "q", "chosen": "a", "rejected": "b"}
    assert fingerprint(read_record(texts)) == fingerprint(read_record(pair))
    assert prompt_fingerprint(read_record(pair)) == prompt_fingerprint(read_record(other))
