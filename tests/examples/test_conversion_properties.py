"""What holds for every example and every format: nothing is lost unsaid, and a second conversion changes nothing."""

import json
from dataclasses import replace
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError
from faion_finetuner.core.examples.convert import as_chat, losses, to_record
from faion_finetuner.core.examples.dialects import read_record
from faion_finetuner.core.examples.field_names import (
    ANSWER_FIELDS,
    ANSWER_PAIRS,
    CONTEXT_FIELDS,
    LABEL_FIELDS,
    QUESTION_FIELDS,
    SYSTEM_FIELDS,
    TEXT_FIELDS,
    TURN_FIELDS,
)
from faion_finetuner.core.examples.recognise import recognise
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Example, Format, Message, Rejected
from faion_finetuner.core.lossless_json import Number
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FORMATS: tuple[Format, ...] = ("alpaca", "sharegpt", "openai", "completion")
KNOWN = sorted(
    {
        *(*TURN_FIELDS, *SYSTEM_FIELDS, *QUESTION_FIELDS, *CONTEXT_FIELDS, *ANSWER_FIELDS, *LABEL_FIELDS, *TEXT_FIELDS),
        *(name for pair in ANSWER_PAIRS for name in pair),
        *("history", "title", "translation", "choices", "options", "answerKey", "tools", "role", "from", "value", "id"),
        *(
            "name",
            "tool_calls",
            "function_call",
            "weight",
            "messages_original",
            "prompt_original",
            "Messages",
            "System",
        ),
    }
)
TURNS_TEXT = '[{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]'
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ("", "a", "\n\n", "[]", "{}", '["a", "b"]', TURNS_TEXT, '{"name": "f", "arguments": {}}', "Human: x", "a\n\nb")
    ),
)
VALUES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.just(Number("1.10")),
    st.just([{"role": "user", "content": "x"}]),
    st.just(["a", "b"]),
    st.just({"text": ["a"], "label": ["b"]}),
    st.just([]),
)
FIELDS = st.dictionaries(st.sampled_from(KNOWN), VALUES, max_size=4)
SOME = st.one_of(
    st.just({}), st.dictionaries(st.sampled_from(KNOWN), VALUES.filter(lambda v: v is not None), max_size=2)
)
TURN_FIELDS_LEFT = SOME.map(lambda fields: {k: v for k, v in fields.items() if k not in ("name", "tool_calls")})
CALLS = st.lists(
    st.builds(
        lambda name, arguments, id: {
            **({"id": id} if id else {}),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        },
        st.sampled_from(("f", "")),
        st.sampled_from(("{}", '{"a": 1}', '{"a":1}', "broken", '{"n": 1.10}', '"x"')),
        st.sampled_from((None, "c1")),
    ),
    min_size=1,
    max_size=2,
).map(tuple)


def messages(*roles: str) -> st.SearchStrategy[Message]:
    return st.one_of(
        st.builds(Message, st.sampled_from(roles), TEXTS),
        st.builds(Message, st.sampled_from(roles), TEXTS, st.one_of(st.none(), TEXTS), st.none(), TURN_FIELDS_LEFT),
        st.builds(Message, st.just("assistant"), st.sampled_from(("", "so")), st.none(), CALLS),
    )


TALK = st.one_of(
    st.lists(messages("system", "user", "assistant", "tool"), min_size=1, max_size=5),
    st.lists(TEXTS, min_size=1, max_size=3).map(
        lambda texts: [m for text in texts for m in (Message("user", text), Message("assistant", text))]
    ),
).map(tuple)
ANSWERS = st.one_of(
    TEXTS.map(lambda text: (Message("assistant", text),)),
    st.tuples(messages("assistant"), messages("assistant", "user", "tool")).filter(
        lambda turns: turns[0].role == "assistant"
    ),
)
PAIRS = st.builds(
    lambda prompt, chosen, rejected, fields: ChatExample((*prompt, *chosen), fields, Rejected(len(prompt), rejected)),
    *(st.one_of(st.just(()), TALK), ANSWERS, ANSWERS, FIELDS),
)
EXAMPLES = st.one_of(
    st.builds(ChatExample, TALK, FIELDS),
    st.builds(CompletionExample, TEXTS, TEXTS, FIELDS, st.one_of(st.none(), TEXTS)),
    PAIRS,
)
MANY = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("format", FORMATS)
@MANY
@given(EXAMPLES)
def test_what_is_not_said_to_be_lost_is_read_back(format: Format, example: Example):
    if losses(example, format):
        return
    back = read_record(to_record(example, format))
    assert back.fields == example.fields
    if isinstance(example, CompletionExample):  # a text in a chat format becomes a question and its answer
        assert as_chat(back) == as_chat(example)
        assert type(back) is CompletionExample or format != "completion"
    else:
        assert back == example
    assert (back.rejected is None) == (example.rejected is None)


@pytest.mark.parametrize("format", FORMATS)
@MANY
@given(EXAMPLES)
def test_writing_what_was_written_again_changes_nothing(format: Format, example: Example):
    record = to_record(example, format)
    again = to_record(read_record(record), format)
    if not any("is read as these" in sentence for sentence in losses(example, format)):
        assert again == record


ASKED, ANSWER = Message("user", "q"), Message("assistant", "a")
SIMPLE = (
    ChatExample((ASKED, ANSWER)),
    ChatExample((ASKED,)),
    CompletionExample("q", "a"),
    CompletionExample("q", "a", {}, "b"),
    ChatExample((ASKED, ANSWER), {}, Rejected(1, (Message("assistant", "b"),))),
    ChatExample((ANSWER,), {}, Rejected(0, (Message("assistant", "b"),))),
)
TOGETHER = [*ANSWER_PAIRS, ("instruction", "output"), ("instruction", "input"), ("prompt", "completion")]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("names", [*((name,) for name in KNOWN), *TOGETHER], ids="+".join)
def test_no_name_of_a_leftover_field_changes_what_the_record_says(names: tuple[str, ...], format: Format):
    for bare in SIMPLE:
        for value in ("x", [{"role": "user", "content": "x"}], [["x", "y"]]):
            example = replace(bare, fields=dict.fromkeys(names, value))
            record = to_record(example, format)
            back = read_record(record)
            assert to_record(back, format) == record
            if losses(bare, format) == ():
                assert as_chat(back) == as_chat(bare)
                assert list(back.fields.values()) == [value] * len(names)
            if losses(example, format) == ():
                assert back.fields == example.fields


@MANY
@given(EXAMPLES, st.sampled_from(FORMATS))
def test_leftover_fields_survive_every_format(example: Example, format: Format):
    record = to_record(example, format)
    for field, value in example.fields.items():
        names = [name for name in record if name.startswith(field)]
        assert any(record[name] == value for name in names)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(KNOWN), VALUES, max_size=6))
def test_no_record_breaks_the_reader_and_nothing_in_it_is_lost(record: dict[str, Any]):
    """Every field is a part of the dialect, or stays a field of the example."""
    dialect = recognise(record)
    if dialect is None:
        return
    try:
        read = read_record(record)
    except DataError:  # any other error is the failure
        return
    assert record.keys() - dialect.parts.keys() - {"functions"} <= read.fields.keys()
    assert json.dumps(to_record(read, "openai"), default=str)
