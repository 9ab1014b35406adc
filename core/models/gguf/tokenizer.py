"""The tokenizer inside a GGUF file as the files of a model folder, without torch, transformers or the weights."""

import json
import struct
from pathlib import Path
from typing import IO, Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from ...errors import ModelError

# https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3: all numbers little-endian
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
CONTROL = 3  # token type of special tokens
SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def write_tokenizer(gguf: Path, folder: Path, context_length: int) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja into `folder`.

    They give the tokens and texts that transformers' conversion of the same file gives.

    Raises:
        ModelError: The file is no GGUF file of version 3, or its tokenizer is no byte-level BPE.
    """
    try:
        with gguf.open("rb") as file:
            metadata = _metadata(file)
    except (OSError, struct.error, ValueError, KeyError, OverflowError) as error:
        raise ModelError(f"'{gguf}' is no readable GGUF file.", "Install its package again.") from error
    if metadata.get("tokenizer.ggml.model") != "gpt2":
        raise ModelError(f"The tokenizer in '{gguf}' is no byte-level BPE.", "Give a model folder instead.")
    texts = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={text: number for number, text in enumerate(texts)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    types = zip(texts, metadata["tokenizer.ggml.token_type"], strict=True)
    control = [AddedToken(text, normalized=False, special=True) for text, kind in types if kind == CONTROL]
    tokenizer.add_special_tokens(control)
    tokenizer.save(str(folder / "tokenizer.json"))
    ids = {name: metadata.get(f"tokenizer.ggml.{short}_token_id") for name, short in SPECIAL.items()}
    config = {name: texts[number] for name, number in ids.items() if number is not None}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context_length}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    if template := metadata.get("tokenizer.chat_template"):
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def _metadata(file: IO[bytes]) -> dict[str, Any]:
    """The keys and values before the tensors."""
    if file.read(4) != b"GGUF" or _number(file, "I") != 3:
        raise KeyError("GGUF")
    _number(file, "Q")  # tensors
    return {_string(file): _value(file, _number(file, "I")) for _ in range(_number(file, "Q"))}


def _value(file: IO[bytes], kind: int) -> Any:
    if kind == STRING:
        return _string(file)
    if kind != ARRAY:
        return _number(file, NUMBERS[kind])
    inner, count = _number(file, "I"), _number(file, "Q")
    if inner in (STRING, ARRAY):
        return [_value(file, inner) for _ in range(count)]
    whole = struct.Struct(f"<{count}{NUMBERS[inner]}")
    return list(whole.unpack(file.read(whole.size)))


def _string(file: IO[bytes]) -> str:
    return file.read(_number(file, "Q")).decode("utf-8")


def _number(file: IO[bytes], code: str) -> Any:
    shape = struct.Struct("<" + code)
    return shape.unpack(file.read(shape.size))[0]
