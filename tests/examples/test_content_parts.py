"""Parts of a turn's content, as APIs, log formats and trainers write them: nothing of a turn is lost in silence."""

from typing import Any

import pytest
from faion_finetuner.core.errors import DataError
from faion_finetuner.core.examples.dialects import losses, read_record, to_record
from faion_finetuner.core.examples.tool_calls import call
from faion_finetuner.core.examples.types import ChatExample, Message, Rejected

CALL = call("weather", {"city": "Oslo"})
ASKED = {"role": "user", "content": "Is it warm in Oslo?"}


def answered(*parts: dict[str, Any]) -> tuple[Message, ...]:
    """What is read of an answer with these parts."""
    example = read_record({"messages": [ASKED, {"role": "assistant", "content": list(parts)}]})
    assert isinstance(example, ChatExample)
    return example.messages[1:]


@pytest.mark.parametrize("key", ["text", "value", "content"])
def test_a_text_part_may_keep_its_text_under_several_names(key):
    assert answered({"type": "text", key: "Yes."}) == (Message("assistant", "Yes."),)


def test_a_text_part_whose_text_is_nowhere_is_an_error_that_names_its_fields():
    with pytest.raises(DataError, match="«type», «body»"):
        answered({"type": "text", "body": "Yes."})


def test_a_text_part_of_null_is_empty():
    assert answered({"type": "text", "text": None}, {"type": "text", "text": "Yes."}) == (Message("assistant", "Yes."),)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "reasoning", "value": "Look it up."},
        {"type": "reasoning", "content": "Look it up."},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look it up."}]},
        {"type": "thinking", "thinking": [{"type": "text", "text": "Look it up."}]},
    ],
)
def test_thoughts_are_kept_whatever_holds_them(part):
    (message,) = answered(part, {"type": "text", "text": "Yes."})
    assert message == Message("assistant", "Yes.", fields={"reasoning_content": "Look it up."})


@pytest.mark.parametrize(
    "part",
    [
        {"type": "tool_call", "value": '{"name": "weather", "arguments": {"city": "Oslo"}}'},
        {"type": "tool_call", "value": {"name": "weather", "arguments": {"city": "Oslo"}}},
        {"type": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}},
        {"type": "tool-call", "toolName": "weather", "args": {"city": "Oslo"}},
        {"type": "function_call", "name": "weather", "arguments": '{"city": "Oslo"}'},
    ],
)
def test_calls_are_read_from_parts(part):
    assert answered(part) == (Message("assistant", "", None, (CALL,)),)


def test_a_call_without_a_name_is_an_error():
    with pytest.raises(DataError, match="no name"):
        answered({"type": "tool_call", "value": "Oslo, please"})


@pytest.mark.parametrize(
    "part",
    [
        {"type": "tool_call_response", "id": "c1", "response": "4 degrees"},
        {"type": "tool-result", "toolCallId": "c1", "result": "4 degrees"},
        {"type": "tool-result", "toolCallId": "c1", "output": {"type": "text", "value": "4 degrees"}},
    ],
)
def test_results_are_read_from_parts(part):
    talk = [ASKED, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": [part]}]
    example = read_record({"messages": talk})
    assert isinstance(example, ChatExample)
    assert example.messages[2] == Message("tool", "4 degrees", fields={"tool_call_id": "c1"})


@pytest.mark.parametrize("switch", [{"train": False}, {"loss": False}, {"loss_weight": 0.0}])
def test_an_answer_that_its_author_left_out_of_training_is_not_trained(switch):
    example = read_record({"messages": [ASKED, {"role": "assistant", "content": "Hm.", **switch}]})
    assert isinstance(example, ChatExample)
    assert example.messages[1].fields == {**switch, "weight": 0}


@pytest.mark.parametrize("switch", [{"train": True}, {"loss_weight": 1.0}, {"train": False, "weight": 1}])
def test_other_answers_are_trained(switch):
    example = read_record({"messages": [ASKED, {"role": "assistant", "content": "Yes.", **switch}]})
    assert isinstance(example, ChatExample)
    assert example.messages[1].trained
    assert example.messages[1].fields == switch


YES, NO = {"role": "assistant", "content": "Yes."}, {"role": "assistant", "content": "No."}


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [ASKED, YES], "rejected_response": "No."},
        {"messages": [ASKED, YES], "rejected_messages": [ASKED, NO]},
        {"chosen_messages": [ASKED, YES], "rejected_messages": [ASKED, NO]},
        {"query": ASKED["content"], "response": "Yes.", "rejected_response": "No."},
    ],
)
def test_a_rejected_answer_beside_a_conversation_makes_a_pair(record):
    pair = Message("user", ASKED["content"]), Message("assistant", "Yes.")
    assert read_record(record) == ChatExample(pair, {}, Rejected(1, (Message("assistant", "No."),)))


THOUGHT = "It is winter there."


@pytest.mark.parametrize("field", ["reasoning", "think", "Complex_CoT", "reasoning_content"])
@pytest.mark.parametrize(("asked", "said"), [("question", "answer"), ("instruction", "output")])
def test_a_column_of_reasoning_belongs_to_the_answer(field, asked, said):
    example = read_record({asked: "Is it warm?", field: THOUGHT, said: "No."})
    answer = Message("assistant", "No.", fields={"reasoning_content": THOUGHT})
    assert example == ChatExample((Message("user", "Is it warm?"), answer))


@pytest.mark.parametrize("format", ["alpaca", "completion", "openai", "sharegpt"])
def test_reasoning_survives_every_format(format):
    example = read_record({"question": "Is it warm?", "reasoning": THOUGHT, "answer": "No."})
    assert THOUGHT in str(to_record(example, format))
    assert "Names and other fields of single messages are dropped." not in losses(example, format)
    if format != "completion":
        assert read_record(to_record(example, format)) == example


@pytest.mark.parametrize("record", [{"reasoning": "on"}, {"answer": "<think>Cold.</think> No.", "reasoning": THOUGHT}])
def test_a_switch_and_a_second_copy_of_the_reasoning_stay_beside(record):
    example = read_record({"question": "Is it warm?", "answer": "No.", **record})
    assert example.fields == {"reasoning": record["reasoning"]}
    assert to_record(example, "alpaca")["reasoning" if record["reasoning"] == "on" else "reasoning_original"]
