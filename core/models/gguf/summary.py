"""GGUF files, as far as they can be read without loading the model."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import extras
from ...errors import ModelError

EXPORT_AGAIN = "Export it again."
ROW_BLOCK = 256
"""K-quants pack rows in blocks of this many numbers; llama.cpp stores other rows in an older format."""


@dataclass(frozen=True, slots=True)
class GgufSummary:
    """What a GGUF file holds."""

    architecture: str
    tensor_types: dict[str, int]
    """Tensors by number format."""
    odd_rows: int
    """Weight matrices whose rows are no multiple of ROW_BLOCK."""
    matrices: int
    parameters: int
    """Numbers in all tensors."""
    chat_template: str | None
    adds_bos: bool
    """Whether llama.cpp puts the begin-of-text token before a prompt by itself."""


def vocabulary(path: Path) -> list[str]:
    """How a GGUF file writes its tokens, by number.

    Raises:
        ModelError: It is no GGUF file, a damaged one, or one without a tokenizer.
        MissingExtraError: gguf is not installed.
    """
    field = _reader(path).get_field("tokenizer.ggml.tokens")
    if field is None:
        raise ModelError(f"'{path}' has no tokenizer.", EXPORT_AGAIN)
    return field.contents()


def summarise(path: Path) -> GgufSummary:
    """Read a GGUF file's header.

    Raises:
        ModelError: It is no GGUF file, or a damaged one.
        MissingExtraError: gguf is not installed.
    """
    reader = _reader(path)

    def value(key: str) -> object:
        field = reader.get_field(key)
        return None if field is None else field.contents()

    matrices = [tensor for tensor in reader.tensors if len(tensor.shape) > 1]
    template = value("tokenizer.chat_template")
    return GgufSummary(
        architecture=str(value("general.architecture")),
        tensor_types=dict(Counter(tensor.tensor_type.name for tensor in reader.tensors)),
        odd_rows=sum(int(tensor.shape[0]) % ROW_BLOCK != 0 for tensor in matrices),
        matrices=len(matrices),
        parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        chat_template=template if isinstance(template, str) else None,
        adds_bos=bool(value("tokenizer.ggml.add_bos_token")),
    )


def _reader(path: Path) -> Any:
    gguf = extras.require("gguf", "Reading a GGUF file")
    try:
        return gguf.GGUFReader(path)
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise ModelError(f"'{path}' is no readable GGUF file: {str(error)[:200]}", EXPORT_AGAIN) from error
