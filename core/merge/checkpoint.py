"""A model folder's weights as names, shapes and places: what can be known without loading a tensor."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from ..models.source import read_config

if TYPE_CHECKING:
    import torch

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
HEAD = "lm_head.weight"
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight", "tok_embeddings.weight")
DAMAGED = "Check that the folder is complete, or fetch the model again."
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
DTYPES = {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"} | FLOATS
"""Number formats by their name in safetensors files and in torch."""

BLOCK_ROWS = 1024
MAX_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True, slots=True)
class Tensor:
    """One stored tensor, not loaded."""

    file: Path
    shape: tuple[int, ...]
    stored: str
    """Number format as safetensors names it, e.g. "BF16"."""
    offset: int
    """Where its numbers begin in the file."""
    bytes: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def rows(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def is_float(self) -> bool:
        return self.stored in FLOATS

    def read(self, first: int = 0, last: int | None = None) -> "torch.Tensor":
        """The rows from `first` up to before `last`, into memory of their own.

        Mapping the file into memory would be simpler, but then every page of the model that was ever touched counts
        as this process's memory, and nobody can see that the merge holds only a few blocks.
        """
        import torch

        last = self.rows if last is None else last
        shape = (last - first, *self.shape[1:]) if self.shape else ()
        numbers = torch.empty(shape, dtype=getattr(torch, DTYPES[self.stored]))
        row = self.bytes // max(1, self.rows)
        read_into(self.file, self.offset + first * row, numbers.reshape(-1).view(torch.uint8).numpy().data)
        return numbers

    def equals(self, other: "Tensor") -> bool:
        """Whether two tensors store the same numbers in the same format."""
        import torch

        if (self.shape, self.stored) != (other.shape, other.stored):
            return False
        parts = [(first, min(first + BLOCK_ROWS, self.rows)) for first in range(0, self.rows, BLOCK_ROWS)]
        return all(torch.equal(self.read(*part), other.read(*part)) for part in parts)


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a model folder."""

    folder: Path
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Checkpoint":
        """Read the headers of all weight files.

        Raises:
            ModelError: A file is missing or damaged, or the weights are quantised already.
        """
        config = read_config(folder)
        if "quantization_config" in config:
            raise ModelError(
                f"The weights in '{folder}' are quantised already (quantization_config in config.json).",
                "Give the 16-bit model that it was quantised from.",
            )
        tensors: dict[str, Tensor] = {}
        for file in _weight_files(folder):
            tensors |= read_header(file)
        return cls(folder, tensors, config)

    @cached_property
    def dtype(self) -> str:
        """The number format of most of the floating-point weights, as torch names it."""
        elements: dict[str, int] = {}
        for tensor in self.tensors.values():
            if tensor.is_float:
                elements[tensor.stored] = elements.get(tensor.stored, 0) + tensor.elements
        if not elements:
            raise ModelError(f"'{self.folder}' holds no floating-point weights.", "Give the 16-bit model.")
        return FLOATS[max(elements, key=lambda stored: elements[stored])]

    @cached_property
    def parameters(self) -> int:
        """How many numbers it stores; a tied output layer counts once."""
        return sum(tensor.elements for tensor in self.tensors.values())

    @cached_property
    def embedding(self) -> str | None:
        """Name of the input embedding's weight; None where no known name ends like one."""
        return next((name for name in self.tensors if name.endswith(EMBEDDINGS)), None)

    @property
    def is_tied(self) -> bool:
        """Whether the output layer uses the input embedding's weight; a copy of it in the files does not count."""
        return HEAD not in self.tensors or self.config.get("tie_word_embeddings") is True


def _weight_files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"'{index}' is damaged.", DAMAGED) from error
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise ModelError(f"'{folder}' lacks the weight files {', '.join(missing)}.", DAMAGED)
        return [folder / name for name in names]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    raise ModelError(f"'{folder}' holds neither {SINGLE} nor {INDEX}.", "Give a folder as save_pretrained writes it.")


def read_header(file: Path) -> dict[str, Tensor]:
    """Names, shapes, formats and places of the tensors in a safetensors file.

    Raises:
        ModelError: The file is damaged.
    """
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > MAX_HEADER_BYTES:
                raise ValueError("its header has no end")
            header = json.loads(opened.read(length))
            size = os.fstat(opened.fileno()).st_size
        tensors = {name: _tensor(file, 8 + length, told) for name, told in header.items() if name != "__metadata__"}
        end = max((tensor.offset + tensor.bytes for tensor in tensors.values()), default=8 + length)
        if end != size:
            raise ValueError(f"it has {size:,} bytes and should have {end:,}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"'{file}' cannot be read as safetensors: {str(error)[:200]}", DAMAGED) from error
    return tensors


def _tensor(file: Path, data: int, told: Mapping[str, Any]) -> Tensor:
    begin, end = told["data_offsets"]
    tensor = Tensor(file, tuple(told["shape"]), told["dtype"], data + begin, end - begin)
    if tensor.is_float and tensor.bytes * 8 != tensor.elements * int(FLOATS[tensor.stored].lstrip("bfloat")):
        raise ValueError(f"a tensor of {tensor.elements:,} numbers has {tensor.bytes:,} bytes")
    return tensor


def all_finite(tensor: "torch.Tensor") -> bool:
    """Whether no number is NaN or infinite; the extremes show it, at a fraction of what looking at each would cost."""
    if not tensor.numel() or not tensor.is_floating_point():
        return True
    low, high = tensor.aminmax()
    return math.isfinite(low) and math.isfinite(high)


def read_into(file: Path, offset: int, memory: memoryview) -> None:
    """Fill memory with a file's bytes from a place on."""
    with file.open("rb", buffering=0) as opened:
        opened.seek(offset)
        while memory:
            got = opened.readinto(memory)
            if not got:
                raise ModelError(f"'{file}' ended before its last tensor.", DAMAGED)
            memory = memory[got:]
