"""The light tokenizer renders and tokenises as transformers does."""

import json
from pathlib import Path

import pytest
from faion_finetuner.core.errors import DataError, ModelError
from faion_finetuner.core.examples.chat import ChatTokenizer, tools_of
from faion_finetuner.core.examples.template import render
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Message
from faion_finetuner.core.lossless_json import Number

from tests.examples.made_tokenizers import FAMILIES, made_tokenizer
from tests.tiny import tiny_model

QUESTION = Message("user", "What is the capital of France? 🇫🇷")
ANSWER = Message("assistant", "  Paris, naïve 你好!\n\n## Why\n")
TALK = (QUESTION, ANSWER, Message("user", "and <b>&amp;</b> 'quotes'?"), Message("assistant", "Yes."))
SYSTEM = Message("system", "You are brief.")


def conversations(name: str) -> list[tuple[Message, ...]]:
    made = [TALK[:1], TALK[:2], TALK[:3], TALK]
    return made if name in ("no-system", "inst", "llama") else [*made, (SYSTEM, *TALK), (SYSTEM, *TALK[:1])]


def as_dicts(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def assert_same_as_transformers(folder: Path, talks: list[tuple[Message, ...]]) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    ours = ChatTokenizer.load(folder)
    for messages in talks:
        for asking in (False, True):
            text = theirs.apply_chat_template(as_dicts(messages), tokenize=False, add_generation_prompt=asking)
            ids = theirs.apply_chat_template(as_dicts(messages), add_generation_prompt=asking, return_dict=False)
            assert ours.render(messages, add_generation_prompt=asking) == text
            assert ours.encode(text) == ids
            assert ours.encode_with_offsets(text).ids == ids
            assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
            assert ours.decode(ids, skip_special=False) == theirs.decode(ids)
    for text in ("plain text", " a leading space", "", "naïve 你好 🇫🇷"):
        assert ours.count(text) == len(theirs.encode(text, add_special_tokens=False))
        assert ours.adds_bos == (theirs.encode("a") != theirs.encode("a", add_special_tokens=False))


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.template])
def test_text_and_tokens_equal_those_of_transformers(name: str, tmp_path: Path):
    assert_same_as_transformers(made_tokenizer(tmp_path, name), conversations(name))


def test_the_tiny_model_is_rendered_as_transformers_does(tmp_path: Path):
    folder = tiny_model(tmp_path / "tiny")
    assert_same_as_transformers(folder, [TALK, (SYSTEM, *TALK)])
    tokenizer = ChatTokenizer.load(folder)
    assert tokenizer.template_is_default is False
    assert [tokenizer.decode([token], skip_special=False) for token in tokenizer.eos_ids] == ["<|im_end|>"]


@pytest.mark.slow
def test_the_builtin_model_is_rendered_as_transformers_does():
    from faion_finetuner.core.models.source import local_path, resolve_model
    from faion_finetuner.core.settings import Settings

    settings = Settings.from_environment()
    folder = local_path(resolve_model("smollm2-135m-instruct", settings), settings)
    assert_same_as_transformers(folder, [TALK, (SYSTEM, *TALK)])


def test_tools_and_tool_calls_reach_the_template_as_in_transformers(tmp_path: Path):
    from transformers import AutoTokenizer

    folder = made_tokenizer(tmp_path, "calls")
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln", "days": [1, 2]}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    text = ChatTokenizer.load(folder).render([QUESTION, Message("assistant", "", tool_calls=(call,))], tools=tools)
    theirs = AutoTokenizer.from_pretrained(folder).apply_chat_template(
        [*as_dicts((QUESTION,)), {"role": "assistant", "content": "", "tool_calls": [call]}],
        tools=tools,
        tokenize=False,
    )
    assert text == theirs
    assert '<call>{"name": "weather", "arguments": {"city": "Köln", "days": [1, 2]}}</call>' in text
    written = {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
    assert (
        ChatTokenizer.load(folder).render([QUESTION, Message("assistant", "", tool_calls=(written,))], tools=tools)
        == text
    )


def test_a_template_without_tool_calls_gets_them_as_text_instead_of_losing_them(tmp_path: Path):
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}}
    tokenizer = ChatTokenizer.load(made_tokenizer(tmp_path, "chatml"))
    text = tokenizer.render([QUESTION, Message("assistant", "", tool_calls=(call,))])
    assert text.endswith('<|im_start|>assistant\n{"name": "weather", "arguments": {"city": "Köln"}}<|im_end|>\n')


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("chatml", ["<|im_end|>"]),
        ("chatml-base-eos", ["<|endoftext|>", "<|im_end|>"]),
        ("headers", ["<|endtext|>", "<|eot|>"]),
        ("no-system", ["<eos>", "<end_of_turn>"]),
        ("inst", ["</s>"]),
        ("unended", ["<|endoftext|>"]),
    ],
)
def test_the_token_that_ends_a_turn_is_learned_from_the_template(name: str, ends: list[str], tmp_path: Path):
    tokenizer = ChatTokenizer.load(made_tokenizer(tmp_path, name))
    assert list(tokenizer.end_texts) == ends
    assert tokenizer.eos_id == tokenizer.eos_ids[0]


def test_generation_config_names_more_tokens_to_stop_at(tmp_path: Path):
    folder = made_tokenizer(tmp_path, "unended")
    (folder / "generation_config.json").write_text('{"eos_token_id": [0, 5]}')
    assert ChatTokenizer.load(folder).eos_ids == (0, 5)


def test_a_model_without_template_gets_plain_chatml_that_ends_in_its_own_token(tmp_path: Path):
    tokenizer = ChatTokenizer.load(made_tokenizer(tmp_path, "no-template"))
    assert tokenizer.template_is_default is True
    assert tokenizer.render([SYSTEM, Message("user", "Hi")], add_generation_prompt=True) == (
        "<s><|im_start|>system\nYou are brief.</s>\n<|im_start|>user\nHi</s>\n<|im_start|>assistant\n"
    )
    folder = made_tokenizer(tmp_path / "chatml", "chatml")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    wanted = ChatTokenizer.load(folder).render(TALK)
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": None}))
    assert ChatTokenizer.load(folder).render(TALK) == wanted


def test_a_template_file_wins_over_the_configuration(tmp_path: Path):
    folder = made_tokenizer(tmp_path, "chatml")
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}")
    assert_same_as_transformers(folder, [TALK])
    assert ChatTokenizer.load(folder).render([QUESTION]) == QUESTION.content + "<|im_end|>"


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}{{ m.content }}{% endfor %}",
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
        "{{ messages | tojson }}{{ dict(a=1) | tojson(indent=2) }}{{ strftime_now('%Y-%m-%d') }}",
        "{{ messages[0].content[::-1] }}{{ messages[-1]['role'].upper() }}{{ unknown }}{{ pad_token }}",
        "  {% if true %}\n  x\n  {%- endif %}\n{{ messages | length }}\n",
    ],
)
def test_what_templates_may_use_works_as_in_transformers(template: str, tmp_path: Path):
    folder = made_tokenizer(tmp_path, "chatml")
    (folder / "chat_template.jinja").write_text(template)
    assert_same_as_transformers(folder, [TALK])


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ raise_exception('no') }}",
        "{{ messages[0]['content'] + 1 }}",
        "{{ 1 // (messages | length - messages | length) }}",
    ],
)
def test_a_template_that_breaks_out_or_fails_is_refused(template: str, tmp_path: Path):
    folder = made_tokenizer(tmp_path, "chatml")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(DataError, match="refuses the conversation"):
        ChatTokenizer.load(folder).render(TALK)


def test_a_refusal_of_the_template_is_told_in_its_words(tmp_path: Path):
    tokenizer = ChatTokenizer.load(made_tokenizer(tmp_path, "no-system"))
    with pytest.raises(DataError, match="«System role not supported»"):
        tokenizer.render([SYSTEM, QUESTION])


def test_broken_model_folders_are_named_with_what_to_do(tmp_path: Path):
    with pytest.raises(ModelError, match=r"No tokenizer\.json"):
        ChatTokenizer.load(tmp_path)
    folder = made_tokenizer(tmp_path / "a", "chatml")
    (folder / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(ModelError, match="not valid Jinja"):
        ChatTokenizer.load(folder)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json is not JSON"):
        ChatTokenizer.load(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="is not a tokenizer"):
        ChatTokenizer.load(folder)


def test_offsets_point_at_the_characters_of_each_token(tmp_path: Path):
    for name in FAMILIES:
        tokenizer = ChatTokenizer.load(made_tokenizer(tmp_path / name, name))
        text = "hello to you\n\n two  spaces"
        encoded = tokenizer.encode_with_offsets(text)
        assert [encoded] == list(tokenizer.encode_many([text]))
        covered = sorted({place for start, end in encoded.offsets for place in range(start, end)})
        assert covered == list(range(len(text))), name


def test_counts_of_many_texts_equal_counts_of_each(tmp_path: Path):
    tokenizer = ChatTokenizer.load(made_tokenizer(tmp_path, "headers"))
    texts = ["", "a", "hello to you", "你好"]
    assert tokenizer.count_many(texts) == [tokenizer.count(text) for text in texts]
    assert tokenizer.count_many([]) == []


def test_the_prompt_is_what_stands_before_the_last_answer(tmp_path: Path):
    tokenizer = ChatTokenizer.load(made_tokenizer(tmp_path, "no-template"))
    prompt = tokenizer.prompt(ChatExample((SYSTEM, *TALK)))
    assert tokenizer.render((SYSTEM, *TALK)).startswith(prompt)
    assert prompt.endswith("<|im_start|>assistant\n")
    assert tokenizer.prompt(CompletionExample("Once", " upon")) == "<s>Once"
    assert tokenizer.prompt(CompletionExample("<s>Once", " upon")) == "<s>Once"


def test_tool_definitions_are_read_from_a_list_or_from_json_text():
    assert tools_of(ChatExample((), {"tools": '[{"name": "a"}]'})) == [{"name": "a"}]
    assert tools_of(ChatExample((), {"tools": [{"name": "a"}]})) == [{"name": "a"}]
    assert tools_of(ChatExample((), {"tools": json.dumps([{"name": "a"}], indent=2)})) == [{"name": "a"}]
    assert tools_of(ChatExample((), {"tools": ""})) is None
    assert tools_of(ChatExample((), {})) is None
    assert tools_of(ChatExample((), {"tools": "hammer, saw"})) is None
    assert tools_of(ChatExample((), {"tools": ["hammer"]})) is None
    with pytest.raises(DataError, match="`tools` is not valid JSON"):
        tools_of(ChatExample((), {"tools": '[{"name": '}))
    with pytest.raises(DataError, match="`tools` is not valid JSON"):
        tools_of(ChatExample((), {"tools": '[\n  {"name": '}))


def test_pretty_printed_tool_definitions_reach_the_template(tmp_path: Path):
    folder = made_tokenizer(tmp_path, "no-template")
    (folder / "chat_template.jinja").write_text(
        "{{ tools | tojson }}{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    example = ChatExample(TALK, {"tools": json.dumps([{"name": "find_city"}], indent=2)})
    assert ChatTokenizer.load(folder).prompt(example).startswith('[{"name": "find_city"}]')


def test_a_number_whose_digits_were_kept_is_written_as_the_template_would_have_read_it():
    tools = [{"a": Number("1.10"), "b": [Number("123456789012345678901234567890")]}]
    template = "{{ tools|tojson }}"
    assert render(template, [], tools=tools) == '[{"a": 1.1, "b": [123456789012345678901234567890]}]'
