"""Which weights matter: an importance matrix for the K-quants, by llama-imatrix where that is, else by transformers.

Both add up over a text the squares of what comes into each matrix: an error in a column counts as much as its inputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import extras
from ..checks import Check
from ..examples.chat import ChatTokenizer
from ..models.gguf import imatrix
from ..models.gguf.programs import find_program
from ..models.gguf.summary import summarise
from ..models.load import load_base
from ..models.machine import look
from ..runs.active import ActiveRun
from ..runs.child import run_child
from ..settings import Settings
from .probes import Calibration
from .verify import fits

if TYPE_CHECKING:
    import torch

TIMEOUT_S = 6 * 3600.0
WINDOW = 512  # tokens that the model reads at once
MOST_WINDOWS = 16  # 8 to 16 gave the built-in model the same loss; each takes a pass of the 16-bit model


@dataclass(frozen=True, slots=True)
class Importance:
    """An importance matrix, or the reason why there is none."""

    file: Path | None
    details: str


@dataclass(frozen=True, slots=True)
class Weigher:
    """Finds out from texts which weights of a model matter."""

    calibration: Calibration
    settings: Settings
    run: ActiveRun

    def weigh(self, source: Path, model: Path) -> Importance:
        """The matrix, written beside the 16-bit file.

        Args:
            source: The 16-bit file whose weights are meant.
            model: The folder that it was converted from.

        Raises:
            Cancelled: The run was asked to stop.
        """
        windows = min(self.calibration.tokens // WINDOW, MOST_WINDOWS)
        if windows == 0:
            enough = f"it takes {WINDOW} tokens of text, and {self.calibration.source} have {self.calibration.tokens}."
            return Importance(None, enough)
        target = source.with_name("imatrix.gguf")
        if program := find_program("llama-imatrix"):
            return self._by_program(program, source, target, windows)
        return self._by_transformers(source, model, target, windows)

    def _by_program(self, program: Path, source: Path, target: Path, windows: int) -> Importance:
        texts = source.with_name("calibration.txt")
        texts.write_text("\n".join(self.calibration.texts), encoding="utf-8")
        command = [
            str(program), "-m", str(source), "-f", str(texts), "-o", str(target), "-c", str(WINDOW),
            "--chunks", str(windows), "--parse-special", "--no-ppl",
        ]  # fmt: skip
        ended = run_child(command, self.run, TIMEOUT_S)
        if not ended.well or not target.is_file():
            return Importance(None, f"llama-imatrix {ended.how}: {ended.says(200) or 'no words'}")
        return Importance(target, f"{windows * WINDOW:,} tokens of {self.calibration.source}")

    def _by_transformers(self, source: Path, model: Path, target: Path, windows: int) -> Importance:
        summary, dtype = summarise(source), look().dtype
        if not fits(summary.parameters, dtype):
            return Importance(None, "the model does not fit into memory; llama-imatrix on the PATH needs less.")
        chat = ChatTokenizer.load(model)
        ids = chat.encode("\n".join(self.calibration.texts))
        begin = chat.bos_id if summary.adds_bos else None
        parts = [_window(ids[place * WINDOW : (place + 1) * WINDOW], begin) for place in range(windows)]
        loaded: Any = load_base(model, dtype=dtype, settings=self.settings)
        matrices = dict(_matrices(loaded))
        inputs = _mean_squares(loaded, matrices, self._told(parts))
        norms = {name: matrices[name].weight.detach().float().norm(dim=0).cpu().numpy() for name in inputs}
        named = imatrix.tensors_of(source, norms)
        if not named:
            return Importance(None, f"the matrices of {summary.architecture} models have no names known for it.")
        found = {tensor: inputs[module] for module, tensor in named.items()}
        imatrix.write(target, found, self.calibration.source, windows, WINDOW)
        left = len(imatrix.weighable(source)) - len(found)
        why = "have no layer of their own here, or one that nothing came into, and stay without"
        partly = f"; {left} matrices of the file {why}" if left else ""
        return Importance(target, f"{windows * WINDOW:,} tokens of {self.calibration.source}{partly}")

    def _told(self, parts: Sequence[list[int]]) -> Iterator[list[int]]:
        for done, part in enumerate(parts):
            self.run.raise_if_stopped()
            self.run.progress(done * WINDOW, len(parts) * WINDOW, "tokens", "finding out which weights matter")
            yield part


def _window(ids: Sequence[int], begin: int | None) -> list[int]:
    """A window as the model will meet it: its first token is the begin token where the file's texts have one."""
    return [*ids] if begin is None else [begin, *ids[1:]]


def _matrices(model: Any) -> "Iterator[tuple[str, torch.nn.Linear]]":
    """Of the layers; the output layer, which the K-quants keep finer anyway, has no place in the matrix."""
    torch = extras.require("torch", "Finding out which weights matter")
    head = model.get_output_embeddings()
    return ((n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m is not head)


def _mean_squares(model: Any, matrices: "Mapping[str, torch.nn.Linear]", windows: Iterator[list[int]]) -> Mapping:
    """The mean square of what comes into each column of each matrix, fp32; a layer that nothing comes into lacks."""
    import torch

    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}

    def watch(name: str) -> Any:
        def add(_: Any, given: tuple["torch.Tensor", ...]) -> None:
            rows = given[0].detach().reshape(-1, given[0].shape[-1]).float()
            sums[name] = sums.get(name, 0) + rows.square().sum(0)
            counts[name] = counts.get(name, 0) + len(rows)

        return add

    for name, module in matrices.items():
        module.register_forward_pre_hook(watch(name))
    body = model.base_model  # without the output layer
    with torch.inference_mode():
        for ids in windows:
            body(input_ids=torch.tensor([ids], device=model.device), use_cache=False)
    return {name: (total / counts[name]).cpu().numpy() for name, total in sums.items()}


def importance_check(found: Importance) -> Check:
    """Whether the K-quants know which weights matter."""
    if found.file is not None:
        details = f"The K-quants keep those weights finer that matter most for {found.details}."
    else:
        details = f"The K-quants were made without an importance matrix: {found.details}"
    return Check(name="importance_matrix", status="pass", details=details)
