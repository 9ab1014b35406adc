"""What is trained, proved by decoding the trained tokens."""

from pathlib import Path

import pytest
from faion_finetuner.core.errors import DataError
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.dialects import read_record
from faion_finetuner.core.examples.mask import (
    NOT_TRAINED,
    Tokenized,
    render_example,
    tokenize,
    tokenize_many,
    tokenize_rendered,
)
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Message

from tests.examples.made_tokenizers import FAMILIES, made_tokenizer

Q, A, Q2, A2 = (
    Message("user", "What is the capital of France?"),
    Message("assistant", "Paris 🇫🇷, naïve 你好."),
    Message("user", "And you? Say </s> or <|im_end|>"),
    Message("assistant", "I am too!\n\nYes"),
)
SYSTEM = Message("system", "assistant: be brief")


def load(tmp_path: Path, name: str) -> ChatTokenizer:
    return ChatTokenizer.load(made_tokenizer(tmp_path / name, name))


def stretches(tokenized: Tokenized, tokenizer: ChatTokenizer) -> list[str]:
    """The text of each unbroken run of trained tokens."""
    runs: list[list[int]] = [[]]
    for label in tokenized.labels:
        if label == NOT_TRAINED:
            runs.append([])
        else:
            runs[-1].append(label)
    return [tokenizer.decode(run, skip_special=False) for run in runs if run]


def assert_sound(tokenized: Tokenized) -> None:
    """Labels are the tokens themselves or -100, and the count is the count."""
    pairs = list(zip(tokenized.input_ids, tokenized.labels, strict=True))
    assert all(label in (NOT_TRAINED, token) for token, label in pairs)
    assert tokenized.trained_tokens == sum(label != NOT_TRAINED for _, label in pairs)


CASES = {
    "chatml": ([A.content + "<|im_end|>", A2.content + "<|im_end|>"], 0),
    "chatml-base-eos": ([A.content + "<|im_end|>", A2.content + "<|im_end|>"], 0),
    "headers": ([A.content + "<|eot|>", A2.content + "<|eot|>"], 0),
    "no-system": ([A.content + "<end_of_turn>", A2.content + "<end_of_turn>"], 0),
    "inst": ([A.content + "</s>", A2.content + "</s>"], 0),
    "llama": ([A.content + "</s>", A2.content + "</s>"], 0),
    "thinking": ([A.content + "<|im_end|>", A2.content + "<|im_end|>"], 2),
    "end-of-all": ([A.content + "<|end|>", A2.content + "<|end|>"], 1),
    "unended": ([A.content, A2.content], 0),
    "calls": ([A.content + "<|im_end|>", A2.content + "<|im_end|>"], 0),
    "no-template": ([A.content + "</s>", A2.content + "</s>"], 0),
}


@pytest.mark.parametrize("name", list(FAMILIES))
def test_exactly_the_answers_and_their_end_of_turn_tokens_are_trained(name: str, tmp_path: Path):
    tokenizer = load(tmp_path, name)
    tokenized = tokenize(ChatExample((Q, A, Q2, A2)), tokenizer, None)
    assert_sound(tokenized)
    expected, located = CASES[name]
    assert [text.strip() for text in stretches(tokenized, tokenizer)] == expected
    assert tokenized.located_turns == located
    assert tokenized.unended_turns == (2 if name == "unended" else 0)
    assert tokenized.input_ids == tokenizer.encode(tokenizer.render((Q, A, Q2, A2)))
    assert (tokenized.lost_tokens, tokenized.lost_trained_tokens) == (0, 0)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "thinking"])  # it asks with text of its own
def test_training_continues_the_very_tokens_that_generation_starts_from(name: str, tmp_path: Path):
    tokenizer = load(tmp_path, name)
    example = ChatExample((Q, A, Q2, A2))
    tokenized, prompt = tokenize(example, tokenizer, None), tokenizer.encode(tokenizer.prompt(example))
    assert tokenized.input_ids[: len(prompt)] == prompt
    assert tokenized.labels[len(prompt)] == tokenized.input_ids[len(prompt)]
    assert tokenized.labels[len(prompt) - 1] == NOT_TRAINED


def test_system_and_tool_turns_are_read_but_not_trained(tmp_path: Path):
    tokenizer = load(tmp_path, "headers")
    tokenized = tokenize(ChatExample((SYSTEM, Q, A, Message("tool", "42"), A2)), tokenizer, None)
    assert stretches(tokenized, tokenizer) == [A.content + "<|eot|>", A2.content + "<|eot|>"]


def test_one_trained_stretch_has_no_line_break_of_the_template(tmp_path: Path):
    tokenizer = load(tmp_path, "chatml")
    tokenized = tokenize(ChatExample((Q, A)), tokenizer, None)
    assert tokenizer.decode(tokenized.input_ids, skip_special=False).endswith("<|im_end|>\n")
    assert tokenized.labels[-2:] == [tokenizer.eos_id, NOT_TRAINED]


@pytest.mark.parametrize("name", ["chatml", "headers", "no-system", "thinking", "end-of-all"])
def test_an_empty_answer_trains_only_the_end_of_the_turn(name: str, tmp_path: Path):
    tokenizer = load(tmp_path, name)
    tokenized = tokenize(ChatExample((Q, Message("assistant", ""), Q2, Message("assistant", ""))), tokenizer, None)
    assert_sound(tokenized)
    ends = {"headers": "<|eot|>", "no-system": "<end_of_turn>", "end-of-all": "<|end|>"}
    assert [text.strip() for text in stretches(tokenized, tokenizer)] == [ends.get(name, "<|im_end|>")] * 2


def test_a_short_answer_that_also_stands_in_the_template_is_found_in_its_own_place(tmp_path: Path):
    tokenizer = load(tmp_path, "thinking")
    turns = (Message("user", "a"), Message("assistant", "a"), Message("user", "user"), Message("assistant", "user"))
    tokenized = tokenize(ChatExample(turns), tokenizer, None)
    assert stretches(tokenized, tokenizer) == ["a<|im_end|>", "user<|im_end|>"]


def test_thinking_is_trained_where_the_template_keeps_it(tmp_path: Path):
    tokenizer = load(tmp_path, "thinking")
    first, last = (
        Message("assistant", "<think>\nhm\n</think>\nParis"),
        Message("assistant", "<think>\nso\n</think>\nYes"),
    )
    tokenized = tokenize(ChatExample((Q, first, Q2, last)), tokenizer, None)
    assert stretches(tokenized, tokenizer) == ["Paris<|im_end|>", "so\n</think>\nYes<|im_end|>"]
    assert tokenized.located_turns == 1  # the last one continues the generation prompt


def test_an_answer_weighted_zero_is_not_trained(tmp_path: Path):
    tokenizer = load(tmp_path, "chatml")
    unweighted = Message("assistant", A.content, fields={"weight": 0})
    tokenized = tokenize(ChatExample((Q, unweighted, Q2, A2)), tokenizer, None)
    assert stretches(tokenized, tokenizer) == [A2.content + "<|im_end|>"]


def test_tool_calls_are_trained_as_the_template_writes_them(tmp_path: Path):
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}}
    turns = (Q, Message("assistant", "", tool_calls=(call,)), Message("tool", "rain"), A2)
    for name, written in (
        ("calls", '<call>{"name": "weather", "arguments": {"city": "Köln"}}</call>'),
        ("chatml", '{"name": "weather", "arguments": {"city": "Köln"}}'),
        ("thinking", '{"name": "weather", "arguments": {"city": "Köln"}}'),
    ):
        tokenizer = load(tmp_path, name)
        tokenized = tokenize(ChatExample(turns, {"tools": [{"name": "weather"}]}), tokenizer, None)
        assert stretches(tokenized, tokenizer) == [written + "<|im_end|>", A2.content + "<|im_end|>"]


def test_a_conversation_without_an_answer_trains_nothing(tmp_path: Path):
    tokenized = tokenize(ChatExample((Q,)), load(tmp_path, "chatml"), None)
    assert tokenized.trained_tokens == 0
    assert set(tokenized.labels) == {NOT_TRAINED}


def test_a_conversation_that_begins_with_an_answer_is_trained(tmp_path: Path):
    tokenizer = load(tmp_path, "chatml")
    assert stretches(tokenize(ChatExample((A,)), tokenizer, None), tokenizer) == [A.content + "<|im_end|>"]


def test_cutting_keeps_the_first_tokens_and_counts_what_is_lost(tmp_path: Path):
    tokenizer = load(tmp_path, "chatml")
    whole = tokenize(ChatExample((Q, A)), tokenizer, None)
    prompt = whole.labels.index(next(label for label in whole.labels if label != NOT_TRAINED))
    for kept in (0, 1, prompt, prompt + 3, len(whole.labels) - 1, len(whole.labels), 10_000):
        cut = tokenize(ChatExample((Q, A)), tokenizer, kept)
        assert_sound(cut)
        assert cut.input_ids == whole.input_ids[:kept]
        assert cut.labels == whole.labels[:kept]
        assert cut.lost_tokens == max(0, len(whole.labels) - kept)
        assert cut.trained_tokens + cut.lost_trained_tokens == whole.trained_tokens
    assert tokenize(ChatExample((Q, A)), tokenizer, prompt).trained_tokens == 0


def test_a_completion_trains_the_completion_and_one_end_of_text(tmp_path: Path):
    tokenizer = load(tmp_path, "no-template")
    plain = tokenize(CompletionExample("The capital", " of France"), tokenizer, None)
    assert tokenizer.decode(plain.input_ids, skip_special=False) == "<s>The capital of France</s>"
    assert stretches(plain, tokenizer) == [" of France</s>"]
    marked = tokenize(CompletionExample("<s>The capital", " of France</s>"), tokenizer, None)
    assert marked == plain  # never a second begin or end
    assert stretches(tokenize(CompletionExample("", "France"), tokenizer, None), tokenizer) == ["France</s>"]
    assert tokenize(CompletionExample("", "France"), tokenizer, 1).lost_trained_tokens > 0


def test_a_completion_without_begin_token_gets_none(tmp_path: Path):
    tokenizer = load(tmp_path, "chatml")
    tokenized = tokenize(CompletionExample("I see", " red"), tokenizer, None)
    assert tokenizer.decode(tokenized.input_ids, skip_special=False) == "I see red<|im_end|>"


def test_a_token_that_holds_the_end_of_the_prompt_and_the_start_of_the_answer_is_trained(tmp_path: Path):
    tokenizer = load(tmp_path, "no-template")
    assert len(tokenizer.encode("hello")) < len("hello")
    whole = tokenize(CompletionExample("h", "ello"), tokenizer, None)
    assert stretches(whole, tokenizer)[0].endswith("ello</s>")


def test_many_examples_are_masked_as_each_of_them(tmp_path: Path):
    tokenizer = load(tmp_path, "headers")
    examples = [ChatExample((Q, A)), CompletionExample("a", "b"), ChatExample((SYSTEM, Q, A, Q2, A2))]
    assert tokenize_many(examples, tokenizer, 20) == [tokenize(example, tokenizer, 20) for example in examples]
    rendered = [render_example(example, tokenizer) for example in examples]
    assert tokenize_rendered(rendered, tokenizer, 20) == tokenize_many(examples, tokenizer, 20)
    assert tokenize_many([], tokenizer, 20) == []


def test_an_example_that_the_template_refuses_is_named_by_its_number(tmp_path: Path):
    with pytest.raises(DataError, match="Example 2: The model's chat template refuses"):
        tokenize_many([ChatExample((Q, A)), ChatExample((SYSTEM, Q, A))], load(tmp_path, "no-system"), None)


def test_a_template_that_leaves_out_answers_is_refused_not_trained_blindly(tmp_path: Path):
    folder = made_tokenizer(tmp_path, "chatml")
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content | reverse }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    with pytest.raises(DataError, match="does not write answer 2 where it can be found"):
        tokenize(ChatExample((Q, A)), ChatTokenizer.load(folder), None)


def test_trained_tokens_of_read_records_decode_to_their_answers(tmp_path: Path):
    records = [
        {"instruction": "Name it.", "input": "a red apple", "output": "apple 🍎"},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello\nto you"}]},
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": " spaced "}]},
    ]
    for name in ("chatml", "no-system", "inst"):
        tokenizer = load(tmp_path, name)
        for tokenized, answer in zip(
            tokenize_many(map(read_record, records), tokenizer, None),
            ("apple 🍎", "hello\nto you", "spaced"),
            strict=True,
        ):
            (trained,) = stretches(tokenized, tokenizer)
            assert trained.removesuffix(tokenizer.end_texts[-1]).strip() == answer
