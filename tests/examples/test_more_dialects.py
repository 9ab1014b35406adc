"""The dialects of the wild: benchmarks, forums, APIs, table cells. Each row shows a record and what it says."""

import json
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError
from faion_finetuner.core.examples.dialects import read_record, recognise, to_record
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Example, Message, Rejected
from faion_finetuner.core.lossless_json import Number


def chat(*texts: str, system: str | None = None, **fields: Any) -> ChatExample:
    """A conversation of user and assistant in turn."""
    talk = tuple(Message("assistant" if i % 2 else "user", text) for i, text in enumerate(texts))
    return ChatExample((Message("system", system), *talk) if system else talk, fields)


def pair(prompt: ChatExample, chosen: str, rejected: str) -> ChatExample:
    answers = Message("assistant", chosen), Message("assistant", rejected)
    return ChatExample((*prompt.messages, answers[0]), prompt.fields, Rejected(len(prompt.messages), (answers[1],)))


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def said(speaker: str, value: Any) -> dict[str, Any]:
    return {"from": speaker, "value": value}


HI = [turn("user", "hi"), turn("assistant", "yo")]
HI_SHAREGPT = [said("human", "hi"), said("gpt", "yo")]
MMLU = "2+2?\n\nA. 3\nB. 4\nC. 5\nD. 6"
HH = "\n\nHuman: hi\n\nAssistant: yo\n\nHuman: and?\n\nAssistant: "


@pytest.mark.parametrize(
    ("record", "example"),
    [
        # who speaks, under many names
        ({"conversations": [said("customer", "hi"), said("agent", "yo")]}, chat("hi", "yo")),
        ({"conversations": [said("Human", "hi"), said("ChatGPT", "yo")]}, chat("hi", "yo")),
        (
            {"utterances": [{"speaker": "user", "utterance": "hi"}, {"speaker": "bot", "utterance": "yo"}]},
            chat("hi", "yo"),
        ),
        ({"any_name": HI}, chat("hi", "yo")),
        ({"messages": [turn("user", "hi", name=None, tool_calls=None), HI[1]]}, chat("hi", "yo")),
        ({"messages": [{"role": "user", "content": "hi", "from": None, "value": None}, HI[1]]}, chat("hi", "yo")),
        # turns that are pairs, lists, columns
        ({"conversations": [{"human": "hi", "assistant": "yo"}]}, chat("hi", "yo")),
        ({"conversations": [{"assistant": "yo", "human": "hi"}]}, chat("hi", "yo")),
        ({"conversation": [{"input": "hi", "output": "yo", "system": "S"}]}, chat("hi", "yo", system="S")),
        ({"turns": [{"question": "hi", "answer": "yo"}, {"question": "a", "answer": None}]}, chat("hi", "yo", "a")),
        ({"dialog": [["hi", "yo"], ["a", "b"]]}, chat("hi", "yo", "a", "b")),
        ({"messages": [["user", "hi"], ["assistant", "yo"]]}, chat("hi", "yo")),
        ({"dialog": ["Human: hi", "Assistant: yo"]}, chat("hi", "yo")),
        ({"messages": {"role": ["user", "assistant"], "content": ["hi", "yo"]}}, chat("hi", "yo")),
        ({"questions": ["hi", "a"], "answers": ["yo", "b"], "id": 1}, chat("hi", "yo", "a", "b", id=1)),
        ({"user": ["hi"], "assistant": ["yo"], "system": "S"}, chat("hi", "yo", system="S")),
        # turns in a table's cell
        ({"conversations": json.dumps(HI_SHAREGPT)}, chat("hi", "yo")),
        ({"conversations": repr(HI_SHAREGPT)}, chat("hi", "yo")),
        ({"messages": repr(HI).replace("}, {", "}\n {")}, chat("hi", "yo")),
        ({"messages": "array(" + repr(HI).replace("}, {", "},\n       {") + ", dtype=object)"}, chat("hi", "yo")),
        (
            {"messages": repr([turn("user", "it's {a}\n {b}"), HI[1]]).replace("}, {", "}\n {")},
            chat("it's {a}\n {b}", "yo"),
        ),
        # one text that names its speakers
        ({"text": "<human>: hi\n<bot>: yo"}, chat("hi", "yo")),
        ({"text": "### Human: hi### Assistant: yo\n- b### Human: c"}, chat("hi", "yo\n- b", "c")),
        ({"text": "\n\nHuman: hi\n\nAssistant: yo"}, chat("hi", "yo")),
        (
            {"system": "S", "chat": "USER: hi\n\n\nASSISTANT: yo <|endoftext|>\n\n\nUSER: a"},
            chat("hi", "yo ", "a", system="S"),
        ),
        ({"text": "Human: all too human. A play."}, CompletionExample("", "Human: all too human. A play.")),
        ({"text": "Said <human>: hi\n<bot>: yo"}, CompletionExample("", "Said <human>: hi\n<bot>: yo")),
        # the system text
        ({"system_prompt": "S", "question": "hi", "answer": "yo"}, chat("hi", "yo", system="S")),
        ({"system": "S", "prompt": "hi", "completion": "yo"}, chat("hi", "yo", system="S")),
        ({"system": "S", "messages": [turn("system", "S"), *HI]}, chat("hi", "yo", system="S")),
        ({"system": [{"text": "S"}], "messages": HI}, chat("hi", "yo", system="S")),
        ({"contents": HI, "systemInstruction": {"parts": [{"text": "S"}]}}, chat("hi", "yo", system="S")),
        # question and answer
        ({"messages": HI[:1], "completion": "yo"}, chat("hi", "yo")),
        ({"input": HI[:1], "ideal": "yo"}, chat("hi", "yo")),
        ({"messages": HI, "completion": "no"}, chat("hi", "yo", completion="no")),
        ({"data": ["hi", "yo"], "id": 1}, chat("hi", "yo", id=1)),
        ({"Context": "hi", "Response": "yo"}, chat("hi", "yo")),
        ({"instruction": "hi", "generation": "yo"}, chat("hi", "yo")),
        ({"input": HI[:1], "ideal": ["yo", "hey"]}, chat("hi", "yo", ideal=["yo", "hey"])),
        ({"messages": [*HI, turn("user", "a")], "response": "b"}, chat("hi", "yo", "a", "b")),
        ({"chat_history": HI, "question": "a", "answer": "b"}, chat("hi", "yo", "a", "b")),
        ({"chat_history": [["hi", "yo"]], "question": "a", "answer": "b", "n": 1}, chat("hi", "yo", "a", "b", n=1)),
        ({"chat_history": HI, "question": "a", "documents": ["b"]}, chat("hi", "yo", question="a", documents=["b"])),
        ({"story": "S", "questions": ["hi", "a"], "answers": ["yo", "b"]}, chat("hi\n\nS", "yo", "a", "b")),
        (
            {"source": "x", "questions": ["hi"], "answers": {"input_text": ["yo"], "answer_start": [1]}},
            chat("hi", "yo", source="x", answers={"input_text": ["yo"], "answer_start": [1]}),
        ),
        (
            {"messages": [HI[0], turn("assistant", [{"type": "step-start"}, {"type": "text", "text": "yo"}])]},
            chat("hi", "yo"),
        ),
        ({"problem": "p", "solution": "long", "answer": "42"}, chat("p", "long", answer="42")),
        ({"input_text": "hi", "target_text": "yo"}, chat("hi", "yo")),
        ({"prompt": "hi", "response": "yo"}, chat("hi", "yo")),
        ({"query": "hi", "positive": "yo", "negative": "no"}, chat("hi", "yo", negative="no")),
        ({"query": "hi", "pos": ["yo"], "neg": ["no"]}, chat("hi", "yo", neg=["no"])),
        ({"question": "hi", "context": "here", "response": "yo"}, chat("hi\n\nhere", "yo")),
        (
            {"instruction": "hi", "context": "here", "response": "yo", "category": "x"},
            chat("hi\n\nhere", "yo", category="x"),
        ),
        ({"instruction": "hi", "context": "here", "output": "yo"}, chat("hi\n\nhere", "yo")),
        ({"input": HI[:1], "output": "yo"}, chat("hi", "yo")),
        ({"prompt": "hi", "completion": "yo", "label": True}, CompletionExample("hi", "yo", {"label": True})),
        ({"title": "T", "body": "B", "answer": "yo"}, chat("T\n\nB", "yo")),
        ({"title": "T", "body": "B"}, CompletionExample("", "B", {"title": "T"})),
        ({"premise": "p", "hypothesis": "h", "label": 1}, chat("p\n\nh", "1")),
        ({"document": "long", "summary": "short"}, chat("long", "short")),
        ({"article": "long", "highlights": "short", "id": "x"}, chat("long", "short", id="x")),
        ({"dialogue": "A: hi B: yo", "summary": "short"}, chat("A: hi B: yo", "short")),
        ({"text": "t", "category": "news"}, chat("t", "news")),
        ({"text": "t", "category": "news", "id": 4}, chat("t", "news", id=4)),
        (
            {"text": "t", "category": "news", "author": "a"},
            CompletionExample("", "t", {"category": "news", "author": "a"}),
        ),
        ({"text": "t", "sentiment": "good"}, chat("t", "good")),
        ({"text": "t", "label": 3, "label_text": "joy"}, chat("t", "joy", label=3)),
        ({"question": "q", "answer": "a", "category": "x", "label": 0}, chat("q", "a", category="x", label=0)),
        ({"instruction": "q", "input": "", "output": '["a", "b"]'}, chat("q", '["a", "b"]')),
        ({"question": "q", "answer": Number("1.10")}, chat("q", "1.10")),
        ({"input": "q", "output": {"x": [Number("1e400"), None]}}, chat("q", '{"x": [1e400, null]}')),
        ({"input": "q", "output": [{"type": "PER", "name": "Ann"}]}, chat("q", '[{"type": "PER", "name": "Ann"}]')),
        # several right answers
        ({"question": "q", "answers": ["a"]}, chat("q", "a")),
        (
            {"question": "q", "answers": {"text": ["a", "b"], "answer_start": [0, 1]}, "context": "c"},
            chat("q\n\nc", "a", answers={"text": ["a", "b"], "answer_start": [0, 1]}),
        ),
        (
            {"question": "q", "answers": {"text": [], "answer_start": []}},
            chat("q", "", answers={"text": [], "answer_start": []}),
        ),
        (
            {"question": "q", "answers": [{"text": "a", "pm_score": 1}, {"text": "b", "pm_score": 5}]},
            chat("q", "b", answers=[{"text": "a", "pm_score": 1}, {"text": "b", "pm_score": 5}]),
        ),
        # options to choose from
        (
            {"question": "2+2?", "choices": ["3", "4", "5", "6"], "answer": 1, "subject": "x"},
            chat(MMLU, "B. 4", subject="x"),
        ),
        ({"question": "2+2?", "choices": ["3", "4", "5", "6"], "answer": "B"}, chat(MMLU, "B. 4")),
        ({"question": "2+2?", "choices": ["3", "4", "5", "6"], "answer": "4"}, chat(MMLU, "B. 4")),
        ({"question": "2+2?", "choices": '["3", "4", "5", "6"]', "answer": "B"}, chat(MMLU, "B. 4")),
        ({"question": "2+2?", "choices": "['3' '4' '5' '6']", "answer": "B"}, chat(MMLU, "B. 4")),
        (
            {"question": "2+2?", "choice0": "3", "choice1": "4", "choice2": "5", "choice3": "6", "answer": "1"},
            chat(MMLU, "B. 4"),
        ),
        (
            {"question": "2+2?", "option1": "3", "option2": "4", "option3": "5", "option4": "6", "answer": 2},
            chat(MMLU, "B. 4"),
        ),
        ({"question": "2+2?", "A": "3", "B": "4", "C": "5", "D": "6", "answer": "B"}, chat(MMLU, "B. 4")),
        ({"question": "2+2?", "opa": "3", "opb": "4", "opc": "5", "opd": "6", "cop": 1}, chat(MMLU, "B. 4")),
        (
            {"question": "2+2?", "options": ["A)3", "B)4", "C)5", "D)6"], "correct": "B", "rationale": "r"},
            chat(MMLU, "B. 4", rationale="r"),
        ),
        (
            {"question": "2+2?", "options": {"A": "3", "B": "4", "C": "5", "D": "6"}, "answer": "4", "answer_idx": "B"},
            chat(MMLU, "B. 4", answer="4"),
        ),
        (
            {
                "question": "2+2?",
                "choices": {"text": ["3", "4", "5", "6"], "label": ["A", "B", "C", "D"]},
                "answerKey": "B",
            },
            chat(MMLU, "B. 4"),
        ),
        ({"query": "2+2?", "choices": ["3", "4", "5", "6"], "gold": 1}, chat(MMLU, "B. 4")),
        ({"ctx": "2+2?", "endings": ["3", "4", "5", "6"], "label": "1"}, chat(MMLU, "B. 4")),
        ({"goal": "g", "sol1": "x", "sol2": "y", "label": 0}, chat("g\n\nA. x\nB. y", "A. x")),
        ({"article": "c", "question": "q", "options": ["x", "y"], "answer": "A"}, chat("q\n\nc\n\nA. x\nB. y", "A. x")),
        (
            {"question": "q", "choices": ["x", "y"], "answer": "Neither of them."},
            chat("q\n\nA. x\nB. y", "Neither of them."),
        ),
        # translation
        ({"translation": {"en": "hi", "de": "hallo"}}, chat("hi", "hallo", source_language="en", target_language="de")),
        # preference pairs
        ({"system": "S", "question": "hi", "chosen": "yo", "rejected": "no"}, pair(chat("hi", system="S"), "yo", "no")),
        ({"instruction": "hi", "input": "x", "chosen": "yo", "rejected": "no"}, pair(chat("hi\n\nx"), "yo", "no")),
        (
            {"conversations": HI_SHAREGPT[:1], "chosen": HI_SHAREGPT[1], "rejected": said("gpt", "no")},
            pair(chat("hi"), "yo", "no"),
        ),
        (
            {"prompt": "hi", "chosen": HI, "rejected": [HI[0], turn("assistant", "no")], "messages": HI, "score": 1},
            pair(chat("hi", score=1), "yo", "no"),
        ),
        (
            {"prompt": "other", "chosen": HI, "rejected": [HI[0], turn("assistant", "no")]},
            pair(chat("hi", prompt="other"), "yo", "no"),
        ),
        ({"prompt": HI[:1], "chosen": HI, "rejected": [HI[0], turn("assistant", "no")]}, pair(chat("hi"), "yo", "no")),
        (
            {
                "input": {"messages": HI[:1], "tools": [], "parallel_tool_calls": True},
                "preferred_output": HI[1:],
                "non_preferred_output": [turn("assistant", "no")],
            },
            pair(chat("hi", tools=[], parallel_tool_calls=True), "yo", "no"),
        ),
        ({"chosen": HH + "b", "rejected": HH + "c"}, pair(chat("hi", "yo", "and?"), "b", "c")),
        ({"prompt": "hi ", "chosen": "yo", "rejected": "no"}, CompletionExample("hi ", "yo", {}, "no")),
        ({"question": "q", "response_j": "yo", "response_k": "no"}, pair(chat("q"), "yo", "no")),
        (
            {"question": "q", "answer": "a", "chosen": True, "rejected": False},
            chat("q", "a", chosen=True, rejected=False),
        ),
    ],
)
def test_a_record_is_read_as_its_authors_meant_it(record: dict[str, Any], example: Example):
    before = json.dumps(record, default=str)
    assert read_record(record) == example
    assert json.dumps(record, default=str) == before


def test_a_system_field_that_the_conversation_contradicts_stays_a_field():
    example = read_record({"system": "T", "messages": [turn("system", "S"), *HI]})
    assert example == ChatExample(chat("hi", "yo", system="S").messages, {"system": "T"})


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"question": "q", "choices": ["x", "y"], "answer": 2}, "«2» is none of the 2 options"),
        ({"question": "q", "choices": ["x", "y"], "answer": "E"}, "«E» is none of the 2 options"),
        ({"chosen": "yo", "rejected": "no"}, "no prompt"),
        ({"chat": "just a text"}, "not a list of turns"),
        ({"messages": [turn("user", [{"type": "text", "text": "see"}, {"type": "input_audio"}])]}, "«input_audio»"),
        ({"messages": [turn("user", {"parts": [{"text": "a"}, {"inlineData": {}}]})]}, "«inlineData»"),
        ({"messages": {"role": ["user"], "content": []}}, "not of one length"),
    ],
)
def test_a_record_that_cannot_be_read_says_why(record: dict[str, Any], problem: str):
    with pytest.raises(DataError, match=problem):
        read_record(record)


CALL = {"type": "function", "function": {"name": "rain", "arguments": '{"city": "Köln"}'}}
ASKED = (Message("user", "rain?"), Message("assistant", "", tool_calls=({"id": "c1", **CALL},)))
RESULT = Message("tool", "yes", fields={"tool_call_id": "c1"})


@pytest.mark.parametrize(
    "turns",
    [
        [
            turn("user", "rain?"),
            turn("assistant", None, tool_calls=[{"id": "c1", **CALL}]),
            turn("tool", "yes", tool_call_id="c1"),
        ],
        [
            turn("user", "rain?"),
            turn("assistant", [{"type": "tool_use", "id": "c1", "name": "rain", "input": {"city": "Köln"}}]),
            turn("user", [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "yes"}]}]),
        ],
        [
            turn("user", [{"text": "rain?"}]),
            turn("assistant", [{"toolUse": {"toolUseId": "c1", "name": "rain", "input": {"city": "Köln"}}}]),
            turn("user", [{"toolResult": {"toolUseId": "c1", "content": [{"text": "yes"}]}}]),
        ],
        [
            {"role": "user", "parts": [{"text": "rain?"}]},
            {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "rain", "args": {"city": "Köln"}}}]},
            turn("tool", "yes", tool_call_id="c1"),
        ],
        [
            said("human", "rain?"),
            {**said("function_call", '{"name": "rain", "arguments": {"city": "Köln"}}'), "tool_call_ids": ["c1"]},
            {**said("observation", "yes"), "tool_call_id": "c1"},
        ],
        [
            said("human", "rain?"),
            said("tool_call", '{"id": "c1", "name": "rain", "parameters": {"city": "Köln"}}'),
            {**said("tool_response", "yes"), "tool_call_id": "c1"},
        ],
    ],
    ids=["openai", "anthropic", "bedrock", "google", "sharegpt", "other"],
)
def test_tool_calls_of_every_api_are_the_same_call(turns: list[dict[str, Any]]):
    example = read_record({"messages": turns, "tools": "[]"})
    assert example == ChatExample((*ASKED, RESULT), {"tools": "[]"})


def test_text_thought_and_call_of_one_answer_stay_one_message():
    parts = [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c1", "name": "rain", "input": {"city": "Köln"}},
    ]
    example = read_record({"messages": [turn("user", "rain?"), turn("assistant", parts)]})
    expected = Message("assistant", "I look.", tool_calls=({"id": "c1", **CALL},), fields={"reasoning_content": "hm"})
    assert example == ChatExample((ASKED[0], expected))


def test_a_question_after_a_tool_result_is_a_turn_of_its_own():
    parts = [{"type": "tool_result", "tool_use_id": "c1", "content": "yes"}, {"type": "text", "text": "Sure?"}]
    example = read_record({"messages": [turn("user", parts)]})
    assert example == ChatExample((RESULT, Message("user", "Sure?")))


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning", "weight", "anything"])
def test_what_else_a_turn_says_stays_with_it(key: str):
    example = read_record({"messages": [HI[0], {**HI[1], key: 0}]})
    assert example == ChatExample((Message("user", "hi"), Message("assistant", "yo", fields={key: 0})))


@pytest.mark.parametrize("text", ["<think>\nhm\n</think>\nyo", '<tool_call>\n{"name": "rain"}\n</tool_call>'])
def test_tags_that_models_write_stay_text(text: str):
    assert read_record({"conversations": [said("human", "hi"), said("gpt", text)]}) == chat("hi", text)


def test_calls_that_a_pair_answers_with_are_calls_where_tools_are_given():
    answer = '[{"name": "rain", "arguments": {"city": "Köln"}}]'
    example = read_record({"query": "rain?", "tools": "[]", "answers": answer})
    assert example == ChatExample((ASKED[0], Message("assistant", "", tool_calls=(CALL,))), {"tools": "[]"})
    assert read_record({"query": "rain?", "response": answer}) == chat("rain?", answer)


def test_the_older_functions_of_openai_are_tools():
    example = read_record({"messages": HI, "functions": [{"name": "f"}]})
    assert example.fields == {"tools": [{"type": "function", "function": {"name": "f"}}]}


def test_numbers_inside_tool_calls_keep_their_digits():
    value = '{"name": "pay", "arguments": {"sum": 1.10, "big": 123456789012345678901234567890}}'
    record = {"conversations": [said("human", "pay"), said("function_call", value)]}
    assert to_record(read_record(record), "sharegpt") == record


def test_columns_that_a_reading_does_not_use_stay_fields():
    columns = {"m": "messages", "q": "user", "s": "system"}
    record = {"m": [turn("system", "S"), *HI], "q": "other", "s": "T"}
    assert read_record(record, columns) == ChatExample(
        (Message("system", "S"), Message("user", "hi"), Message("assistant", "yo")), {"q": "other", "s": "T"}
    )
    pair_columns = {"p": "prompt", "good": "completion", "bad": "rejected"}
    record = {"p": "hi", "good": "yo", "bad": "no"}
    assert read_record(record, pair_columns) == CompletionExample("hi", "yo", {}, "no")
    assert read_record(record, {"p": "user", "good": "chosen", "bad": "rejected"}) == pair(chat("hi"), "yo", "no")


def test_records_of_plain_fields_with_the_same_names_are_of_one_dialect():
    """What lets a caller remember the dialect: a text's content never decides."""
    for one, other in [
        ({"text": "x"}, {"text": "<human>: hi\n<bot>: yo"}),
        ({"chosen": "x", "rejected": "y"}, {"chosen": HH + "b", "rejected": HH + "c"}),
        ({"chat": "x"}, {"chat": "USER: hi\nASSISTANT: yo"}),
        ({"question": "q", "chosen": "x", "rejected": "y"}, {"question": "q", "chosen": HH, "rejected": HH}),
    ]:
        assert recognise(one) == recognise(other)


@pytest.mark.parametrize(
    "text", ["[" * 5000, "{'a': " * 3000, "['x'", "[1, 2", "{nope}", "array(", "[" + "\ud800" + "]"]
)
def test_a_text_that_only_looks_like_a_list_stays_text(text: str):
    assert read_record({"question": text, "answer": text}) == chat(text, text)
    assert read_record({"text": text}) == CompletionExample("", text)
