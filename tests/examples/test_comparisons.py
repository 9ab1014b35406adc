"""Two answers and which is better: each row shows what a data set publishes and which answer it prefers."""

import json
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError, TieError
from faion_finetuner.core.examples.comparisons import numbered_choice, why_unsure
from faion_finetuner.core.examples.dialects import read_record, recognise, to_record
from faion_finetuner.core.examples.files import read_examples
from faion_finetuner.core.examples.types import ChatExample, Message, Rejected

GOOD, BAD = "a good answer", "a poor one"
PAIR = ChatExample((Message("user", "hi"), Message("assistant", GOOD)), {}, Rejected(1, (Message("assistant", BAD),)))


def asked(said: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "hi"}, {"role": "assistant", "content": said}]


@pytest.mark.parametrize(
    ("first", "second", "choice", "ones", "others"),
    [
        ("response_1", "response_2", "preference", (1, "1", "response_1", "Response 1"), (2, "2", "response_2")),
        ("response_0", "response_1", "better_response_id", (0, "0"), (1, "1")),
        ("response_0", "response_1", "safer_response_id", (0,), (1,)),
        ("answer_0", "answer_1", "preference", (0, "answer_0"), (1, "answer_1")),
        ("response_a", "response_b", "winner", ("model_a", "A", "first"), ("model_b", "b", "second")),
        ("completion_a", "completion_b", "preferred", ("completion_a",), ("completion_b",)),
        ("response1", "response2", "overall_preference", (-3, "-1"), (1, 3)),
        ("response_1", "response_2", "preference_strength", (-1,), (2,)),
        ("human_ref_A", "human_ref_B", "labels", (1,), (0,)),
    ],
)
def test_the_better_answer_is_the_chosen_one(first: str, second: str, choice: str, ones: Any, others: Any):
    for said in ones:
        assert read_record({"instruction": "hi", first: GOOD, second: BAD, choice: said}) == with_fields({choice: said})
    for said in others:
        assert read_record({"instruction": "hi", first: BAD, second: GOOD, choice: said}) == with_fields({choice: said})


def with_fields(fields: dict[str, Any]) -> ChatExample:
    return ChatExample(PAIR.messages, fields, PAIR.rejected)


@pytest.mark.parametrize(
    "record",
    [
        {"context": asked("")[:1], "response1": GOOD, "response2": BAD, "overall_preference": -1},
        {"conversation_a": asked(BAD), "conversation_b": asked(GOOD), "winner": "model_b"},
        {"prompt": '["hi"]', "response_a": json.dumps([GOOD]), "response_b": json.dumps([BAD]), "winner": "model_a"},
        {"history": "hi", "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0},
        {"question": {"full_text": "hi"}, "answer_0": BAD, "answer_1": GOOD, "score_0": -0.5, "score_1": 0.5},
        {"prompt": "hi", "response_a": BAD, "response_b": GOOD}
        | {"winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
    ],
)
def test_questions_are_found_however_they_are_kept(record: dict[str, Any]):
    example = read_record(record)
    assert isinstance(example, ChatExample)
    assert (example.messages, example.rejected) == (PAIR.messages, PAIR.rejected)


@pytest.mark.parametrize(
    "record",
    [
        {"response_a": GOOD, "response_b": BAD, "winner": "tie"},
        {"response_a": GOOD, "response_b": BAD, "winner": "tie (bothbad)"},
        {"response_a": GOOD, "response_b": BAD, "winner": "both_bad"},
        {"response1": GOOD, "response2": BAD, "overall_preference": 0},
        {"answer_0": GOOD, "answer_1": BAD, "score_0": 0.0, "score_1": 0},
        {"response_a": GOOD, "response_b": BAD, "winner_model_a": 0, "winner_model_b": 0, "winner_tie": 1},
    ],
)
def test_a_tie_is_no_pair(record: dict[str, Any]):
    with pytest.raises(TieError):
        read_record({"prompt": "hi", **record})


@pytest.mark.parametrize("said", [0, 3, "neither_of_them", "gpt-5"])
def test_a_choice_that_names_neither_answer_is_refused(said: Any):
    with pytest.raises(DataError, match="names neither of the two answers") as refused:
        read_record({"prompt": "hi", "response_1": GOOD, "response_2": BAD, "preference": said})
    assert not isinstance(refused.value, TieError)


@pytest.mark.parametrize("format", ["openai", "sharegpt", "alpaca", "completion"])
def test_what_was_chosen_survives_being_written_and_read_again(format: Any):
    record = {"prompt": "hi", "response_1": BAD, "response_2": GOOD, "preference": 2, "response_3": "x"}
    again = to_record(read_record(to_record(read_record(record), format)), "openai")
    assert (again["chosen"][0]["content"], again["rejected"][0]["content"]) == (GOOD, BAD)
    assert (again["preference"], again["response_3"]) == (2, "x")


def test_two_answers_without_a_choice_or_a_question_are_no_comparison():
    assert recognise({"prompt": "hi", "response_1": GOOD, "response_2": BAD}) is None
    assert recognise({"response_1": GOOD, "response_2": BAD, "preference": 1}) is None


UNSURE = [{1}, {0, 1}, {0}]
SURE = [{1, 2}, {2}, {0, 1, 2}, {"response_1"}, {"first", "second"}]


@pytest.mark.parametrize(("said", "unsure"), [*((one, True) for one in UNSURE), *((one, False) for one in SURE)])
def test_a_1_may_mean_either_answer_until_another_row_says_2(said: set[Any], unsure: bool):
    rows = [{"prompt": "hi", "response_1": GOOD, "response_2": BAD, "preference": one} for one in said]
    seen = [choice for row in rows if (choice := numbered_choice(row)) is not None]
    assert (why_unsure(seen) is not None) == unsure


@pytest.mark.parametrize(
    "row",
    [
        {"response_0": GOOD, "response_1": BAD, "better_response_id": 1},
        {"response1": GOOD, "response2": BAD, "overall_preference": 1},
        {"human_ref_A": GOOD, "human_ref_B": BAD, "labels": 1},
    ],
)
def test_names_and_signs_that_tell_how_is_counted_leave_nothing_unsure(row: dict[str, Any]):
    assert numbered_choice({"prompt": "hi", **row}) is None


def test_a_file_whose_choices_may_mean_either_answer_is_not_trained_on(tmp_path):
    path = tmp_path / "a.jsonl"
    row = {"prompt": "hi", "response_1": GOOD, "response_2": BAD, "preference": 1}
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(DataError, match="cannot be told"):
        read_examples(path)
    path.write_text(json.dumps([row, {**row, "preference": 2}]), encoding="utf-8")
    assert [one.rejected for one in read_examples(path)] == [
        Rejected(1, (Message("assistant", said),)) for said in (BAD, GOOD)
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": "hi", "output": "yo", "response_1": GOOD, "response_2": BAD, "preference": "response_2"},
        {"prompt": "hi", "completion": "yo", "completion_1": GOOD, "completion_2": BAD, "chosen": "completion_2"},
        {"question": "hi", "answer": "yo", "answer1": GOOD, "answer2": BAD, "labels": 1},
        {"sentence": "hi", "reply_1": GOOD, "reply_2": BAD, "label": "yo", "labels": 2},
    ],
)
def test_two_answers_beside_an_answer_of_its_own_are_no_comparison(record: dict[str, Any]):
    example = read_record(record)
    assert example.rejected is None
    assert "yo" in repr(example)


def test_of_answers_that_are_numbered_from_0_the_first_two_are_compared():
    row = {"question": "hi", "answer_0": BAD, "answer_1": GOOD, "answer_2": "x", "choice": 1}
    assert read_record(row).rejected == Rejected(1, (Message("assistant", BAD),))
