"""Prompt templates write the question; what they could break is out of their reach."""

import pickle
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError, InputError
from faion_finetuner.core.examples.dialects import recognise
from faion_finetuner.core.examples.prompt_template import PromptTemplate, read_with_template
from faion_finetuner.core.examples.types import ChatExample, Message, Rejected
from faion_finetuner.core.lossless_json import Number

RECORD = {
    "text": "so ü",
    "n": Number("1.10"),
    "tags": ["a", "b"],
    "deep": {"text": ["q"]},
    "two words": "w",
    "no": None,
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Classify: {{ text }}\n", "Classify: so ü\n"),
        ("{{ n }} {{ tags }} {{ deep.text[0] }} {{ no }}|", '1.10 ["a", "b"] q |'),
        ('{{ record["two words"] }} {{ record.text }} {{ record.get("gone", "-") }}', "w so ü -"),
        ("{% for tag in tags %}{{ loop.index }}. {{ tag }}\n{% endfor %}", "1. a\n2. b\n"),
        ("{{ tags|join(', ') }} {{ tags|map('upper')|join }} {{ deep|tojson }}", 'a, b AB {"text": ["q"]}'),
        ("{{ text.replace('so', 'no') ~ '!' }}{{ 1 + 2 }}{{ 'a' + 'b' }}", "no ü!3ab"),
        ("{% if no %}x{% elif gone is defined %}y{% else %}z{% endif %}{{ gone|default('d') }}", "zd"),
        ("{% set a = text|upper %}{{ a }}", "SO Ü"),
    ],
)
def test_a_template_writes_the_prompt_of_a_records_fields(source: str, text: str):
    template = PromptTemplate(source)
    assert template.render(RECORD) == text
    assert pickle.loads(pickle.dumps(template)).render(RECORD) == text


def test_a_template_knows_the_fields_that_it_uses():
    source = (
        "{{ a }}{% if b %}{% for x in c %}{{ x }}{% endfor %}{% endif %}{{ record['d e'] }}{{ record.f.g }}{{ h.i }}"
    )
    assert PromptTemplate(source).fields == {"a", "b", "c", "d e", "f", "h"}


def test_a_field_that_is_missing_is_named():
    with pytest.raises(DataError, match="'topic' is undefined"):
        PromptTemplate("{{ topic }}").render(RECORD)


@pytest.mark.parametrize(
    "source",
    [
        "{{ oops",
        "{% macro f() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% block x %}{% endblock %}",
        "{% set x %}{% endset %}",
        "{{ text|attr('__class__') }}",
        "{{ text|center(1000000000) }}",
        "{% for x in tags %}" * 3 + "{% endfor %}" * 3,
        "{% for x in tags recursive %}{{ loop(x) }}{% endfor %}",
        "x" * 30_000,
        "{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}",
    ],
)
def test_what_a_prompt_has_no_use_for_is_refused_at_once(source: str):
    with pytest.raises(InputError, match="The prompt template"):
        PromptTemplate(source)


def doubled(step: str) -> str:
    return "{% set a = text %}" + f"{{% set a = {step} %}}" * 40 + "{{ a }}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ text.__class__.__mro__ }}",
        "{{ record['text'].__init__ }}",
        "{{ tags|map(attribute='__class__')|list }}",
        "{{ text.format() }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ text.ljust(1000000000) }}",
        "{{ text.encode() }}",
        "{{ tags.append(1) }}",
        "{{ record.update({}) }}",
        "{{ text() }}",
        "{{ range(9) }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 1 / 0 }}",
        "{% for c in long %}{% endfor %}",
        "{% for c in text * 9 %}{% endfor %}",
        "{{ long }}{{ long }}",
        "{{ long|replace('l', long) }}",
        "{{ long|join(long) }}",
        doubled("a ~ a"),
        doubled("a + a"),
        doubled("a|replace('s', a)"),
        doubled("a.replace('s', a)"),
        doubled("[a, a]|join"),
        "{% set a = 9 %}" + "{% set a = a * a %}" * 40 + "{{ a }}",
        "{% set a = tags %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
    ],
)
def test_no_template_reaches_out_or_grows_without_bound(source: str):
    with pytest.raises(DataError, match="The prompt template"):
        PromptTemplate(source).render({**RECORD, "long": "l" * 600_000})


def read(record: dict[str, Any], source: str, columns: dict[str, str] | None = None) -> Any:
    return read_with_template(record, recognise(record, columns), PromptTemplate(source))


def chat(*turns: tuple[Any, str], **fields: Any) -> ChatExample:
    return ChatExample(tuple(Message(role, text) for role, text in turns), fields)


def test_the_template_writes_the_question_and_the_dialect_finds_the_rest():
    record = {"system": "S", "instruction": "do", "input": "this", "output": "done", "id": 1}
    asked = chat(("system", "S"), ("user", "Please do: this"), ("assistant", "done"), id=1)
    assert read(record, "Please {{ instruction }}: {{ input }}") == asked
    assert read(record, "Please {{ instruction }}") == ChatExample(
        chat(("system", "S"), ("user", "Please do"), ("assistant", "done")).messages, {"id": 1, "input": "this"}
    )


def test_earlier_turns_stay_before_the_written_question():
    record = {"instruction": "c", "output": "d", "history": [["a", "b"]]}
    expected = chat(("user", "a"), ("assistant", "b"), ("user", "<c>"), ("assistant", "d"))
    assert read(record, "<{{ instruction }}>") == expected


@pytest.mark.parametrize(
    ("record", "columns", "answer"),
    [
        ({"prompt": "x", "completion": "y"}, None, "y"),
        ({"question": "x", "choices": ["v", "w"], "answer": 1}, None, "B. w"),
        ({"name": "Ann", "town": "Rome", "answer": "y"}, None, "y"),
        ({"name": "Ann", "town": "Rome", "said": "y"}, {"said": "assistant"}, "y"),
        ({"text": "t", "category": "y", "author": "z"}, {"category": "assistant"}, "y"),
    ],
)
def test_any_record_with_an_answer_can_be_asked(record: dict[str, Any], columns: dict[str, str] | None, answer: str):
    example = read(record, "Q", columns)
    assert [(m.role, m.content) for m in example.messages] == [("user", "Q"), ("assistant", answer)]


def test_both_answers_of_a_pair_follow_the_written_question():
    for name in ("prompt", "question"):
        example = read({name: "x", "chosen": "y", "rejected": "z"}, f"<{{{{ {name} }}}}>")
        expected = chat(("user", "<x>"), ("assistant", "y")).messages
        assert example == ChatExample(expected, {}, Rejected(1, (Message("assistant", "z"),)))


@pytest.mark.parametrize(
    "record", [{"text": "x"}, {"name": "x"}, {"messages": [{"role": "user", "content": "x"}]}, {"turns": ["a", "b"]}]
)
def test_a_record_without_an_answer_or_with_turns_is_refused(record: dict[str, Any]):
    with pytest.raises(DataError, match=r"no answer|a conversation"):
        read(record, "Q")
