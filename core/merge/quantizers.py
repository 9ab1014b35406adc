"""What makes GGUF files smaller: llama-quantize, or the wheel cyllama, with xllamacpp for an importance matrix."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from ..errors import ExportError
from ..models.gguf.cyllama import cyllama_child
from ..models.gguf.engines import need_cyllama
from ..models.gguf.programs import find_program
from ..runs.active import ActiveRun
from ..runs.child import Ended, growing, run_child
from .request import Quantization

FILE_TYPES: Mapping[Quantization, int] = {"q8_0": 7, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}  # llama.h, llama_ftype
QUANTIZE_TIMEOUT_S = 6 * 3600.0
PROBE_TIMEOUT_S = 60.0


class Quantizer(Protocol):
    """Makes a smaller GGUF file."""

    @property
    def name(self) -> str: ...

    def no_importance(self, run: ActiveRun) -> str | None:
        """Why it can use no importance matrix; None when it can."""
        ...

    def quantize(
        self, source: Path, target: Path, quantization: Quantization, importance: Path | None, run: ActiveRun
    ) -> None:
        """Write the smaller file.

        Raises:
            ExportError: It could not.
        """
        ...


@dataclass(frozen=True, slots=True)
class LlamaQuantize:
    """llama.cpp's llama-quantize."""

    program: Path
    name: str = "llama-quantize"

    def no_importance(self, run: ActiveRun) -> str | None:
        return None

    def quantize(
        self, source: Path, target: Path, quantization: Quantization, importance: Path | None, run: ActiveRun
    ) -> None:
        weighed = ["--imatrix", str(importance)] if importance else []
        command = [str(self.program), *weighed, str(source), str(target), quantization.upper()]
        _run(command, source, target, quantization, run)


@dataclass(frozen=True, slots=True)
class CyllamaQuantizer:
    """The wheel cyllama; the wheel xllamacpp then uses an importance matrix. Each in a child process."""

    name: str = "cyllama"

    def no_importance(self, run: ActiveRun) -> str | None:
        if find_spec("xllamacpp") is None:
            return "cyllama takes none by itself; the package xllamacpp, or llama-quantize on the PATH, does."
        ended = run_child(_requantise("probe"), run, PROBE_TIMEOUT_S)
        return None if ended.well else f"xllamacpp cannot use one here: it {ended.how}: {ended.says(200) or 'no words'}"

    def quantize(
        self, source: Path, target: Path, quantization: Quantization, importance: Path | None, run: ActiveRun
    ) -> None:
        command = cyllama_child("quantize", source, target, FILE_TYPES[quantization])
        _run(command, source, target, quantization, run)
        if importance is not None:
            ended = run_child(_requantise("apply", source, target, importance), run, QUANTIZE_TIMEOUT_S)
            _proven(ended, target, quantization)


def _requantise(*arguments: object) -> list[str]:
    """The command that quantises with an importance matrix, in a process of its own."""
    return [sys.executable, "-P", "-m", "faion_finetuner.core.models.gguf.requantise_child", *map(str, arguments)]


def _run(command: Sequence[str], source: Path, target: Path, quantization: Quantization, run: ActiveRun) -> None:
    expected = source.stat().st_size * BITS[quantization] / BITS["f16"]
    tell = growing(run, target, expected, f"quantising to {quantization}")
    _proven(run_child(command, run, QUANTIZE_TIMEOUT_S, on_poll=tell), target, quantization)


BITS: Mapping[Quantization, float] = {
    "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q6_k": 8.5, "q5_k_m": 6.7, "q4_k_m": 6.3,
}  # fmt: skip
"""Bits a weight, on the high side: as measured where rows do not fit the K-quants' blocks."""


def _proven(ended: Ended, target: Path, quantization: Quantization) -> None:
    if not ended.well or not target.is_file():
        raise ExportError(
            f"Quantising to {quantization} {ended.how}. Its last words: {ended.says(400)}",
            "Check the free disk space, and the log with `runs` and action logs.",
        )


def find_quantizer() -> Quantizer:
    """The first quantiser there is: llama-quantize (LLAMA_CPP_DIR, then PATH), then cyllama.

    Raises:
        MissingExtraError: There is none.
    """
    if program := find_program("llama-quantize"):
        return LlamaQuantize(program)
    need_cyllama("Quantising")
    return CyllamaQuantizer()
