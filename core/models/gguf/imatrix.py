"""Importance matrices as llama.cpp writes and reads them: the mean squares of what comes into each matrix' columns.

The format: https://github.com/ggml-org/llama.cpp/blob/master/tools/imatrix/imatrix.cpp
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ... import extras

PURPOSE = "An importance matrix"
SUMS, COUNTS = ".in_sum2", ".counts"
WEIGHABLE = re.compile(r"blk\.(\d+)\..+\.weight")
"""Names of the matrices that llama.cpp weighs: those in the layers, not embedding and output."""

SAME = 1e-2  # relative: beyond what rounding to 16 bits changes in a column's norm


def weighable(file: Path) -> list[Any]:
    """The matrices of a file that an importance matrix can speak of."""
    return _weighable(_gguf().GGUFReader(file))


def _weighable(reader: Any) -> list[Any]:
    return [tensor for tensor in reader.tensors if len(tensor.shape) > 1 and WEIGHABLE.fullmatch(tensor.name)]


def tensors_of(file: Path, column_norms: Mapping[str, np.ndarray]) -> dict[str, str]:
    """What a GGUF file calls the matrices of transformers' modules.

    Only those whose columns stand in the same order in both, which their norms prove: for a few architectures the
    converter changes the order.

    Args:
        file: In 16 or 32 bits.
        column_norms: By the module's name, the norm of each column of its weight.
    """
    gguf = _gguf()
    reader = gguf.GGUFReader(file)
    tensors = {tensor.name: tensor for tensor in _weighable(reader)}
    blocks = 1 + max((int(found[1]) for name in tensors if (found := WEIGHABLE.fullmatch(name))), default=0)
    field = reader.get_field("general.architecture")
    by_name = {name: architecture for architecture, name in gguf.MODEL_ARCH_NAMES.items()}
    architecture = by_name.get(field.contents() if field else "")
    names = gguf.get_tensor_name_map(architecture, blocks) if architecture is not None else None
    found = {}
    for module, norms in column_norms.items():
        tensor = tensors.get(f"{names.get_name(module)}.weight") if names else None
        if tensor is not None and _same(norms, tensor):
            found[module] = tensor.name
    return found


def _same(norms: np.ndarray, tensor: Any) -> bool:
    stored = np.linalg.norm(_gguf().quants.dequantize(tensor.data, tensor.tensor_type), axis=0)
    return stored.shape == norms.shape and bool(np.allclose(stored, norms, rtol=SAME, atol=1e-6))


def write(file: Path, inputs: Mapping[str, np.ndarray], source: str, windows: int, window: int) -> None:
    """Write a matrix.

    Args:
        file: To be written.
        inputs: By tensor name, the mean square of what came into each column.
        source: Where the texts come from, for people.
        windows: Texts that were read.
        window: Tokens in each.
    """
    gguf = _gguf()
    writer = gguf.GGUFWriter(file, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", [source])
    writer.add_uint32("imatrix.chunk_count", windows)
    writer.add_uint32("imatrix.chunk_size", window)
    for name, means in inputs.items():
        tokens = np.float32(windows * window)
        writer.add_tensor(name + SUMS, (means * tokens).astype(np.float32)[None])
        writer.add_tensor(name + COUNTS, np.array([[tokens]], dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read(file: Path) -> dict[str, np.ndarray]:
    """The mean squares by tensor name, of plain matrices (experts lie several in one tensor)."""
    tensors = {tensor.name: np.asarray(tensor.data) for tensor in _gguf().GGUFReader(file).tensors}
    names = [name.removesuffix(SUMS) for name in tensors if name.endswith(SUMS)]
    plain = [name for name in names if tensors[name + COUNTS].size == 1 and tensors[name + COUNTS].item() > 0]
    return {name: tensors[name + SUMS].reshape(-1) / tensors[name + COUNTS].item() for name in plain}


def _gguf() -> Any:
    return extras.require("gguf", PURPOSE)
