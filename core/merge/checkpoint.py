"""A model folder's weights as names, shapes and places: what can be known without loading a tensor."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import extras
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


@dataclass(frozen=True, slots=True)
class Tensor:
    """One stored tensor, not loaded."""

    file: Path
    shape: tuple[int, ...]
    stored: str
    """Number format as safetensors names it, e.g. "BF16"."""

    @property
    def elements(self) -> int:
        count = 1
        for side in self.shape:
            count *= side
        return count

    @property
    def is_float(self) -> bool:
        return self.stored in FLOATS


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

    def load(self, name: str) -> "torch.Tensor":
        """One tensor, as stored."""
        return load_tensor(self.tensors[name].file, name)


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
    """Names, shapes and formats of the tensors in a safetensors file.

    Raises:
        ModelError: The file is damaged.
    """
    safetensors = extras.require("safetensors", "Reading weights")
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            return {name: Tensor(file, tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"'{file}' cannot be read as safetensors: {str(error)[:200]}", DAMAGED) from error


def load_tensor(file: Path, name: str) -> "torch.Tensor":
    """One tensor of a safetensors file."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return opened.get_tensor(name)
