"""Quantises a file's matrices once more, with an importance matrix, by ggml's own code in the wheel xllamacpp.

cyllama's quantising takes no matrix, and xllamacpp has no quantising but the function of ggml that does one chunk of
numbers. So cyllama writes the file, and each matrix in it is then written again with the same type: the outcome is,
byte for byte, what llama-quantize writes with the same matrix. A process of its own, since that library can crash.

python -m faion_finetuner.core.models.gguf.requantise_child probe
python -m faion_finetuner.core.models.gguf.requantise_child apply SOURCE TARGET IMATRIX
"""

import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from ...processors import usable_processors
from . import imatrix

CHUNK = 1 << 22  # numbers quantised at once: 16 MB in fp32 for each thread

Quantise = Callable[[Any, np.ndarray, np.ndarray | None], np.ndarray]
"""(type, rows in fp32, importance of each column) to packed rows."""


def load() -> Quantise:
    """ggml's quantising."""
    import xllamacpp.xllamacpp as wheel

    chunk = ctypes.CDLL(wheel.__file__).ggml_quantize_chunk  # ggml.h
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    chunk.argtypes, chunk.restype = [ctypes.c_int, pointer, pointer, number, number, number, pointer], ctypes.c_size_t

    def quantise(kind: Any, rows: np.ndarray, importance: np.ndarray | None) -> np.ndarray:
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        packed = np.empty((len(rows), rows.shape[1] // block * block_bytes), dtype=np.uint8)
        columns = None if importance is None else importance.ctypes.data
        written = chunk(int(kind), rows.ctypes.data, packed.ctypes.data, 0, *rows.shape, columns)
        if written != packed.nbytes:
            sys.exit(f"ggml wrote {written} bytes of {kind.name} in place of {packed.nbytes}")
        return packed

    return quantise


def probe() -> None:
    """Fail unless the library does what the format's own reference in Python does."""
    rows = np.random.default_rng(0).standard_normal((4, 256), dtype=np.float32)
    kind = gguf.GGMLQuantizationType.Q5_0
    if not np.array_equal(load()(kind, rows, None), gguf.quants.quantize(rows, kind)):
        sys.exit("its quantising differs from the reference")


def apply(source: str, target: str, matrix: str) -> None:
    """Write the matrices of `target` again, from the numbers in `source`."""
    quantise, importance = load(), imatrix.read(Path(matrix))
    numbers = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
    written = gguf.GGUFReader(target, "r+")
    with ThreadPoolExecutor(usable_processors()) as threads:
        for tensor in written.tensors:
            if tensor.name in importance and gguf.GGML_QUANT_SIZES[tensor.tensor_type][0] > 1:
                step = max(1, CHUNK // int(tensor.shape[0]))
                columns = np.ascontiguousarray(importance[tensor.name], dtype=np.float32)
                work = partial(_again, quantise, tensor, numbers[tensor.name], columns, step)
                list(threads.map(work, range(0, len(tensor.data), step)))
    written.data.flush()


def _again(quantise: Quantise, tensor: Any, source: Any, importance: np.ndarray, step: int, first: int) -> None:
    rows = gguf.quants.dequantize(source.data[first : first + step], source.tensor_type)
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    tensor.data[first : first + step] = quantise(tensor.tensor_type, rows, importance)


if __name__ == "__main__":
    {"probe": probe, "apply": apply}[sys.argv[1]](*sys.argv[2:])
