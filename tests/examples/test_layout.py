"""Joining a conversation's texts gives what its chat template writes, or is not done."""

from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError
from faion_finetuner.core.examples import mask
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.layout import VAIN, Layouts
from faion_finetuner.core.examples.mask import Rendered, render_example, tokenize
from faion_finetuner.core.examples.types import ChatExample, Message, Role
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples.made_tokenizers import FAMILIES, made_tokenizer

HEAD = "<|im_start|>{{ m.role }}\n"
EACH = "{% for m in messages %}"
ASK = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
# What templates of model families do with a text that needs no more than to write it.
WRITING = {
    "default-system": "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}" + ASK,
    "content-set": EACH
    + "{% set content = '<|im_start|>' + m['role'] + '\n' + m['content'] | trim + '<|im_end|>' %}"
    + "{% if loop.index0 == 0 %}{% set content = '<|endoftext|>' + content %}{% endif %}{{ content }}{% endfor %}"
    + ASK,
    "system-collected": "{% set ns = namespace(system='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{% set ns.system = ns.system + m['content'] + '\n' %}{% endif %}{% endfor %}{{ ns.system }}"
    "{% for m in messages %}{% if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "sliced": "{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'].strip() %}"
    "{% set rest = messages[1:] %}{% else %}{% set first = 'none' %}{% set rest = messages %}{% endif %}{{ first }}"
    "{% for m in rest %}" + HEAD + "{{ m['content'].strip() }}<|im_end|>\n{% endfor %}" + ASK,
    "filled": EACH
    + HEAD
    + "{% if m.content is string and m.content %}{{ m.content }}{% else %}?{% endif %}"
    + "{% if m.content == '' or m.content is none %}empty{% endif %}<|im_end|>\n{% endfor %}"
    + ASK,
    "joined": EACH + HEAD + "{{ '(' ~ m.content ~ ')' }}<|im_end|>\n{% endfor %}" + ASK,
    "chosen": "{% set system = messages | selectattr('role', 'equalto', 'system') | list %}{{ system | length }}"
    + EACH
    + HEAD
    + "{{ m.content | default('') }}<|im_end|>\n{% endfor %}"
    + ASK,
    # A look for a constant: texts without it are written, others are left to the template.
    "thinking": EACH
    + "{% set text = m.content %}{% if '</think>' in m.content %}{% set text = m.content.split('</think>')[-1]"
    + ".lstrip('\n') %}{% endif %}"
    + HEAD
    + "{{ text }}<|im_end|>\n{% endfor %}"
    + ASK,
    "tool-reply": EACH
    + "{% if m.role == 'user' and not (m.content.startswith('<tool>') and m.content.endswith('</tool>')) %}"
    + "{{ m.content }}{% else %}[{{ m.content.replace('<tool>', '') }}]{% endif %}<|im_end|>\n{% endfor %}"
    + "{% if add_generation_prompt %}[{% endif %}",
}
# What makes the text matter.
READING = {
    "upper": EACH + HEAD + "{{ m.content | upper }}<|im_end|>\n{% endfor %}" + ASK,
    "upper-method": EACH + HEAD + "{{ m.content.upper() }}<|im_end|>\n{% endfor %}" + ASK,
    "json": EACH + HEAD + "{{ m.content | tojson }}<|im_end|>\n{% endfor %}" + ASK,
    "json-of-all": "{{ messages | tojson }}" + EACH + HEAD + "{{ m.content }}<|im_end|>\n{% endfor %}" + ASK,
    "escaped": EACH + HEAD + "{{ m.content | e }}<|im_end|>\n{% endfor %}" + ASK,
    "length": EACH + HEAD + "{{ m.content | length }}{{ m.content }}<|im_end|>\n{% endfor %}" + ASK,
    "first-letter": EACH + HEAD + "{{ m.content[0] }}{{ m.content }}<|im_end|>\n{% endfor %}" + ASK,
    "letters": EACH + HEAD + "{% for c in m.content %}{{ c }}{% endfor %}<|im_end|>\n{% endfor %}" + ASK,
    "in-a-constant": EACH + HEAD + "{{ m.content in 'Yes. No.' }}{{ m.content }}<|im_end|>\n{% endfor %}" + ASK,
    "in-a-list": EACH + HEAD + "{{ m.content in ['a', 'b'] }}{{ m.content }}<|im_end|>\n{% endfor %}" + ASK,
    "set-block": EACH
    + "{% set x %}{{ m.content }}{% endset %}{{ 'a' in x }}"
    + HEAD
    + "{{ x }}<|im_end|>\n{% endfor %}"
    + ASK,
    "joined-then-read": EACH
    + "{% set x = 'b' ~ m.content %}{{ 'ba' in x }}"
    + HEAD
    + "{{ x }}<|im_end|>\n{% endfor %}"
    + ASK,
    "added-then-read": EACH
    + "{% set x = 'b' + m.content %}{{ 'ba' in x }}"
    + HEAD
    + "{{ x }}<|im_end|>\n{% endfor %}"
    + ASK,
    "macro-read": EACH
    + "{% macro say() %}{{ messages[0].content }}{% endmacro %}{{ 'a' in say() }}"
    + HEAD
    + "{{ m.content }}<|im_end|>\n{% endfor %}"
    + ASK,
    "passed-on": EACH + HEAD + "{{ 'a, b'.replace(m.content, '!') }}{{ m.content }}<|im_end|>\n{% endfor %}" + ASK,
    "formatted": EACH + HEAD + "{{ '%s' % m.content }}{{ '%.1s' % m.content }}<|im_end|>\n{% endfor %}" + ASK,
    "compared": EACH + HEAD + "{{ m.content < 'b' }}{{ m.content }}<|im_end|>\n{% endfor %}" + ASK,
    "stripped-of-letters": EACH + HEAD + "{{ m.content.strip('a') or 'x' }}<|im_end|>\n{% endfor %}" + ASK,
    "joined-list": EACH
    + HEAD
    + "{{ 'a' in (messages | map(attribute='content') | join) }}{{ m.content }}<|im_end|>\n{% endfor %}"
    + ASK,
    "repeated": EACH + HEAD + "{{ m.content * 2 }}<|im_end|>\n{% endfor %}" + ASK,
}
ALL = {name: family.template for name, family in FAMILIES.items() if family.template} | WRITING | READING
TALKS: tuple[tuple[Role, ...], ...] = (
    ("user", "assistant"),
    ("system", "user", "assistant"),
    ("user", "assistant", "user", "assistant"),
    ("user", "assistant", "assistant", "tool", "assistant"),
    ("assistant",),
    ("user",),
    ("user", "assistant", "user"),
)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ChatTokenizer]:
    made = {}
    for name, template in ALL.items():
        folder = made_tokenizer(tmp_path_factory.mktemp(name), name if name in FAMILIES else "chatml")
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        made[name] = ChatTokenizer.load(folder)
    return made


def talk(roles: tuple[Role, ...], texts: list[str]) -> ChatExample:
    return ChatExample(tuple(Message(role, text) for role, text in zip(roles, texts, strict=False)))


def by_template(example: ChatExample, tokenizer: ChatTokenizer) -> Rendered | str:
    try:
        return mask._rendered_chat(example, tokenizer)
    except DataError as error:
        return error.problem


def by_joining(example: ChatExample, tokenizer: ChatTokenizer) -> Rendered | None:
    """The fast way alone, without the comparison that `render_example` makes now and then."""
    written = tokenizer.layouts.write(example)
    if written is None:
        return None
    ended = (mask._ended(written.text, start, end, tokenizer.end_texts) for start, end in written.answers)
    return Rendered(written.text, tuple(ended))


TEXTS = ["a", "Paris is\n\nbig.", " spaced \n", "x <|im_end|>", "</think>b", "<tool>c</tool>", "{{ a }}", "你好 🇫🇷"]


@pytest.mark.parametrize("name", list(WRITING))
def test_templates_that_only_write_texts_are_not_run_again(name: str, tokenizers: dict[str, ChatTokenizer]):
    tokenizer, example = tokenizers[name], talk(TALKS[1], ["Be brief.", "Why?", "So."])
    assert by_joining(example, tokenizer) == by_template(example, tokenizer)


@pytest.mark.parametrize("name", list(READING))
def test_templates_that_read_a_text_are_run_for_each(name: str, tokenizers: dict[str, ChatTokenizer]):
    assert all(by_joining(talk(roles, TEXTS), tokenizers[name]) is None for roles in TALKS)


@pytest.mark.parametrize("name", list(ALL))
@given(roles=st.sampled_from(TALKS), data=st.data())
@settings(deadline=None, max_examples=40, derandomize=True)
def test_text_and_answers_are_those_of_the_template(
    name: str, roles: tuple[Role, ...], data: st.DataObject, tokenizers: dict[str, ChatTokenizer]
):
    text = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
    example = talk(roles, data.draw(st.lists(text, min_size=5, max_size=5)))
    joined = by_joining(example, tokenizers[name])
    assert joined is None or joined == by_template(example, tokenizers[name])


def test_what_a_layout_does_not_know_is_left_to_the_template(tokenizers: dict[str, ChatTokenizer]):
    tokenizer = tokenizers["thinking"]
    ask = Message("user", "Why?")
    for answer in (
        Message("assistant", "hm</think>So."),
        Message("assistant", " \n"),
        Message("assistant", "So.", fields={"weight": 0}),
        Message("assistant", "So.", name="bob"),
        Message("assistant", "So.", tool_calls=({"function": {"name": "f", "arguments": "{}"}},)),
    ):
        assert tokenizer.layouts.write(ChatExample((ask, answer))) is None
    assert tokenizer.layouts.write(ChatExample((ask, Message("assistant", "So.")))) is not None


def test_tools_are_left_to_the_template(tmp_path: Path):
    tokenizer = ChatTokenizer.load(made_tokenizer(tmp_path, "calls"))
    example = ChatExample((Message("user", "Hi"), Message("assistant", "Ho")), {"tools": [{"name": "hammer"}]})
    assert "hammer" in render_example(example, tokenizer).text


def test_a_layout_that_is_found_wrong_ends_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tokenizer = ChatTokenizer.load(made_tokenizer(tmp_path, "chatml"))
    example = ChatExample((Message("user", "Hi"), Message("assistant", "Ho")))
    right = tokenize(example, tokenizer, None)
    wrong = tokenizer.layouts.write(example)
    assert wrong is not None
    monkeypatch.setattr(Layouts, "write", lambda *_: wrong._replace(text="Hu" + wrong.text, check=True))
    assert tokenize(example, tokenizer, None) == right
    monkeypatch.undo()
    assert tokenizer.layouts.write(example) is None


def test_a_template_that_is_opaque_again_and_again_is_not_studied_for_ever(monkeypatch: pytest.MonkeyPatch):
    studied: list[Any] = []
    monkeypatch.setattr(
        "faion_finetuner.core.examples.skeleton._tracing", lambda template: studied.append(template) or 1 / 0
    )
    layouts = Layouts("{{ 1 }}", {})
    for turns in range(1, 4 * VAIN):
        assert layouts.write(ChatExample((Message("user", "a"),) * turns)) is None
    assert len(studied) == VAIN
