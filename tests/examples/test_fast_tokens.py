"""tuetoken's tokens are those of `tokenizers`, or they are not used."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.examples.chat import SAMPLE, ChatTokenizer
from faion_finetuner.core.examples.fast_tokens import TORTURE, FastTokens, NotReproducible
from faion_finetuner.core.examples.mask import mark_many, render_example, tokenize_many
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Message
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

from tests.examples.made_tokenizers import FAMILIES, TEXT, made_tokenizer

GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIALS = ("<|im_start|>", "<|im_end|>", "<|im_end|>>", "<|im", "<tool>", "é|")


def plain(tokenizer: Tokenizer) -> None:
    """As it is made."""


def gpt4_splits(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(GPT4), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def digits_alone(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def normalised(tokenizer: Tokenizer) -> None:
    gpt4_splits(tokenizer)
    tokenizer.normalizer = normalizers.NFC()


def overlapping_tokens(tokenizer: Tokenizer) -> None:
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in SPECIALS])


def tokens_in_normalised_text(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens([AddedToken("tool", normalized=True), AddedToken("<|im_start", normalized=True)])
    tokenizer.add_special_tokens([AddedToken("<tool>", normalized=False)])


SAME = {
    change.__name__: change
    for change in (plain, gpt4_splits, digits_alone, normalised, overlapping_tokens, tokens_in_normalised_text)
}


def changed(folder: Path, change: Callable[[Tokenizer], Any], family: str = "chatml") -> ChatTokenizer:
    """The tokenizer of a family, changed before it is read."""
    path = made_tokenizer(folder, family) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    change(tokenizer)
    tokenizer.save(str(path))
    return ChatTokenizer.load(folder)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ChatTokenizer]:
    """A tokenizer of each reproduced kind."""
    made = {name: changed(tmp_path_factory.mktemp(name), change) for name, change in SAME.items()}
    for chat in made.values():
        chat.choose_engine()
    return made


pieces = st.sampled_from(
    [*SPECIALS, *TORTURE, *TEXT, " ", "\n", "'s", "12", "tool", "<", "|>", "e\u0301", "é", "\u0301"]
)
texts = st.lists(st.one_of(pieces, st.text(max_size=8)), max_size=6).map("".join)


@pytest.mark.parametrize("name", list(SAME))
def test_a_byte_level_tokenizer_is_reproduced(name: str, pairs: dict[str, ChatTokenizer]):
    assert (pairs[name].engine, pairs[name].engine_reason) == ("tuetoken", None)


@given(text=texts)
@settings(deadline=None, max_examples=150, derandomize=True)
def test_tokens_and_the_characters_they_cover_are_the_same_for_any_text(text: str, pairs: dict[str, ChatTokenizer]):
    for name, chat in pairs.items():
        (fast,) = chat.encode_many([text])
        slow = chat.encode_with_offsets(text)
        assert list(fast.ids) == slow.ids, name
        assert chat.count_many([text]) == [len(slow.ids)]
        for start in range(len(text) + 1):
            for end in range(start + 1, min(start + 7, len(text) + 1)):
                assert fast.covering(start, end) == slow.covering(start, end), (name, start, end)
        assert chat.engine == "tuetoken"


def test_a_text_that_is_not_normalised_is_left_to_tokenizers(pairs: dict[str, ChatTokenizer]):
    chat = pairs["normalised"]
    text = "cafe\u0301 " * 3
    (tokens,) = chat.encode_many([text])
    assert list(tokens.ids) == chat.encode(text) == chat.encode("caf\u00e9 " * 3)
    assert tokens.covering(0, 5) == chat.encode_with_offsets(text).covering(0, 5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: made.add_special_tokens([AddedToken("<mask>", lstrip=True)]), "white space"),
        (lambda made: made.add_tokens([AddedToken("word", single_word=True)]), "whole words"),
        (lambda made: setattr(made, "normalizer", normalizers.Lowercase()), "Lowercase"),
        (lambda made: setattr(made, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)), "of its own"),
        (lambda made: setattr(made, "pre_tokenizer", pre_tokenizers.Whitespace()), "of its own"),
        (lambda made: setattr(made.model, "dropout", 0.5), "no plain byte-level BPE"),
    ],
)
def test_what_is_not_surely_the_same_is_left_to_tokenizers_and_said(change: Any, reason: str, tmp_path: Path):
    chat = changed(tmp_path, change)
    chat.choose_engine()
    assert chat.engine == "tokenizers"
    assert reason in str(chat.engine_reason)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.sentencepiece])
def test_sentencepiece_tokenizers_are_left_to_tokenizers(name: str, tmp_path: Path):
    chat = ChatTokenizer.load(made_tokenizer(tmp_path, name))
    chat.choose_engine()
    assert (chat.engine, chat.engine_reason) == ("tokenizers", "it is no plain byte-level BPE")


def test_without_tuetoken_tokenizers_does_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "tuetoken", None)
    chat = ChatTokenizer.load(made_tokenizer(tmp_path, "chatml"))
    assert chat.count_many(TEXT) == [chat.count(text) for text in TEXT]
    chat.choose_engine()
    assert (chat.engine, chat.engine_reason) == ("tokenizers", "the package 'tuetoken' is not installed")


def test_few_texts_load_nothing_more_and_many_switch_the_engine(tmp_path: Path):
    chat = ChatTokenizer.load(made_tokenizer(tmp_path, "chatml"))
    counted = chat.count_many(TEXT)
    assert (chat.engine, chat.engine_reason) == ("tokenizers", "few texts so far")
    assert chat.count_many(TEXT * SAMPLE) == counted * SAMPLE
    assert chat.engine == "tuetoken"


class Wrong(FastTokens):
    """One that changes its mind about the letter q."""

    def encode(self, text: str) -> Any:
        ids = super().encode(text)
        return ids[:-1] if "q" in text and ids is not None else ids


def test_a_difference_in_the_sample_ends_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("faion_finetuner.core.examples.fast_tokens.TORTURE", ("a",))
    monkeypatch.setattr("faion_finetuner.core.examples.chat.FastTokens", Wrong)
    chat = ChatTokenizer.load(made_tokenizer(tmp_path, "chatml"))
    chat.choose_engine(["fine", "quite"])
    assert (chat.engine, chat.engine_reason) == ("tokenizers", "tuetoken and tokenizers split a text differently")
    assert chat.count_many(["quite"]) == [chat.count("quite")]


def test_a_difference_in_a_later_text_ends_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("faion_finetuner.core.examples.fast_tokens.TORTURE", ("a",))
    monkeypatch.setattr("faion_finetuner.core.examples.chat.FastTokens", Wrong)
    monkeypatch.setattr("faion_finetuner.core.examples.chat.CHECK_EVERY", 5)
    chat = ChatTokenizer.load(made_tokenizer(tmp_path, "chatml"))
    chat.choose_engine(["fine"])
    assert chat.engine == "tuetoken"
    counted = chat.count_many(["ok"] * 4 + ["quite"] + ["quit"])
    assert counted[4:] == [chat.count("quite"), chat.count("quit")]
    assert chat.engine == "tokenizers"


def test_the_engine_is_part_of_a_pickled_tokenizer(tmp_path: Path):
    chat = ChatTokenizer.load(made_tokenizer(tmp_path, "chatml"))
    chat.choose_engine()
    copy = pickle.loads(pickle.dumps(chat))
    assert copy.engine == "tuetoken"
    assert copy.count_many(TEXT) == chat.count_many(TEXT)


def test_masks_are_the_same_with_both(tmp_path: Path):
    chat = ChatTokenizer.load(made_tokenizer(tmp_path, "headers"))
    examples = [
        ChatExample(
            (Message("user", one), Message("assistant", other), Message("user", "?"), Message("assistant", one))
        )
        for one, other in zip(TORTURE, reversed(TORTURE), strict=True)
    ]
    rows = [*examples, *(CompletionExample(one, other) for one, other in zip(TORTURE, TEXT * 50, strict=False))]
    slow = tokenize_many(rows, chat, 40)
    chat.choose_engine()
    assert chat.engine == "tuetoken"
    assert tokenize_many(rows, chat, 40) == slow
    for marked, row in zip(mark_many([render_example(row, chat) for row in rows], chat), rows, strict=True):
        (whole,) = tokenize_many([row], chat, None)
        assert len(marked) == len(whole.input_ids)
        assert marked.trained_before(40) == sum(label != -100 for label in whole.labels[:40])


def test_tokenizers_that_are_refused_say_why(tmp_path: Path):
    path = made_tokenizer(tmp_path, "chatml") / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    path.write_text("{}")
    with pytest.raises(NotReproducible, match="tuetoken does not read it"):
        FastTokens(path, tokenizer)
