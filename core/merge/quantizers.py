"""What makes GGUF files smaller: llama-quantize, with an importance matrix, or the wheel cyllama, without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..checks import Check
from ..errors import ExportError
from ..models.gguf.cyllama import cyllama_child
from ..models.gguf.engines import need_cyllama
from ..models.gguf.programs import find_program
from ..runs.active import ActiveRun
from ..runs.child import Ended, growing, run_child
from .probes import Calibration
from .request import Quantization

FILE_TYPES: Mapping[Quantization, int] = {"q8_0": 7, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}  # llama.h, llama_ftype
QUANTIZE_TIMEOUT_S = 6 * 3600.0
WINDOW = 512  # tokens that llama-imatrix reads at once
MOST_WINDOWS = 64  # beyond some 30,000 tokens the matrix hardly changes, and each takes a pass of the 16-bit model


@dataclass(frozen=True, slots=True)
class Importance:
    """An importance matrix, or the reason why there is none."""

    file: Path | None
    details: str


class Quantizer(Protocol):
    """Makes a smaller GGUF file."""

    @property
    def name(self) -> str: ...

    def importance(self, source: Path, calibration: Calibration, run: ActiveRun) -> Importance:
        """Find out from texts which of a 16-bit file's weights matter; the matrix is written beside that file."""
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
    """llama.cpp's llama-quantize, and its llama-imatrix where that is there too."""

    program: Path
    imatrix: Path | None = None
    name: str = "llama-quantize"

    def importance(self, source: Path, calibration: Calibration, run: ActiveRun) -> Importance:
        if self.imatrix is None:
            return Importance(None, "llama-imatrix is not beside llama-quantize.")
        windows = min(calibration.tokens // WINDOW, MOST_WINDOWS)
        if windows == 0:
            return Importance(
                None, f"it takes {WINDOW} tokens of text, and {calibration.source} have {calibration.tokens}."
            )
        texts, target = source.with_name("calibration.txt"), source.with_name("imatrix.gguf")
        texts.write_text("\n".join(calibration.texts), encoding="utf-8")
        command = [
            str(self.imatrix), "-m", str(source), "-f", str(texts), "-o", str(target), "-c", str(WINDOW),
            "--chunks", str(windows), "--parse-special", "--no-ppl",
        ]  # fmt: skip
        ended = run_child(command, run, QUANTIZE_TIMEOUT_S)
        if not ended.well or not target.is_file():
            return Importance(None, f"llama-imatrix {ended.how}: {ended.says(200) or 'no words'}")
        return Importance(target, f"{windows * WINDOW:,} tokens of {calibration.source}")

    def quantize(
        self, source: Path, target: Path, quantization: Quantization, importance: Path | None, run: ActiveRun
    ) -> None:
        weighed = ["--imatrix", str(importance)] if importance else []
        command = [str(self.program), *weighed, str(source), str(target), quantization.upper()]
        _run(command, source, target, quantization, run)


@dataclass(frozen=True, slots=True)
class CyllamaQuantizer:
    """The wheel cyllama, in a child process."""

    name: str = "cyllama"

    def importance(self, source: Path, calibration: Calibration, run: ActiveRun) -> Importance:
        return Importance(None, "cyllama takes none; llama-quantize and llama-imatrix on the PATH do.")

    def quantize(
        self, source: Path, target: Path, quantization: Quantization, importance: Path | None, run: ActiveRun
    ) -> None:
        command = cyllama_child("quantize", source, target, FILE_TYPES[quantization])
        _run(command, source, target, quantization, run)


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


def importance_check(found: Importance) -> Check:
    """Whether the K-quants know which weights matter."""
    if found.file is not None:
        details = f"The K-quants keep those weights finer that matter most for {found.details}."
    else:
        details = f"The K-quants were made without an importance matrix: {found.details}"
    return Check(name="importance_matrix", status="pass", details=details)


def find_quantizer() -> Quantizer:
    """The first quantiser there is: llama-quantize (LLAMA_CPP_DIR, then PATH), then cyllama.

    Raises:
        MissingExtraError: There is none.
    """
    if program := find_program("llama-quantize"):
        return LlamaQuantize(program, find_program("llama-imatrix"))
    need_cyllama("Quantising")
    return CyllamaQuantizer()
