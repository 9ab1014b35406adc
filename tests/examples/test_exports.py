"""Records as APIs, libraries and annotation tools export them: each row shows an export and the plain row in it."""

import json
from contextlib import suppress
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError, TieError
from faion_finetuner.core.examples.convert import to_record
from faion_finetuner.core.examples.dialects import read_record
from faion_finetuner.core.examples.exports import FIELDS, unfold
from faion_finetuner.core.examples.types import ChatExample, Format, Message, Rejected
from hypothesis import given, settings
from hypothesis import strategies as st

ASKED = {"role": "user", "content": "hi"}
SAID_HI = (ASKED, {"role": "assistant", "content": "yo"})
HI = (Message("user", "hi"), Message("assistant", "yo"))
SHI = (Message("system", "S"), *HI)
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q": 1}'}}
LOOKED = (
    Message("user", "hi"),
    Message("assistant", "", None, (CALL,)),
    Message("tool", "found", None, None, {"tool_call_id": "c1"}),
    Message("assistant", "yo"),
)


def human(said: str) -> dict[str, Any]:
    return {"type": "human", "content": said, "additional_kwargs": {}, "name": None, "example": False}


def ai(said: Any, **more: Any) -> dict[str, Any]:
    return {"type": "ai", "content": said, "additional_kwargs": {}, "invalid_tool_calls": [], **more}


def dumped(name: str, **fields: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": fields}


def completion(said: Any, *others: Any) -> dict[str, Any]:
    choices = [{"index": i, "message": {"role": "assistant", "content": one}} for i, one in enumerate((said, *others))]
    return {"object": "chat.completion", "choices": choices}


def item(role: str, kind: str, said: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": role,
        "id": "m",
        "status": "completed",
        "content": [{"type": kind, "text": said}],
    }


def answered(**scores: Any) -> list[dict[str, Any]]:
    return [{"model": "m", "response": said, "overall_score": score} for said, score in scores.items()]


LOOK = {"name": "look", "args": {"q": 1}, "id": "c1", "type": "tool_call"}
OUTPUT = [item("assistant", "output_text", "yo")]


@pytest.mark.parametrize(
    ("messages", "read"),
    [
        ([{"type": "system", "content": "S"}, human("hi"), ai("yo")], SHI),
        ([{"type": "human", "data": human("hi")}, {"type": "ai", "data": ai("yo")}], HI),
        ([dumped("HumanMessage", content="hi", type="human"), dumped("AIMessageChunk", content="yo")], HI),
        ([human("hi"), {"type": "AIMessageChunk", "content": [{"type": "text", "text": "yo"}]}], HI),
        ([{"type": "chat", "data": {"type": "chat", "role": "user", "content": "hi"}}, ai("yo")], HI),
        (
            [
                human("hi"),
                ai("", tool_calls=[LOOK]),
                {"type": "tool", "content": "found", "tool_call_id": "c1", "status": "success"},
                ai("yo"),
            ],
            LOOKED,
        ),
        (  # the calls stand in the content too, as Anthropic's API gave them
            [
                dumped("HumanMessage", content="hi"),
                dumped("AIMessage", content=[{"type": "tool_use", "id": "c1", "name": "look"}], tool_calls=[LOOK]),
                dumped("ToolMessage", content="found", tool_call_id="c1"),
                dumped("AIMessage", content="yo"),
            ],
            LOOKED,
        ),
        (  # as LangChain wrote calls before it had a field for them
            [
                human("hi"),
                ai("") | {"additional_kwargs": {"tool_calls": [CALL]}},
                {"type": "tool", "content": "found", "tool_call_id": "c1"},
                ai("yo"),
            ],
            LOOKED,
        ),
    ],
)
def test_messages_of_langchain_are_turns(messages: list[dict[str, Any]], read: tuple[Message, ...]):
    assert read_record({"messages": messages}) == ChatExample(read)


def test_a_turn_that_is_a_pair_may_have_a_type_of_its_own():
    turn = {"type": "human", "question": "hi", "answer": "yo"}
    example = read_record({"turns": [turn]})
    assert isinstance(example, ChatExample)
    assert [message.content for message in example.messages] == ["hi", "yo"]


@pytest.mark.parametrize(
    ("record", "read"),
    [
        ({"request": {"messages": [ASKED]}, "response": completion("yo")}, HI),
        ({"request": {"body": {"messages": [ASKED]}}, "response": {"body": completion("yo")}}, HI),
        ({"request_body": json.dumps({"messages": [ASKED]}), "response_body": json.dumps(completion("yo"))}, HI),
        ({"messages": [ASKED], "response": completion("yo")}, HI),
        ({"messages": [ASKED], **completion("yo")}, HI),
        ({"input": {"messages": [ASKED]}, "output": {"role": "assistant", "content": "yo"}}, HI),
        ({"inputs": {"messages": [ASKED]}, "output": completion("yo")}, HI),
        ({"request": {"prompt": "hi"}, "response": {"choices": [{"text": "yo", "finish_reason": "stop"}]}}, HI),
        ({"request": {"prompt": "hi"}, "response": {"response": "yo"}}, HI),
        ({"body": {"messages": [ASKED]}, "response": {"status_code": 200, "body": completion("yo")}}, HI),
        # the Responses API
        ({"input": "hi", "instructions": "S", "output": OUTPUT}, SHI),
        ({"input": [item("user", "input_text", "hi")], "instructions": "S", "output": OUTPUT}, SHI),
        ({"request": {"input": "hi", "instructions": "S"}, "response": {"output": OUTPUT}}, SHI),
        ({"items": [item("user", "input_text", "hi"), {"type": "reasoning", "summary": []}, *OUTPUT]}, HI),
        (
            {
                "input": [
                    ASKED,
                    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"q": 1}'},
                    {"type": "function_call_output", "call_id": "c1", "output": "found"},
                ],
                "output": OUTPUT,
            },
            LOOKED,
        ),
        # others
        (
            {
                "params": {"system": "S", "messages": [ASKED]},
                "result": {"type": "succeeded", "message": {"role": "assistant", "content": [{"text": "yo"}]}},
            },
            SHI,
        ),
        (
            {
                "request": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
                "response": {"candidates": [{"content": {"role": "model", "parts": [{"text": "yo"}]}}]},
            },
            HI,
        ),
        (
            {
                "input": {"inputBodyJson": {"messages": [ASKED], "system": [{"text": "S"}]}},
                "output": {"outputBodyJson": {"output": {"message": {"role": "assistant", "content": "yo"}}}},
            },
            SHI,
        ),
        ({"inputs": {"question": "hi"}, "outputs": {"answer": "yo"}}, HI),
        ({"inputs": {"input": [human("hi")]}, "outputs": {"output": ai("yo")}}, HI),
        (
            {"inputs": {"messages": [[dumped("HumanMessage", content="hi")]]}, "outputs": {"generations": [[{
                "text": "yo", "message": dumped("AIMessage", content="yo")}]]}},
            HI,
        ),
        # the names of a person or a source beside it are no conversation
        ({"request": {"messages": [ASKED]}, "response": "yo", "user": "u1", "source": "web", "label": "good"}, HI),
        ({"input": json.dumps({"messages": [ASKED]}), "output": '{"role": "assistant", "content": "yo"}'}, HI),
        ({"prompt": "hi", "response": json.dumps(completion("yo"))}, HI),
        ({"prompt": "", "answer": "", "request": {"messages": [ASKED]}, "response": completion("yo")}, HI),
        # Cohere
        ({"message": "hi", "text": "yo", "preamble": "S"}, SHI),
        ({"message": "hi", "text": "yo", "chat_history": []}, HI),
        ({"message": "hi", "text": "yo", "chat_history": [{"role": "USER", "message": "hi"}]}, HI),
        (
            {
                "message": "hi",
                "text": "yo",
                "chat_history": [{"role": "USER", "message": "hi"}, {"role": "CHATBOT", "message": "yo"}],
            },
            HI,
        ),
        (
            {
                "message": "and?",
                "text": "so",
                "chat_history": [{"role": "USER", "message": "hi"}, {"role": "CHATBOT", "message": "yo"}],
            },
            (*HI, Message("user", "and?"), Message("assistant", "so")),
        ),
        ({"messages": list(SAID_HI), "message": "x", "text": "y", "generation_id": "z"}, HI),
        ({"instruction": "hi", "output": "yo", "message": "x", "text": "y", "response_id": "z"}, HI),
        # MT-bench
        (
            {"question_id": 1, "turns": ["hi", "and?"], "reference": ["yo", "so"]},
            (*HI, Message("user", "and?"), Message("assistant", "so")),
        ),
        # several replies, of which the best counts
        (
            {
                "message_tree_id": "t",
                "prompt": {
                    "role": "prompter",
                    "text": "hi",
                    "replies": [
                        {"role": "assistant", "text": "no", "rank": 1, "replies": []},
                        {"role": "assistant", "text": "unranked", "rank": None},
                        {"role": "assistant", "text": "yo", "rank": 0, "replies": []},
                    ],
                },
            },
            HI,
        ),
        # annotation tools
        ({"fields": {"prompt": "hi", "response": "yo"}, "responses": {}}, HI),
        ({"fields": {"text": "hi"}, "responses": {"label": [{"value": "yo"}]}}, HI),
        ({"fields": {"text": "hi"}, "responses": {}, "suggestions": {"label": {"value": "yo"}}}, HI),
        (
            {
                "data": {"text": "hi"},
                "annotations": [
                    {"was_cancelled": True, "result": []},
                    {"result": [{"type": "choices", "from_name": "any", "value": {"choices": ["yo"]}}]},
                ],
            },
            HI,
        ),
        (
            {
                "data": {"prompt": "hi"},
                "annotations": [{"result": [{"type": "textarea", "from_name": "reply", "value": {"text": ["yo"]}}]}],
            },
            HI,
        ),
    ],
)  # fmt: skip
def test_an_export_is_the_conversation_in_it(record: dict[str, Any], read: tuple[Message, ...]):
    example = read_record(record)
    assert isinstance(example, ChatExample)
    assert example.messages == read


def test_calls_and_thoughts_of_a_response_are_those_of_one_answer():
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I should look."}]},
        item("assistant", "output_text", "A moment."),
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"q": 1}'},
    ]
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
    example = read_record({"input": "hi", "output": output, "tools": tools})
    assert isinstance(example, ChatExample)
    assert example.messages[1] == Message(
        "assistant", "A moment.", None, (CALL,), {"reasoning_content": "I should look."}
    )
    function = {"name": "look", "parameters": {"type": "object"}}
    assert example.fields == {"tools": [{"type": "function", "function": function}]}


def test_what_else_an_exchange_says_stays_beside_the_conversation():
    response = {**completion("yo"), "usage": {"total_tokens": 3}, "service_tier": None}
    response["choices"][0]["finish_reason"] = "length"
    record = {"id": 7, "request": {"model": "m", "messages": [ASKED]}, "response": response, "result": "kept"}
    assert read_record(record).fields == {
        "model": "m",
        "id": 7,
        "result_original": "kept",
        "response_metadata": {"object": "chat.completion", "usage": {"total_tokens": 3}, "finish_reason": "length"},
    }


@pytest.mark.parametrize(
    ("record", "left_out"),
    [
        ({"messages": [ASKED], "response": completion("yo", "other")}, {"choices after the first": 1}),
        ({"messages": [ASKED], "response": completion("yo")}, {}),
        (
            {"input": "hi", "output": [{"type": "web_search_call", "status": "completed"}, *OUTPUT]},
            {"web_search_call": 1},
        ),
        (
            {"messages": [ASKED, {"type": "reasoning", "encrypted_content": "x"}, *OUTPUT]},
            {"reasoning without text": 1},
        ),
        (
            {"fields": {"text": "hi"}, "responses": {"label": [{"value": "a"}, {"value": "b"}, {"value": "a"}]}},
            {"responses of other annotators that differ": 1},
        ),
        (
            {"data": {"text": "hi"}, "annotations": [{"result": [{"type": "labels", "value": {"labels": ["x"]}}]}] * 2},
            {"annotations after the first": 1, "annotation of type labels": 1},
        ),
    ],
)
def test_what_an_export_loses_is_counted_by_its_kind(record: dict[str, Any], left_out: dict[str, int]):
    unfolded = unfold(record)
    assert unfolded is not None
    assert unfolded.left_out == left_out


@pytest.mark.parametrize(
    "record",
    [{"completions": answered(no=2.5, meh=3, yo=8)}, {"generations": ["yo", "no"], "ratings": [5, 1]}],
)
@pytest.mark.parametrize("format", ["openai", "sharegpt", "alpaca", "completion"])
def test_of_scored_answers_the_best_and_the_worst_are_a_pair(record: dict[str, Any], format: Format):
    example = read_record({"instruction": "hi", **record})
    assert example == ChatExample(HI, record, Rejected(1, (Message("assistant", "no"),)))
    again = read_record(to_record(example, format))
    assert (again.rejected, again.fields) == (read_record(to_record(again, format)).rejected, record)


@pytest.mark.parametrize(
    ("before", "prompt"),
    [
        ((), "hi"),
        ((), "\n\nHuman: hi\n\nAssistant: "),
        (HI, "\n\nHuman: hi\n\nAssistant: yo\n\nHuman: hi\n\nAssistant: "),
    ],
)
def test_of_ranked_answers_the_first_and_the_last_are_a_pair(before: tuple[Message, ...], prompt: str):
    answers = [{"answer": "meh", "rank": 2.0}, {"answer": "no", "rank": 3.0}, {"answer": "yo", "rank": 1.0}]
    example = read_record({"prompt": prompt, "answers": answers, "turns": 1})
    asked = (*before, Message("user", "hi"))
    messages = [(one.role, one.content) for one in (*asked, Message("assistant", "yo"))]
    if isinstance(example, ChatExample):
        assert [(one.role, one.content) for one in example.messages] == messages
        assert example.rejected == Rejected(len(asked), (Message("assistant", "no"),))
    else:
        assert (example.prompt, example.completion, example.rejected) == ("hi", "yo", "no")
    assert example.fields == {"answers": answers, "turns": 1}


def test_answers_that_are_all_as_good_are_a_tie():
    with pytest.raises(TieError):
        read_record({"instruction": "hi", "completions": answered(a=3, b=3.0)})


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (
            {"custom_id": "a", "response": {"status_code": 200, "body": completion("yo")}},
            "An answer without its question",
        ),
        ({"key": "a", "response": {"candidates": [{"content": {"parts": [{"text": "yo"}]}}]}}, "without its question"),
        ({"messages": [ASKED], "response": {"error": "too many"}}, "an error and no answer"),
        ({"question_id": 81, "turns": ["hi", "and?"]}, "questions alone"),
        ({"turns": ["hi", "and?"], "reference": ["yo"]}, "questions alone"),
        ({"request": {"messages": [ASKED]}, "response": {"body": {"error": {"code": 429}}}}, "an error and no answer"),
        ({"data": {"text": "hi"}, "annotations": []}, "no annotation"),
    ],
)
def test_an_export_without_an_example_says_why(record: dict[str, Any], problem: str):
    with pytest.raises(DataError, match=problem):
        read_record(record)


@pytest.mark.parametrize(
    "record",
    [
        {"question": "q", "choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}], "answerKey": "A"},
        {"input": "hi", "output": {"text": "yo", "label": 1}},
        {"input": {"a": 1}, "output": {"b": 2}},
        {"input": {"messages": [ASKED]}, "preferred_output": [HI], "non_preferred_output": [HI]},
        {"messages": [ASKED, {"role": "assistant", "content": "yo"}], "response": completion("no")},
        {"messages": [ASKED, {"role": "assistant", "content": "yo"}], "request": {"messages": [ASKED]}},
        {"text": "hi", "annotations": [{"start": 0, "end": 2}], "label": "x"},
        {"question": "hi", "answer": "yo", "mapping": {"a": 1}, "fields": ["x"]},
    ],
)
def test_a_plain_record_is_no_export(record: dict[str, Any]):
    assert unfold(record) is None


PLAIN = [
    {"instruction": "hi", "output": '{"error": "not found"}'},
    {"question": "hi", "response": '{"error": {"message": "not found"}}'},
    {"instruction": "hi", "input": '{"prompt": "red", "size": 3}', "output": '{"text": "ok"}'},
    {"instruction": "hi", "input": {"messages": [ASKED]}, "output": "yo"},
    {"instruction": "hi", "input": "there", "output": "yo", "request": {"prompt": "x"}, "response": {"text": "y"}},
    {"instruction": "hi", "output": '{"message": {"role": "assistant", "content": "yo"}}'},
    {"prompt": "hi", "response": '{"generations": [{"text": "yo"}]}'},
    {"input": '{"prompt": "hi"}', "output": "yo"},
    {"input": '{"messages": ["a", "b"]}', "output": "yo"},
    {"input": {"prompt": "hi", "style": "oil"}, "output": "yo"},
    {"input": "hi", "output": {"error": "none", "ok": True}},
    {"input": "hi", "output": {"type": "system", "content": "yo"}},
    {"input": "hi", "output": {"role": "user", "content": "yo"}},
    {"title": "hi", "body": '{"input": 1}', "answer": "yo"},
    {"prompt": "hi", "completion": "yo", "params": {"prompt": "x", "temperature": 1}},
    {"question": "hi", "answer": "yo", "output": completion("no")},
    {"question": "hi", "answer": "yo", "result": {"message": {"role": "assistant", "content": "no"}}},
    {"question": "hi", "answer": "yo", "body": {"input": "x"}},
    {"question": "hi", "answer": "yo", "mapping": {"a": {"message": None}}, "choices": [], "request": "{}"},
    {"question": "hi", "answer": "yo", "data": {"a": 1}, "annotations": [{"result": []}]},
    {"question": "hi", "answer": "yo", "fields": {"question": "x"}, "suggestions": {}},
    {"question": "hi", "answer": "yo", "completions": ["x", "y"], "ratings": [1, 2]},
    {"user": "hi", "assistant": "yo", "params": {"prompt": "x"}, "response": {"text": "y"}},
    {"src": "hi", "tgt": "yo", "body": {"input": "x"}},
    {"content": "hi", "response": "yo", "request": '{"prompt": "x"}', "result": '{"text": "y"}', "choices": "[]"},
    {"messages": [ASKED, {"role": "assistant", "content": "yo"}], "completions": ["x", "y"], "ratings": [1, 2]},
    {"question": "hi", "answers": [{"text": "yo", "pm_score": 5, "rank": 1}, {"text": "no", "pm_score": 1}]},
    {"turns": ["hi", "yo"]},
    {"prompt": "hi", "chosen": "yo", "rejected": "no", "mapping": {"a": {"message": None}}},
    {"prompt": "hi", "chosen": "yo", "rejected": "no", "items": [{"type": "reasoning"}]},
    {"prompt": "hi", "response_a": "yo", "response_b": "no", "winner": "model_a", "choices": [{"message": ASKED}]},
    {"prompt": "hi", "response_a": "yo", "response_b": "no", "winner": "model_a", "completions": answered(a=1, b=2)},
    {"article": "hi", "summary": "yo", "request": {"messages": [ASKED]}, "response": completion("no")},
    {"query": "hi", "tools": "[]", "answers": '[{"name": "f"}]', "request": {"messages": [ASKED]}},
    {"chat_history": [ASKED, {"role": "assistant", "content": "yo"}], "source": "web", "intent": "greet"},
]


@pytest.mark.parametrize("record", PLAIN)
def test_fields_of_an_exports_name_do_not_change_what_a_plain_record_teaches(record: dict[str, Any]):
    assert unfold(record) is None


@pytest.mark.parametrize("format", ["openai", "sharegpt", "alpaca", "completion"])
def test_a_leftover_that_would_be_read_as_an_export_is_renamed(format: Format):
    example = ChatExample((*HI, Message("user", "and?")), {"choices": completion("no")["choices"]})
    record = to_record(example, format)
    assert unfold(record) is None
    assert completion("no")["choices"] in record.values()


SCRAPS = st.sampled_from(["hi", "", "user", "human", "reasoning", "function_call", None, 0, "[1]", '{"a": 1}'])
INNER = (
    *("type", "role", "content", "message", "parts", "data", "kwargs", "lc", "id", "text", "value", "tools", "error"),
    *("parent", "children", "author", "content_type", "current_node", "from_name"),
)
KEYS = st.sampled_from([*sorted(FIELDS), *INNER])
VALUES = st.recursive(
    SCRAPS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_no_shape_breaks_the_reader(record: dict[str, Any]):
    try:
        example = read_record(record)
    except DataError:  # any other error is the failure
        return
    assert json.dumps(to_record(example, "openai"), default=str)


NODES = st.dictionaries(
    st.sampled_from("abcd"),
    st.fixed_dictionaries(
        {
            "message": st.none() | st.fixed_dictionaries({"author": VALUES, "content": VALUES}),
            "parent": st.sampled_from([*"abcde", None, []]),
            "children": st.lists(st.sampled_from([*"abcde", None, []]), max_size=3) | SCRAPS,
        }
    ),
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(NODES, st.sampled_from([*"abcde", None, []]))
def test_no_tree_breaks_the_reader(mapping: dict[str, Any], current: Any):
    with suppress(DataError):  # any other error is the failure
        unfold({"mapping": mapping, "current_node": current})


def test_a_preamble_is_what_the_system_says_only_beside_a_message_and_its_text():
    assert read_record({"question": "hi", "answer": "yo", "preamble": "S"}) == ChatExample(HI, {"preamble": "S"})


@pytest.mark.parametrize("name", ["turns", "chat_history", "messages"])
def test_an_empty_conversation_does_not_take_the_place_of_a_pairs_prompt(name: str):
    example = read_record({"question": "hi", "chosen": "yo", "rejected": "no", name: []})
    assert example == ChatExample(HI, {name: []}, Rejected(1, (Message("assistant", "no"),)))


def test_a_pairs_prompt_goes_on_with_the_history_beside_it():
    example = read_record({"chat_history": list(SAID_HI), "prompt": "and?", "chosen": "so", "rejected": "no"})
    asked = (*HI, Message("user", "and?"))
    assert example == ChatExample((*asked, Message("assistant", "so")), {}, Rejected(3, (Message("assistant", "no"),)))
