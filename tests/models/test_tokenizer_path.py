"""The tokenizer of a model is had without its weights."""

import sys
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import ModelError
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.types import Message
from faion_finetuner.core.models import builtin as builtin_module
from faion_finetuner.core.models.gguf.tokenizer import write_tokenizer
from faion_finetuner.core.models.source import builtin_folder, local_path, resolve_model, tokenizer_path
from faion_finetuner.core.settings import Settings
from tokenizers import pre_tokenizers

from tests.tiny import TEMPLATE, tiny_model

NAME = "smollm2-135m-instruct"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def small_gguf(path: Path, kind: str = "gpt2") -> Path:
    """A GGUF file without tensors: all bytes, one merge, a chat template."""
    gguf = pytest.importorskip("gguf")
    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "hi"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_tokenizer_model(kind)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * 3 + [1] * (len(tokens) - 3))
    writer.add_token_merges(["h i"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_a_tokenizer_is_read_from_a_gguf_file(tmp_path: Path):
    write_tokenizer(small_gguf(tmp_path / "small.gguf"), tmp_path, 512)
    chat = ChatTokenizer.load(tmp_path)
    text = chat.render([Message("user", "hi é")], add_generation_prompt=True)
    assert text == "<|im_start|>user\nhi é<|im_end|>\n<|im_start|>assistant\n"
    ids = chat.encode(text)
    assert (ids[0], ids.count(2), chat.decode(ids, skip_special=False)) == (1, 1, text)
    assert chat.count("hi") == 1
    assert (chat.bos_id, chat.eos_ids, chat.adds_bos) == (1, (2,), False)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 40, b"PK" * 40])
def test_a_damaged_gguf_file_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.gguf' is no readable GGUF file"):
        write_tokenizer(tmp_path / "bad.gguf", tmp_path, 512)


def test_another_kind_of_tokenizer_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="no byte-level BPE"):
        write_tokenizer(small_gguf(tmp_path / "small.gguf", kind="llama"), tmp_path, 512)


def test_the_built_in_tokenizer_is_unpacked_once_and_without_torch(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    path = small_gguf(tmp_path / "small.gguf")
    for module in ("faion_finetuner.core.models.builtin", "faion_finetuner.core.models.source"):
        monkeypatch.setattr(f"{module}.gguf_path", lambda _: path)
    for heavy in ("torch", "transformers", "gguf"):
        monkeypatch.setitem(sys.modules, heavy, None)
    source = resolve_model(NAME, settings)
    folder = tokenizer_path(source, settings)
    assert ChatTokenizer.load(folder).count("hi") == 1
    assert not builtin_folder(NAME, settings).exists()
    monkeypatch.setattr(builtin_module, "write_tokenizer", lambda *_: pytest.fail("unpacked again"))
    assert tokenizer_path(source, settings) == folder


def test_a_converted_built_in_model_is_used(settings: Settings):
    tiny_model(builtin_folder(NAME, settings))
    assert tokenizer_path(resolve_model(NAME, settings), settings) == builtin_folder(NAME, settings)


def test_a_model_folder_is_its_own_tokenizer_folder(settings: Settings):
    folder = tiny_model(settings.roots[0] / "tiny")
    assert tokenizer_path(resolve_model("tiny", settings), settings) == folder


def test_of_a_hub_model_only_the_tokenizer_is_fetched(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    asked: list[Any] = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda name, allow_patterns: asked.extend([name, *allow_patterns]) or str(tmp_path),
    )
    assert tokenizer_path(resolve_model("org/name", settings), settings) == tmp_path
    assert {"org/name", "tokenizer.json", "tokenizer_config.json", "config.json", "chat_template.*"} <= set(asked)
    assert not any("safetensors" in one or one.startswith("*") for one in asked)


@pytest.mark.slow
def test_the_built_in_tokenizer_is_the_one_of_the_converted_model(tmp_path: Path):
    settings = Settings.from_environment()
    theirs = ChatTokenizer.load(local_path(resolve_model(NAME, settings), settings))
    fresh = settings.model_copy(update={"cache_dir": tmp_path})
    ours = ChatTokenizer.load(tokenizer_path(resolve_model(NAME, fresh), fresh))
    text = ours.render([Message("user", "naïve 你好 12345 🇫🇷  it's\n\n"), Message("assistant", "")])
    assert (ours.template, ours.eos_ids, ours.bos_id) == (theirs.template, theirs.eos_ids, theirs.bos_id)
    assert ours.encode(text) == theirs.encode(text)
