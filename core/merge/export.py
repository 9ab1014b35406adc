"""GGUF files from a merged model: converted, quantised, loaded, asked and measured, each on its own."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..checks import CheckStatus
from ..errors import ExportError, ModelError
from ..examples.chat import ChatTokenizer
from ..models.gguf.engines import Asked, Asker
from ..models.gguf.summary import summarise
from ..reports.markdown import percent
from ..runs.active import ActiveRun
from .converter import Converter
from .expectation import ANSWER_TOKENS, Answer, Expectation, agreement, mean_loss
from .importance import Importance, Weigher
from .quantizers import Quantizer
from .request import MODELFILE, Quantization, gguf_name, is_k_quant
from .result import Export, GgufVerification

SIXTEEN_BITS: tuple[Quantization, ...] = ("f16", "bf16")
"""Made by the converter; the others are quantised from one of them."""

UNPROVEN = ".failed"
SAME_AGREEMENT = 0.9  # 16 bits keep what the model has; below this something else differs than rounding
MIN_AGREEMENT = 0.6  # below this a quantised file often says something else than the model


def source_format(dtype: str) -> Quantization:
    """The 16-bit format that the others are quantised from: the one that loses nothing of the merged weights."""
    return "bf16" if dtype == "bfloat16" else "f16"


@dataclass(frozen=True)
class Exporter:
    """What one export run works with."""

    converter: Converter
    quantizer: Quantizer | None
    asker: Asker | None
    """None when verify is off."""
    expectation: Expectation | None
    """None likewise."""
    weigher: Callable[[], Weigher]
    chat: ChatTokenizer
    """The model's own."""
    run: ActiveRun

    def export(self, model: Path, wanted: Sequence[Quantization], source: Quantization) -> "Exported":
        """Make the wanted files in the run's output folder; a source file that nobody asked for does not stay.

        A file that does not prove itself stays under a name that says so.

        Raises:
            ExportError: A file could not be made.
        """
        exports, importance = [], None
        self._remove_earlier(wanted)
        with _work_folder(self.run.output_dir) as work:
            smaller: list[Quantization] = [q for q in wanted if q not in SIXTEEN_BITS]
            whole: list[Quantization] = [q for q in wanted if q in SIXTEEN_BITS]
            if smaller:
                base = self._converted(model, work, source)
                importance = self._importance(base, model, smaller)
                found = importance.file if importance else None
                exports = [self._finish(self._quantized(base, q, found if is_k_quant(q) else None), q) for q in smaller]
            exports += [self._finish(self._converted(model, work, q), q) for q in whole]
        order = {quantization: place for place, quantization in enumerate(wanted)}
        return Exported(tuple(sorted(exports, key=lambda export: order[export.quantization])), importance)

    def _remove_earlier(self, wanted: Sequence[Quantization]) -> None:
        """Files that will be replaced go first: if this were cut off, they would look like the new model's."""
        for name in [MODELFILE, *(name for q in wanted for name in (gguf_name(q), _unproven(gguf_name(q))))]:
            (self.run.output_dir / name).unlink(missing_ok=True)

    def _converted(self, model: Path, work: Path, number_format: Quantization) -> Path:
        file = work / gguf_name(number_format)
        if not file.exists():
            self.run.stage(f"converting to GGUF {number_format}")
            self.converter.convert(model, file, number_format, self.run)
        return file

    def _importance(self, base: Path, model: Path, wanted: Sequence[Quantization]) -> Importance | None:
        """Only the K-quants use one."""
        if self.quantizer is None or not any(map(is_k_quant, wanted)):
            return None
        if reason := self.quantizer.no_importance(self.run):
            return Importance(None, reason)
        self.run.stage("finding out which weights matter")
        return self.weigher().weigh(base, model)

    def _quantized(self, source: Path, quantization: Quantization, importance: Path | None) -> Path:
        assert self.quantizer is not None, "the preflight found one"
        self.run.stage(f"quantising to {quantization}")
        target = source.with_name(gguf_name(quantization))
        self.quantizer.quantize(source, target, quantization, importance, self.run)
        return target

    def _finish(self, file: Path, quantization: Quantization) -> Export:
        self.run.stage(f"asking {file.name}")
        verification = self._verify(file, quantization, self.asker, self.expectation)
        failed = verification is not None and verification.status == "fail"
        target = self.run.output_dir / (_unproven(file.name) if failed else file.name)
        os.replace(file, target)
        return Export(quantization=quantization, path=target, bytes=target.stat().st_size, verification=verification)

    def _verify(
        self, file: Path, quantization: Quantization, asker: Asker | None, expected: Expectation | None
    ) -> GgufVerification | None:
        if asker is None or expected is None:
            return None
        try:
            summary = summarise(file)
        except ModelError as error:
            raise ExportError(error.problem, "Export again; if it stays so, name a newer llama.cpp.") from error
        bos = self.chat.decode([self.chat.bos_id], skip_special=False) if self.chat.bos_id is not None else ""
        doubled = bos if summary.adds_bos and asker.adds_bos else ""
        prompts = [one.prompt.removeprefix(doubled) for one in expected.answers]
        asked = asker.ask(file, prompts, ANSWER_TOKENS, expected.texts, self.run)
        verdict = judge(asked, expected, self.chat, quantization)
        return GgufVerification(
            status=verdict.status,
            engine=asker.name,
            question=expected.answers[0].question,
            answer=next(iter(_texts(asked, self.chat)), None),
            greedy_agreement=verdict.agreement,
            loss=mean_loss(asked.scored) if asked.scored else None,
            merged_loss=expected.loss,
            tokens=expected.tokens,
            source=expected.source,
            bits_per_weight=file.stat().st_size * 8 / summary.parameters,
            tensor_types=summary.tensor_types,
            details=verdict.details,
        )


@dataclass(frozen=True, slots=True)
class Exported:
    """The files, and what the K-quants knew about the weights; None when there are none of those."""

    exports: tuple[Export, ...]
    importance: Importance | None


def _unproven(name: str) -> str:
    return name.replace(".gguf", f"{UNPROVEN}.gguf")


@contextmanager
def _work_folder(output_dir: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=output_dir, prefix=".gguf.", suffix=".tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a file's answers are worth."""

    status: CheckStatus
    agreement: float | None
    details: str


def judge(asked: Asked, expected: Expectation, chat: ChatTokenizer, quantization: Quantization) -> Verdict:
    """Compare a file with the merged model; only a file that gives no answers fails.

    Rounding to few bits may change a greedy answer, so that a differing one is told and not punished.
    """
    if asked.answers is None:
        return Verdict("fail", None, f"Loading and asking it {asked.ended.how}: {asked.ended.says(200) or 'no words'}")
    found = _texts(asked, chat)
    if not any(found) and any(one.text for one in expected.answers):
        return Verdict("fail", 0.0, "It answers nothing where the merged model answers.")
    alike = [_alike(chat, one.text, text) for one, text in zip(expected.answers, found, strict=True)]
    same = sum(share == 1 for share in alike)
    answers = f"{same} of {len(alike)} whole answers are the same."
    if asked.scored:
        share = agreement(asked.scored, expected.scored)
        details = (
            f"At {percent(share)} of {expected.tokens:,} answer tokens it finds the same token likeliest as the merged "
            f"model; loss {mean_loss(asked.scored):.4f} against {expected.loss:.4f}. {answers}"
        )
    else:
        share = sum(alike) / len(alike)
        details = f"It gives {percent(share)} of the merged model's answers before it parts from them. {answers}"
    if misread := _misread(asked, expected.answers, chat):
        return Verdict("warn", share, f"{details} Its tokenizer reads {misread} of the prompts differently.")
    if not any(alike):
        return Verdict("warn", share, f"{details} Not one of them begins as the merged model's does.")
    least = SAME_AGREEMENT if quantization in SIXTEEN_BITS else MIN_AGREEMENT
    return Verdict("pass" if share >= least else "warn", share, details)


def _texts(asked: Asked, chat: ChatTokenizer) -> list[str]:
    """The answers as the model's own tokenizer writes them, which is how the expected ones were written."""
    return [answer if isinstance(answer, str) else chat.decode(answer) for answer in asked.answers or ()]


def _alike(chat: ChatTokenizer, expected: str, found: str) -> float:
    """Share of the expected answer's tokens before the found one parts from it."""
    ours, theirs = chat.encode(expected.strip()), chat.encode(found.strip())
    if not ours:
        return float(not theirs)
    same = next((place for place, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    return (min(len(ours), len(theirs)) if same is None else same) / len(ours)


def _misread(asked: Asked, expected: Sequence[Answer], chat: ChatTokenizer) -> int:
    """Prompts whose tokens differ from the model's own tokenizer's; 0 also where the engine does not tell."""
    pairs = zip(asked.prompt_ids or (), expected, strict=False)
    return sum(list(ids) != chat.encode(one.prompt) for ids, one in pairs)
