"""Records of every known dialect are recognised, read, and written in every format."""

import json
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError
from faion_finetuner.core.examples.dialects import losses, read_record, recognise, to_record
from faion_finetuner.core.examples.types import (
    ChatExample,
    CompletionExample,
    Format,
    Message,
    Rejected,
    answer_of,
    prompt_of,
)

FORMATS: tuple[Format, ...] = ("alpaca", "sharegpt", "openai", "completion")


def chat(*turns: tuple[Any, str], **fields: Any) -> ChatExample:
    return ChatExample(tuple(Message(role, content) for role, content in turns), fields)


BARE = (("user", "hi"), ("assistant", "hello"))
HI = chat(*BARE)
SHI = chat(("system", "S"), *BARE)
GO = (Message("assistant", "go"),)
PREFERRED = ChatExample(HI.messages, {}, Rejected(1, GO))
PARTS = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]
PAIR = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


@pytest.mark.parametrize(
    ("record", "name", "example"),
    [
        ({"instruction": "hi", "output": "hello"}, "alpaca", HI),
        ({"instruction": "hi", "input": "", "output": "hello"}, "alpaca", HI),
        ({"instruction": "hi", "input": None, "output": "hello"}, "alpaca", HI),
        ({"instruction": "hi", "output": "hello", "system": "S"}, "alpaca", SHI),
        (
            {"instruction": "c", "output": "d", "history": [["a", "b"]]},
            "alpaca",
            chat(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")),
        ),
        ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}, "sharegpt", HI),
        ({"conversation": [{"from": "user", "value": "hi"}, {"from": "bot", "value": "hello"}]}, "sharegpt", HI),
        ({"turns": [{"speaker": "Human", "text": "hi"}, {"speaker": "AI", "text": "hello"}]}, "sharegpt", HI),
        ({"turns": [{"user": "hi", "assistant": "hello"}]}, "sharegpt", HI),
        ({"dialog": ["hi", "hello"]}, "sharegpt", HI),
        ({"messages": PAIR}, "openai", HI),
        ({"conversations": PAIR}, "openai", HI),
        ({"messages": json.dumps(PAIR)}, "openai", HI),
        ({"messages": [{"role": "user", "content": PARTS}, PAIR[1]]}, "openai", HI),
        ({"messages": [{"role": "developer", "content": "S"}, *PAIR]}, "openai", SHI),
        ({"messages": PAIR, "system": "S"}, "openai", SHI),
        ({"prompt": "hi", "completion": "hello"}, "completion", CompletionExample("hi", "hello", {})),
        ({"prompt": PAIR[:1], "completion": PAIR[1:]}, "completion", HI),
        ({"text": "hello"}, "text", CompletionExample("", "hello", {})),
        ({"question": "hi", "answer": "hello"}, "pair", HI),
        ({"Question": "hi", "Best Answer": "hello"}, "pair", HI),
        ({"query": "hi", "response": "hello"}, "pair", HI),
        ({"instruction": "hi", "response": "hello"}, "pair", HI),
        ({"input": "hi", "output": "hello"}, "pair", HI),
        ({"prompt": "hi", "response": "hello"}, "pair", HI),
        ({"text": "hi", "label": "hello"}, "pair", HI),
        ({"text": "hi", "label": 1}, "pair", chat(("user", "hi"), ("assistant", "1"))),
        ({"text": "hi", "label": False}, "pair", chat(("user", "hi"), ("assistant", "false"))),
        ({"input": "hi", "output": {"a": "ü"}}, "pair", chat(("user", "hi"), ("assistant", '{"a": "ü"}'))),
        ({"question": "hi", "context": "here", "answer": "x"}, "pair", None),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "preference", CompletionExample("a", "b", {}, "c")),
        ({"question": "hi", "chosen": "hello", "rejected": "go"}, "preference", PREFERRED),
        ({"chosen": PAIR, "rejected": [PAIR[0], {"role": "assistant", "content": "go"}]}, "preference", PREFERRED),
        ({"prompt": PAIR[:1], "chosen": PAIR[1:], "rejected": "go"}, "preference", PREFERRED),
        (
            {"conversations": [{"from": "human", "value": "hi"}], "chosen": PAIR[1], "rejected": "go"},
            "preference",
            PREFERRED,
        ),
    ],
)  # fmt: skip
def test_a_record_is_recognised_and_read(record: dict[str, Any], name: str, example: Any):
    dialect = recognise(record)
    assert dialect is not None
    assert dialect.name == name
    if example is not None:
        assert read_record(record) == example


@pytest.mark.parametrize(
    "record", [{}, {"a": 1}, {"answer": "x"}, {"question": "x"}, {"messages": 3}, {"messages": []}, {"text": None}]
)
def test_an_unknown_record_is_none_and_an_error_that_names_its_fields(record: dict[str, Any]):
    assert recognise(record) is None
    with pytest.raises(DataError, match="No known record format") as caught:
        read_record(record)
    assert all(f"«{field}»" in caught.value.problem for field in record)


def test_fields_that_are_not_the_conversation_are_kept():
    example = read_record({"question": "hi", "answer": "hello", "category": "x", "id": 7})
    assert example == chat(("user", "hi"), ("assistant", "hello"), category="x", id=7)
    for format in FORMATS:
        assert to_record(example, format).items() >= {"category": "x", "id": 7}.items()


def test_a_leftover_field_with_a_formats_own_name_is_kept_under_another():
    record = to_record(read_record({"question": "hi", "answer": "hello", "output": "old"}), "alpaca")
    assert (record["output"], record["output_original"]) == ("hello", "old")


@pytest.mark.parametrize(
    ("columns", "example"),
    [
        ({"q": "user", "a": "assistant"}, chat(("user", "hi"), ("assistant", "hello"), t="z")),
        (
            {"q": "Question", "a": "answer", "t": "system"},
            chat(("system", "z"), ("user", "hi"), ("assistant", "hello")),
        ),
        ({"question": "q", "answer": "a"}, chat(("user", "hi"), ("assistant", "hello"), t="z")),
        ({"q": "prompt", "a": "completion"}, CompletionExample("hi", "hello", {"t": "z"})),
        ({"t": "user", "q": "user", "a": "output"}, chat(("user", "z\n\nhi"), ("assistant", "hello"))),
        ({"a": "text"}, CompletionExample("", "hello", {"q": "hi", "t": "z"})),
        ({"q": "user", "a": "assistant", "absent": "system"}, chat(("user", "hi"), ("assistant", "hello"), t="z")),
    ],
)
def test_columns_say_what_the_fields_are(columns: dict[str, str], example: Any):
    assert read_record({"q": "hi", "a": "hello", "t": "z"}, columns) == example


def test_columns_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="unknown role «wizard»"):
        read_record({"q": "hi"}, {"q": "wizard"})
    with pytest.raises(DataError, match="None of the fields"):
        read_record({"q": "hi"}, {"x": "user"})


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"messages": [{"role": "wizard", "content": "x"}]}, "Turn 1 has the unknown role «wizard»"),
        ({"messages": [PAIR[0], {"role": "assistant"}]}, "Turn 2 has no content"),
        ({"messages": [{"colour": "red"}]}, "Turn 1 has no role; its fields are «colour»"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "type «image_url»"),
        ({"instruction": "a", "output": "b", "history": ["x"]}, "`history` is not"),
        ({"messages": [{"role": "assistant", "tool_calls": "f()"}]}, "`tool_calls` is not a list"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"type": "function"}]}]}, "A tool call has no name"),
    ],
)
def test_a_broken_conversation_is_refused_with_the_turn(record: dict[str, Any], problem: str):
    with pytest.raises(DataError, match=problem):
        read_record(record)


LONG = ChatExample(
    (
        Message("system", "S"),
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "c\n\nd", alpaca_input="d"),
        Message("assistant", "e"),
    ),
    {"category": "x"},
)


def test_every_format_is_written_as_its_tools_expect_it():
    assert to_record(LONG, "openai") == {
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c\n\nd"},
            {"role": "assistant", "content": "e"},
        ],
        "category": "x",
    }
    assert to_record(LONG, "sharegpt")["conversations"] == [
        {"from": "system", "value": "S"},
        {"from": "human", "value": "a"},
        {"from": "gpt", "value": "b"},
        {"from": "human", "value": "c\n\nd"},
        {"from": "gpt", "value": "e"},
    ]
    assert to_record(LONG, "alpaca") == {
        "instruction": "c",
        "input": "d",
        "output": "e",
        "system": "S",
        "history": [["a", "b"]],
        "category": "x",
    }
    assert to_record(LONG, "completion") == {
        "prompt": "System:\nS\n\nUser:\na\n\nAssistant:\nb\n\nUser:\nc\n\nd\n\nAssistant:\n",
        "completion": "e",
        "category": "x",
    }
    assert to_record(HI, "completion") == {"prompt": "hi\n\n", "completion": "hello"}


@pytest.mark.parametrize("format", ["alpaca", "sharegpt", "openai"])
def test_a_conversation_survives_the_way_through_a_format(format: Format):
    back = read_record(to_record(LONG, format))
    assert isinstance(back, ChatExample)
    assert [(m.role, m.content) for m in back.messages] == [(m.role, m.content) for m in LONG.messages]
    assert back.fields == LONG.fields
    assert losses(LONG, format) == ()


@pytest.mark.parametrize("format", FORMATS)
def test_writing_what_was_read_in_the_same_format_changes_nothing(format: Format):
    record = to_record(LONG, format)
    assert to_record(read_record(record), format) == record


def test_an_alpaca_split_gives_way_to_a_changed_text():
    changed = Message("user", "c\n\nD", alpaca_input="d")
    assert to_record(ChatExample((changed, Message("assistant", "e"))), "alpaca")["instruction"] == "c\n\nD"


def test_a_completion_is_written_as_question_and_answer():
    example = CompletionExample("Q", "A", {"id": 1})
    assert to_record(example, "completion") == {"prompt": "Q", "completion": "A", "id": 1}
    assert to_record(example, "openai")["messages"] == [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "A"},
    ]
    assert to_record(example, "alpaca") == {"instruction": "Q", "input": "", "output": "A", "id": 1}
    assert [turn["from"] for turn in to_record(example, "sharegpt")["conversations"]] == ["human", "gpt"]
    assert losses(example, "openai") == ()
    assert losses(CompletionExample("", "A"), "openai") != ()
    assert to_record(CompletionExample("", "A"), "openai")["messages"] == [{"role": "assistant", "content": "A"}]


CALLS = {
    "conversations": [
        {"from": "human", "value": "rain?"},
        {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Köln"}}'},
        {"from": "observation", "value": '{"rain": true}'},
        {"from": "gpt", "value": "Yes."},
    ],
    "tools": "[]",
}


def test_tool_calls_pass_between_sharegpt_and_openai():
    example = read_record(CALLS)
    written = to_record(example, "openai")
    assert written["messages"][1]["tool_calls"] == [
        {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    ]
    assert written["messages"][2] == {"role": "tool", "content": '{"rain": true}'}
    assert to_record(read_record(written), "sharegpt") == CALLS
    assert to_record(example, "sharegpt") == CALLS


def test_openai_keeps_names_ids_weights_and_calls():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    record = {
        "messages": [
            {"role": "user", "content": "a", "name": "Ann"},
            {"role": "assistant", "content": "wait", "tool_calls": [call], "weight": 0},
            {"role": "tool", "content": "x", "tool_call_id": "c1"},
            {"role": "assistant", "content": "done", "weight": 1},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    example = read_record(record)
    assert to_record(example, "openai") == record
    assert losses(example, "sharegpt") == ("A message with both text and tool calls becomes two turns.",)
    assert len(losses(example, "alpaca")) == 2
    assert to_record(example, "alpaca") == {
        "instruction": "x",
        "input": "",
        "output": "done",
        "history": [["a", 'wait\n\n{"name": "f", "arguments": {}}']],
        "tools": record["tools"],
    }


def test_the_older_function_call_of_openai_is_a_tool_call():
    turn = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    example = read_record({"messages": [PAIR[0], turn]})
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert to_record(example, "openai")["messages"][1] == {"role": "assistant", "content": "", "tool_calls": [call]}


def test_content_that_is_null_beside_tool_calls_is_empty():
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    example = read_record({"messages": [PAIR[0], {"role": "assistant", "content": None, "tool_calls": [call]}]})
    assert isinstance(example, ChatExample)
    assert example.messages[1].content == ""
    assert answer_of(example) == ""


def test_turns_after_the_last_answer_are_reported_as_lost_where_the_format_has_no_place_for_them():
    example = chat(("user", "a"), ("assistant", "b"), ("user", "c"))
    assert "Turns after the last answer are dropped." in losses(example, "alpaca")
    assert to_record(example, "alpaca") == {"instruction": "a", "input": "", "output": "b"}
    assert to_record(example, "completion") == {"prompt": "a\n\n", "completion": "b"}
    assert losses(example, "openai") == ()


def test_a_conversation_without_an_answer_is_written_with_an_empty_one():
    example = chat(("user", "a"))
    assert to_record(example, "alpaca") == {"instruction": "a", "input": "", "output": ""}
    assert to_record(example, "completion") == {"prompt": "a\n\n", "completion": ""}


def test_prompt_and_answer_are_those_of_the_last_answer():
    assert prompt_of(LONG) == LONG.messages[:-1]
    assert answer_of(LONG) == "e"
    trailing = chat(("user", "a"), ("assistant", "b"), ("user", "c"))
    assert (prompt_of(trailing), answer_of(trailing)) == (trailing.messages[:1], "b")
    assert (prompt_of(chat(("user", "a"))), answer_of(chat(("user", "a")))) == ((Message("user", "a"),), "")
    assert (prompt_of(CompletionExample("p", "c")), answer_of(CompletionExample("p", "c"))) == ("p", "c")
