"""GGUF files from a merged model: converted, quantised, loaded and asked, each on its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..checks import CheckStatus
from ..errors import ExportError, ModelError
from ..examples.chat import ChatTokenizer
from ..models.gguf import summarise
from ..reports.markdown import percent
from ..runs.active import ActiveRun
from .converter import Converter
from .engines import Asked, Asker, Quantizer, Question
from .request import Quantization, gguf_name
from .result import Export, GgufVerification

ANSWER_TOKENS = 24
UNPROVEN = ".failed"
F16_AGREEMENT = 0.9  # f16 keeps what bfloat16 has; below this something else differs than rounding
MIN_AGREEMENT = 0.6  # below this a quantised file often says something else than the model


@dataclass(frozen=True, slots=True)
class Expected:
    """One question and the merged model's own answer to it."""

    question: str
    """For people."""
    prompt: str
    """As the model reads it."""
    answer: str


@dataclass(frozen=True)
class Exporter:
    """What one export run works with."""

    converter: Converter
    quantizer: Quantizer | None
    asker: Asker | None
    """None when verify is off."""
    expected: Sequence[Expected]
    chat: ChatTokenizer
    """The model's own."""
    run: ActiveRun

    def export(self, model: Path, wanted: Sequence[Quantization]) -> tuple[Export, ...]:
        """Make the wanted files in the run's output folder; an f16 file that nobody asked for does not stay.

        A file that does not prove itself stays under a name that says so.

        Raises:
            ExportError: A file could not be made.
        """
        exports = []
        with _work_folder(self.run.output_dir) as work:
            base = work / gguf_name("f16")
            self.run.stage("converting to GGUF f16")
            self.converter.convert(model, base, self.run)
            for quantization in sorted(wanted, key=lambda q: q == "f16"):  # the source of the others moves last
                file = base if quantization == "f16" else self._quantized(base, quantization)
                exports.append(self._finish(file, quantization))
        order = {quantization: place for place, quantization in enumerate(wanted)}
        return tuple(sorted(exports, key=lambda export: order[export.quantization]))

    def _quantized(self, source: Path, quantization: Quantization) -> Path:
        assert self.quantizer is not None, "the preflight found one"
        self.run.stage(f"quantising to {quantization}")
        target = source.with_name(gguf_name(quantization))
        self.quantizer.quantize(source, target, quantization, self.run)
        return target

    def _finish(self, file: Path, quantization: Quantization) -> Export:
        self.run.stage(f"asking {file.name}")
        verification = self._verify(file, quantization) if self.asker else None
        failed = verification is not None and verification.status == "fail"
        name = f"{file.stem}{UNPROVEN}{file.suffix}" if failed else file.name
        target = self.run.output_dir / name
        os.replace(file, target)
        return Export(quantization=quantization, path=target, bytes=target.stat().st_size, verification=verification)

    def _verify(self, file: Path, quantization: Quantization) -> GgufVerification:
        assert self.asker is not None
        try:
            summary = summarise(file)
        except ModelError as error:
            raise ExportError(error.problem, "Export again; if it stays so, name a newer llama.cpp.") from error
        bos = self.chat.decode([self.chat.bos_id], skip_special=False) if self.chat.bos_id is not None else ""
        doubled = bos if summary.adds_bos and self.asker.adds_bos else ""
        questions = [Question(e.prompt.removeprefix(doubled), e.answer, ANSWER_TOKENS) for e in self.expected]
        asked = self.asker.ask(file, questions, self.run)
        verdict = judge(asked, self.expected, self.chat, quantization)
        return GgufVerification(
            status=verdict.status,
            engine=self.asker.name,
            question=self.expected[0].question,
            answer=asked.answers[0] if asked.answers else None,
            greedy_agreement=verdict.agreement,
            tensor_types=summary.tensor_types,
            details=verdict.details,
        )


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


def judge(asked: Asked, expected: Sequence[Expected], chat: ChatTokenizer, quantization: Quantization) -> Verdict:
    """Compare a file's greedy answers with the merged model's; only a file that gives no answers fails.

    Rounding to few bits may change a greedy answer, so that a differing one is told and not punished.
    """
    if asked.answers is None:
        return Verdict("fail", None, f"Loading and asking it {asked.ended.how}: {asked.ended.says(200) or 'no words'}")
    if not any(asked.answers) and any(one.answer for one in expected):
        return Verdict("fail", 0.0, "It answers nothing where the merged model answers.")
    alike = [_agreement(chat, one.answer, found) for one, found in zip(expected, asked.answers, strict=True)]
    shares = [share for share in asked.followed or alike if share is not None]
    agreement = sum(shares) / len(shares) if shares else 1.0  # the model itself says nothing, and so does the file
    same = sum(share == 1 for share in alike)
    details = (
        f"It chooses {percent(agreement)} of the merged model's answer tokens; "
        f"{same} of {len(alike)} whole answers are the same."
    )
    if misread := _misread(asked, expected, chat):
        return Verdict("warn", agreement, f"{details} Its tokenizer reads {misread} of the prompts differently.")
    least = F16_AGREEMENT if quantization == "f16" else MIN_AGREEMENT
    return Verdict("pass" if agreement >= least else "warn", agreement, details)


def _agreement(chat: ChatTokenizer, expected: str, found: str) -> float:
    """Share of the expected answer's tokens before the found one parts from it."""
    ours, theirs = chat.encode(expected.strip()), chat.encode(found.strip())
    if not ours:
        return float(not theirs)
    same = next((place for place, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    return (min(len(ours), len(theirs)) if same is None else same) / len(ours)


def _misread(asked: Asked, expected: Sequence[Expected], chat: ChatTokenizer) -> int:
    """Prompts whose tokens differ from the model's own tokenizer's; 0 also where the engine does not tell."""
    pairs = zip(asked.prompt_ids or (), expected, strict=False)
    return sum(list(ids) != chat.encode(one.prompt) for ids, one in pairs)
