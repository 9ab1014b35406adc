"""Tool calls as each family of models writes them, whole, cut, broken, and in the form of another family."""

import json
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.evaluate import call_reader
from faion_finetuner.core.evaluate.expected_calls import Expected
from faion_finetuner.core.evaluate.scoring.call_bodies import Call
from faion_finetuner.core.evaluate.scoring.written_calls import (
    BARE,
    FORMS,
    Called,
    Fault,
    Form,
    from_provider,
    in_form,
)
from faion_finetuner.core.examples.chat import ChatTokenizer

from tests.examples.made_tokenizers import FAMILIES, Family, made_tokenizer

HERMES, MISTRAL, LFM, PHI, GEMMA, _, GPT_OSS, _ = FORMS
ONE = Call("book", {"to": "Rome", "seats": 2, "vip": True})
TWO = Call("weather.now", {"at": "Oslo"})
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {"properties": {"to": {"type": "string"}, "seats": {"type": "integer"}, "vip": {}}},
        },
    }
]
TYPED = [{"name": "book", "parameters": {"properties": {"seats": {"type": "integer"}, "vip": {"type": "boolean"}}}}]
ARGUMENTS = '{"to": "Rome", "seats": 2, "vip": true}'


def named(name: str, arguments: str, key: str = "arguments") -> str:
    return json.dumps({"name": name, key: json.loads(arguments)})


FIRST, SECOND = named("book", ARGUMENTS), named("weather.now", '{"at": "Oslo"}')


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (HERMES, f"<tool_call>\n{FIRST}\n</tool_call>\n<tool_call>\n{SECOND}\n</tool_call>"),
        (HERMES, f"<think>\n<tool_call> or not?\n</think>\n\n<tool_call>{FIRST}</tool_call><tool_call>{SECOND}"),
        (HERMES, f"Let me look.\n<tool_call>[{FIRST}, {SECOND}]</tool_call>"),
        (MISTRAL, f"[TOOL_CALLS] [{FIRST}, {SECOND}]"),
        (MISTRAL, f'[TOOL_CALLS]book[ARGS]{ARGUMENTS}[TOOL_CALLS]weather.now[CALL_ID]abcDEF123[ARGS]{{"at": "Oslo"}}'),
        (LFM, "<|tool_call_start|>[book(to='Rome', seats=2, vip=true), weather.now(at=\"Oslo\")]<|tool_call_end|>"),
        (PHI, f"<|tool_call|>[{FIRST}, {SECOND}]<|/tool_call|>"),
        (
            GEMMA,
            '<|tool_call>call:book{to:<|"|>Rome<|"|>,seats:2,vip:true}<tool_call|>'
            '<|tool_call>call:weather.now{at:<|"|>Oslo<|"|>}<tool_call|><|tool_response>',
        ),
        (
            GPT_OSS,
            f"<|channel|>commentary to=functions.book <|constrain|>json<|message|>{ARGUMENTS}<|call|>"
            ' to=functions.weather.now<|channel|>commentary json<|message|>{"at": "Oslo"}',
        ),
        (BARE, f"<|python_tag|>{named('book', ARGUMENTS, 'parameters')}; {SECOND}"),
        (BARE, f"[{FIRST}, {SECOND}]"),
        (BARE, f"I will do both.\n[{FIRST}, {SECOND}]"),
        (BARE, f"```json\n[{FIRST}, {SECOND}]\n```"),
        (BARE, "[book(to='Rome', seats=2, vip=True), weather.now(at='Oslo')]"),
        (Form("<call>", "</call>"), f"<call>{FIRST}</call><call>{SECOND}</call>"),
    ],
)
def test_the_calls_of_each_family_are_read(form: Form, text: str):
    assert in_form(form, text, []) == Called((ONE, TWO))


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\n<function=book>\n<parameter=to>\nRome\n</parameter>\n<parameter=seats>\n2\n</parameter>\n"
        "<parameter=vip>\nTrue\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>book\n<arg_key>to</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>seats</arg_key>\n"
        "<arg_value>2</arg_value>\n<arg_key>vip</arg_key>\n<arg_value>true</arg_value>\n</tool_call>",
    ],
)
def test_values_without_quotes_get_the_type_that_their_tool_defines(text: str):
    assert in_form(HERMES, text, TYPED) == Called((ONE,))
    assert in_form(HERMES, text, []).calls[0].arguments["seats"] == "2"


@pytest.mark.parametrize(
    ("form", "text", "fault"),
    [
        (HERMES, '<tool_call>\n{"name": "book", "arguments": {"to": "Ro', "never closed"),
        (HERMES, "<tool_call>\n", "never closed"),
        (HERMES, '<tool_call>\n{"name": "book", "arguments": {"to": Rome}}\n</tool_call>', "malformed"),
        (HERMES, '<tool_call>\n{"name": "book", "arguments": {"to": "Rome"}\n</tool_call>', "malformed"),
        (HERMES, '<tool_call>{"name": "book", "arguments": "{\\"to\\": 1}"}</tool_call>', "malformed"),
        (HERMES, '<tool_call>{"arguments": {}}</tool_call>', "malformed"),
        (HERMES, '<tool_call>{"name": "book", "arguments": {"seats": ' + "9" * 5_000 + "}}</tool_call>", "malformed"),
        (HERMES, "<tool_call>\n<function=book>\n<parameter=to>\nRo", "never closed"),
        (HERMES, "<tool_call>book\n<arg_key>to</arg_key>\n<arg_value>Ro", "never closed"),
        (HERMES, f"[TOOL_CALLS] [{FIRST}]", "in another form"),
        (HERMES, FIRST, "in another form"),
        (MISTRAL, f"[TOOL_CALLS] [{FIRST}, ", "never closed"),
        (LFM, "<|tool_call_start|>[book(to='Ro", "never closed"),
        (LFM, "<|tool_call_start|>[book('Rome')]<|tool_call_end|>", "malformed"),
        (GEMMA, '<|tool_call>call:book{to:<|"|>Ro', "never closed"),
        (BARE, '{"name": "book", "parameters": {"to": "Ro', "never closed"),
        (BARE, f"{FIRST} is what I call", "malformed"),
        (BARE, f"<tool_call>\n{FIRST}\n</tool_call>", "in another form"),
        (BARE, '{"name": "book", "arguments": ["Rome"]}', "malformed"),
    ],
)
def test_what_no_server_could_read_is_told_by_its_fault(form: Form, text: str, fault: Fault):
    assert in_form(form, text, TOOLS) == Called(faults=(fault,))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    ["", "It is sunny in Oslo.", '{"name": "Ann", "age": 3}', '{"colour": "red"}', "[1, 2]", "{[", '{"name": 3}'],
)
def test_other_answers_are_no_calls(form: Form, text: str):
    assert in_form(form, text, TOOLS) == Called()


def test_a_broken_call_beside_a_good_one_counts_as_well():
    found = in_form(HERMES, f"<tool_call>{FIRST}</tool_call><tool_call>{{</tool_call>", [])
    assert found == Called((ONE,), ("malformed",))
    assert json.loads(found.as_json()) == [json.loads(FIRST), {"unreadable": "malformed"}]


def test_the_calls_of_a_provider_are_read_from_their_json_text():
    calls = [{"id": "c", "type": "function", "function": {"name": "book", "arguments": ARGUMENTS}}]
    assert from_provider(calls) == Called((ONE,))
    broken = [{"id": "c", "type": "function", "function": {"name": "book", "arguments": '{"to": '}}]
    assert from_provider([*calls, *broken]) == Called((ONE,), ("malformed",))


WRITES = {
    "<tool_call>…</tool_call>": "'<tool_call>\n' + (call.function | tojson) + '\n</tool_call>'",
    "[TOOL_CALLS]…": "'[TOOL_CALLS]' + call.function.name + '[ARGS]' + (call.function.arguments | tojson)",
    "<odd>…</odd>": "'<odd>' + (call.function | tojson) + '</odd>'",
    "plain JSON": """'{"name":"' ~ call.function.name ~ '","parameters":' ~ call.function.arguments | tojson ~ '}'""",
}


def tokenizer_writing(folder: Path, writes: str | None, **config: Any) -> ChatTokenizer:
    calls = "{% for call in m.tool_calls or [] %}{{ " + writes + " }}{% endfor %}" if writes else ""
    template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}" + calls + "{{ '<|im_end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    FAMILIES["writing"] = Family(template, specials, eos="<|im_end|>", config=config)
    try:
        return ChatTokenizer.load(made_tokenizer(folder, "writing"))
    finally:
        del FAMILIES["writing"]


@pytest.mark.parametrize("form", WRITES)
def test_the_form_is_the_one_that_the_chat_template_writes(form: str, tmp_path: Path):
    assert call_reader.learn(tokenizer_writing(tmp_path, WRITES[form])).form == form


def test_a_template_that_knows_no_calls_leaves_them_to_be_written_as_plain_json(tmp_path: Path):
    reader = call_reader.learn(tokenizer_writing(tmp_path, None))
    assert reader.form == "plain JSON"
    assert reader.called(FIRST, "", Expected(())) == Called((ONE,))


def test_an_unknown_form_is_shown_and_every_known_one_tried(tmp_path: Path):
    reader = call_reader.learn(tokenizer_writing(tmp_path, "'CALL ' + call.function.name"))
    assert (reader.form, reader.example) == (None, "CALL zq_find")
    assert reader.called(f"[TOOL_CALLS] [{FIRST}]", "", Expected(())) == Called((ONE,))
    assert reader.called("Hello.", "", Expected(())) == Called()


def test_the_tokenizers_own_response_template_reads_calls_as_transformers_does(tmp_path: Path):
    pytest.importorskip("transformers.utils.chat_parsing")
    calls = {
        "open": "<<",
        "close": ">>",
        "repeats": True,
        "content": "json",
        "transform": {"type": "function", "function": "{content}"},
    }
    template = {
        "start_anchor": "<|im_start|>assistant\n",
        "defaults": {"role": "assistant"},
        "fields": {"tool_calls": calls, "content": {"content": "text"}},
    }
    tokenizer = tokenizer_writing(tmp_path, "'<<' + (call.function | tojson) + '>>'", response_template=template)
    reader = call_reader.learn(tokenizer)
    assert reader.form == "the tokenizer's response_template"
    assert reader.called(f"Well. <<{FIRST}>><<{SECOND}>>", "", Expected(())) == Called((ONE, TWO))
    assert reader.called("<<{no", "", Expected(())) == Called(faults=("malformed",))
    assert reader.called("Well.", "", Expected(())) == Called()
