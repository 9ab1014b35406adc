"""What training would make of rows: lengths, masks, and what a chat template loses."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faion_finetuner.core.checks import Check
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.mask import NOT_TRAINED, tokenize
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Example, Message
from faion_finetuner.core.prepare.preview import preview, preview_of
from faion_finetuner.core.prepare.result import Truncation
from faion_finetuner.core.prepare.row import Place
from faion_finetuner.core.prepare.store import Store
from faion_finetuner.core.prepare.trained import Trained, look, tokens_by_field
from faion_finetuner.core.prepare.trained_checks import columns, trained_checks, truncation

from tests.examples.made_tokenizers import CHATML, FAMILIES, made_tokenizer

PLACE = Place("a.jsonl", 1, "1-x")
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]}

FORGETFUL = CHATML.replace("messages %}", "messages if message.role != 'user' or message != messages[0] %}", 1)


def chat_of(tmp_path: Path, name: str = "chatml", template: str | None = None, bos: str | None = None) -> ChatTokenizer:
    folder = made_tokenizer(tmp_path / "model", name)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    if bos is not None:
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": bos}))
    return ChatTokenizer.load(folder)


def said(*texts: str, system: str | None = None, **fields: Any) -> ChatExample:
    """A conversation of questions and answers in turn."""
    turns = [Message("assistant" if number % 2 else "user", text) for number, text in enumerate(texts)]
    return ChatExample((*([Message("system", system)] if system else []), *turns), fields)


def faults(example: Example, chat: ChatTokenizer) -> tuple[str, ...]:
    (found,) = look([example], chat, None)
    assert found.refused is None
    return found.faults


@contextmanager
def store_of(found: Sequence[Trained], kept: Sequence[bool] = (), rows: Sequence[Any] = ()) -> Iterator[Store]:
    """The rows as `prepare` keeps them while it works."""
    with tempfile.TemporaryDirectory() as folder, closing(Store(Path(folder) / "rows.jsonl")) as store:
        store.append([json.dumps(row).encode() + b"\n" for row in rows or found], columns(found))
        store.finish(("a.jsonl",))
        store.kept = np.array(kept or [True] * len(found))
        yield store


def cut_of(found: Sequence[Trained], max_length: int, kept: Sequence[bool] = ()) -> Truncation:
    with store_of(found, kept) as store:
        return truncation(store, max_length)


def previewed(found: Sequence[Trained], rows: Sequence[Any], chat: ChatTokenizer) -> str | None:
    with store_of(found, rows=rows) as store:
        return preview_of(store, chat)


def checks(found: list[Trained], max_length: int | None = None, refused: Any = None) -> dict[str, Check]:
    with store_of(found) as store:
        return {check.name: check for check in trained_checks(store, max_length, refused or {})}


@pytest.mark.parametrize("name", ["chatml", "headers", "no-system", "inst", "thinking", "end-of-all", "no-template"])
@pytest.mark.parametrize("length", [None, 1, 12, 20, 30, 10_000])
def test_counts_are_those_of_the_rows_that_training_makes(name: str, length: int | None, tmp_path: Path):
    chat = chat_of(tmp_path, name)
    examples = [
        said("Why?", "Because 你好 of it."),
        said("a", "b", "c", "d"),
        CompletionExample("Once", " upon a time"),
    ]
    for example, found in zip(examples, look(examples, chat, length), strict=True):
        cut, whole = tokenize(example, chat, length), tokenize(example, chat, None)
        assert found.total == len(whole.input_ids)
        assert found.trained == whole.trained_tokens
        assert (found.lost, found.lost_trained) == (cut.lost_tokens, cut.lost_trained_tokens)
        assert found.trained_left == sum(label != NOT_TRAINED for label in cut.labels)
        assert found.unended == whole.unended_turns


def test_an_answer_that_is_cut_short_loses_its_end(tmp_path: Path):
    chat = chat_of(tmp_path)
    example = said("Why?", "Because.", "And?", "So.")
    labels = tokenize(example, chat, None).labels
    starts = [at for at in range(1, len(labels)) if labels[at] != NOT_TRAINED and labels[at - 1] == NOT_TRAINED]
    ends = [at for at in range(1, len(labels)) if labels[at] == NOT_TRAINED and labels[at - 1] != NOT_TRAINED]
    lost = {length: look([example], chat, length)[0].loses_end for length in range(1, len(labels) + 1)}
    assert {length for length, count in lost.items() if count} == {
        length for start, end in zip(starts, ends, strict=True) for length in range(start + 1, end)
    }
    completion = CompletionExample("Once", " upon a time")
    total = look([completion], chat, None)[0].total
    assert look([completion], chat, total - 1)[0].loses_end == 1  # only the end-of-text token is cut off
    assert look([completion], chat, total)[0].loses_end == 0


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("inst", "llama", "no-system", "thinking")])
def test_well_made_templates_lose_nothing(name: str, tmp_path: Path):
    assert faults(said("Why?", "Because.", "Why?", "Because.", system="Be brief."), chat_of(tmp_path, name)) == ()


def test_a_template_that_asks_for_thinking_which_the_answer_does_not_begin_with_is_named(tmp_path: Path):
    assert faults(said("Why?", "Because."), chat_of(tmp_path, "thinking")) == ("generation_prompt_not_prefix",)


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        (CHATML.replace("messages %}", "messages if message.role != 'system' %}", 1), "text_missing_system"),
        (CHATML.replace("+ message['content'] +", "+ message['content'][:3] +"), "text_missing_user"),
        (CHATML.replace("messages %}", "messages if message.content != 'Why so?' %}", 1), "text_missing_user"),
        (CHATML.replace("assistant\n", "helper\n"), "generation_prompt_not_prefix"),
        ("{{ '<|endoftext|>' }}" * 2 + CHATML, "double_bos"),
    ],
)
def test_what_a_template_loses_is_named(template: str, fault: str, tmp_path: Path):
    chat = chat_of(tmp_path, template=template, bos="<|endoftext|>")
    assert fault in faults(said("Why so?", "Because.", "And on?", "So.", system="Be brief."), chat)


def test_a_text_that_stands_twice_has_to_be_written_twice(tmp_path: Path):
    chat = chat_of(tmp_path, template=FORGETFUL)
    assert faults(said("Why?", "So.", "Why?", "So."), chat) == ("text_missing_user",)


def test_tools_that_a_template_ignores_are_named(tmp_path: Path):
    example = ChatExample((Message("user", "Rain?"), Message("assistant", "No.")), TOOLS)
    assert faults(example, chat_of(tmp_path, "calls")) == ()
    assert faults(example, chat_of(tmp_path / "plain")) == ("tools_lost",)


def test_tool_calls_that_a_template_leaves_out_are_named(tmp_path: Path):
    called = ChatExample((Message("user", "Rain?"), Message("assistant", "Let me see.", tool_calls=(CALL,))))
    assert faults(called, chat_of(tmp_path, "calls")) == ()
    assert faults(called, chat_of(tmp_path / "plain")) == ()  # written into the content
    silent = CHATML + "{% if false %}{{ messages[0].tool_calls }}{% endif %}"
    assert faults(called, chat_of(tmp_path / "silent", template=silent)) == ("tools_lost",)


def test_reasoning_that_is_not_written_is_named(tmp_path: Path):
    answer = Message("assistant", "Paris.", fields={"reasoning_content": "Capital? France."})
    example = ChatExample((Message("user", "Capital?"), answer))
    assert faults(example, chat_of(tmp_path)) == ("reasoning_lost",)
    keeps = CHATML.replace("+ message['content']", "+ (message.reasoning_content or '') + message['content']")
    assert faults(example, chat_of(tmp_path / "keeps", template=keeps)) == ()
    inline = said("Why?", "<think>\nhm\n</think>\nSo.", "And?", "<think>\noh\n</think>\nYes.")
    assert faults(inline, chat_of(tmp_path / "cuts", "thinking")) == ("reasoning_lost",)


def test_an_end_that_is_not_the_token_which_ends_generation_is_named(tmp_path: Path):
    chat = chat_of(tmp_path)
    assert faults(said("Why?", "Because."), chat) == ()
    chat.eos_ids = (0,)
    assert faults(said("Why?", "Because."), chat) == ("end_not_trained",)


def test_a_refused_row_says_why_and_has_no_numbers(tmp_path: Path):
    chat = chat_of(tmp_path, "no-system")
    refused, taken = look([said("Why?", "So.", system="Be brief."), said("Why?", "So.")], chat, None)
    assert "System role not supported" in str(refused.refused)
    assert refused == Trained(refused=refused.refused)
    assert taken.refused is None
    (half,) = look([said("Why?", "So \ud83d")], chat, None)
    assert "lone surrogate" in str(half.refused)


def test_tokens_are_told_apart_by_message(tmp_path: Path):
    chat = chat_of(tmp_path)
    (found,) = look([said("Why is that so?", "Because.", system="Be brief.")], chat, None)
    assert len(found.by_text) == 3
    assert sum(found.by_text) < found.total
    assert found.by_text[0] in range(chat.count("Be brief.") - 1, chat.count("Be brief.") + 2)
    (plain,) = look([CompletionExample("Once", " upon")], chat, None)
    assert sum(plain.by_text) in (plain.total - 1, plain.total)


def test_tokens_are_named_after_the_fields_of_the_format(tmp_path: Path):
    chat = chat_of(tmp_path)
    asked = Message("user", "Name it.\n\na red apple", alpaca_input="a red apple")
    example = ChatExample((Message("system", "Be brief."), asked, Message("assistant", "apple")))
    (found,) = look([example], chat, None)
    system, user, answer = found.by_text
    assert tokens_by_field(example, found, "openai") == {"system": system, "user": user, "assistant": answer}
    assert tokens_by_field(example, found, "sharegpt") == {"system": system, "human": user, "gpt": answer}
    alpaca = tokens_by_field(example, found, "alpaca")
    assert list(alpaca) == ["system", "instruction", "output", "input"]
    assert alpaca["instruction"] + alpaca["input"] == user
    assert abs(alpaca["input"] - chat.count("a red apple")) <= 1
    talk = said("a", "b", "c", "d")
    (found,) = look([talk], chat, None)
    assert tokens_by_field(talk, found, "alpaca") == {"history": 2, "instruction": 1, "output": 1}
    plain = CompletionExample("Once", " upon")
    (found,) = look([plain], chat, None)
    assert list(tokens_by_field(plain, found, "completion")) == ["prompt", "completion"]


def test_rows_that_were_dropped_do_not_count(tmp_path: Path):
    chat = chat_of(tmp_path)
    examples = [said("Why?", "So."), said("Why?", "So. " * 50)]
    found = look(examples, chat, 30)
    assert cut_of(found, 30).rows_over == 1
    left = cut_of(found, 30, kept=[True, False])
    assert (left.rows_over, left.lost_tokens, left.answers_without_end) == (0, 0, 0)
    assert left.length_for_99_percent == found[0].total


def test_truncation_adds_up_and_names_the_length_that_holds_99_percent():
    found = [Trained(total=n, trained=5, trained_left=5) for n in range(1, 101)]
    found[-1] = Trained(total=100, trained=9, lost=60, lost_trained=9, loses_end=1)
    cut = cut_of(found, 40)
    assert (cut.rows_over, cut.lost_tokens) == (60, sum(range(1, 61)))
    assert (cut.lost_trained_tokens, cut.answers_without_end, cut.rows_without_trained_token) == (9, 1, 1)
    assert cut.length_for_99_percent == 99
    assert sum(one.total <= 99 for one in found) == 99
    assert cut_of([Trained(refused="no")], 40).length_for_99_percent == 0


def test_clean_rows_pass_all_three_checks(tmp_path: Path):
    made = checks(look([said("Why?", "Because.")], chat_of(tmp_path), 100), 100)
    assert list(made) == ["Max Length", "Chat Template", "Loss Mask"]
    assert [check.status for check in made.values()] == ["pass"] * 3
    assert "hold 99% of the rows whole" in checks(look([said("a", "b")], chat_of(tmp_path), None))["Max Length"].details


def test_too_long_rows_warn_with_what_is_lost():
    found = [Trained(total=50, trained=20, lost=10, lost_trained=8, trained_left=12, loses_end=1)]
    check = checks(found, 40)["Max Length"]
    assert (check.status, check.count) == ("warn", 1)
    assert "1 row above 40 tokens: training would cut off 10 tokens, 8 of them trained" in check.details
    assert "1 answer would lose the end" in check.details
    assert check.next_step == "50 tokens hold 99% of the rows whole."


def test_refused_rows_fail_with_the_reason():
    check = checks([Trained(refused="no system"), Trained(total=9, trained_left=1)], None, {"no system": PLACE})
    assert (check["Chat Template"].status, check["Chat Template"].count) == ("fail", 1)
    assert "refuses 1 row: no system" in check["Chat Template"].details


def test_lost_text_fails_and_lost_reasoning_warns():
    whole = Trained(total=9, trained_left=1)
    lost = whole._replace(faults=("text_missing_user",))
    assert checks([whole, lost])["Chat Template"].status == "fail"
    assert checks([whole] * 200 + [lost])["Chat Template"].status == "warn"
    check = checks([whole, whole._replace(faults=("reasoning_lost", "double_bos"))])["Chat Template"]
    assert (check.status, check.count) == ("warn", 1)
    assert "leaves out reasoning (1 row)" in check.details
    assert "two begin-of-text tokens (1 row)" in check.details


def test_rows_that_teach_nothing_or_not_to_stop_are_counted():
    whole = Trained(total=9, trained_left=1)
    assert checks([whole, Trained(total=9)])["Loss Mask"].status == "fail"
    assert checks([whole] * 200 + [Trained(total=9)])["Loss Mask"].status == "warn"
    for bad in (whole._replace(unended=1), whole._replace(faults=("end_not_trained",))):
        check = checks([whole, bad, whole])["Loss Mask"]
        assert (check.status, check.count) == ("warn", 1)
        assert "1 row with an answer without end-of-turn token" in check.details


def test_the_preview_marks_what_is_trained(tmp_path: Path):
    text = preview(said("Why ⟦so⟧?", "Because.", "And?", "So."), chat_of(tmp_path))
    assert text == (
        "<|im_start|>user\nWhy [so]?<|im_end|>\n<|im_start|>assistant\n⟦Because.<|im_end|>⟧\n"
        "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n⟦So.<|im_end|>⟧\n"
    )
    assert preview(CompletionExample("Once", " upon"), chat_of(tmp_path / "b", "no-template")) == "<s>Once⟦ upon</s>⟧"


def test_the_preview_leaves_out_the_middle_of_long_texts(tmp_path: Path):
    text = preview(said("Q" * 5000, "A" * 5000), chat_of(tmp_path))
    assert text.count("⟦") == text.count("⟧") == 1
    assert len(text) < 1200
    assert "characters …" in text


def test_the_previewed_row_is_of_middling_length_and_not_a_refused_one(tmp_path: Path):
    chat = chat_of(tmp_path, "no-system")
    rows = [said("Why?", "S" * length) for length in (1, 200, 30)] + [said("Why?", "So.", system="Be brief.")]
    lines = tuple({"messages": [{"role": one.role, "content": one.content} for one in row.messages]} for row in rows)
    found = look(rows, chat, None)
    assert "⟦" + "S" * 30 + "<" in str(previewed(found, lines, chat))
    assert previewed(found[3:], lines[3:], chat) is None
