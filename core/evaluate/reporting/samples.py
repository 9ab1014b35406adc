"""The report's part on single rows: some drawn at random, then those whose answer became right or wrong."""

from collections.abc import Iterator, Sequence

from ...untrusted import fence
from ..findings.flips import ORDER, deciding
from ..result import EvaluateResult, Flip, Sample

FLIPPED: dict[Flip, str] = {
    "lost": "Right by the base, wrong by the fine-tuned model",
    "gained": "Wrong by the base, right by the fine-tuned model",
}


def section(result: EvaluateResult) -> str:
    """Prompt, reference and both answers of each row that is shown."""
    if not result.samples:
        held_back = result.judging is not None and result.judging.judged < result.judging.pairs
        return "Held back until the pairs are judged." if held_back else "None were asked for."
    drawn = [sample for sample in result.samples if sample.flip is None]
    told = ["Drawn at random, not chosen. What stands in the boxes was written by data or models."]
    told += _examples(drawn)
    for flip in ORDER:
        told += _flipped(result, flip, [sample for sample in result.samples if sample.flip == flip])
    return "\n\n".join([*told, f"All answers: `{result.samples_path}`."])


def _flipped(result: EvaluateResult, flip: Flip, samples: Sequence[Sample]) -> Iterator[str]:
    if not samples:
        return
    rows = {row.metric: row for row in result.scores if row.gained is not None}
    names = deciding(list(rows))
    total = sum((rows[name].lost if flip == "lost" else rows[name].gained) or 0 for name in names)
    yield f"**{FLIPPED[flip]}** ({', '.join(names)}): {len(samples)} of {total}"
    yield from _examples(samples, flip.capitalize())


def _examples(samples: Sequence[Sample], name: str = "Example") -> Iterator[str]:
    for n, sample in enumerate(samples, start=1):
        yield from (f"### {name} {n}", "**Prompt:**", _boxed(sample.prompt))
        yield from ("**Reference:**", _boxed(sample.reference), "**Base Model:**", _boxed(sample.base))
        if sample.finetuned is not None:
            yield from ("**Fine-tuned:**", _boxed(sample.finetuned))


def _boxed(text: str) -> str:
    return fence(text.strip()) if text.strip() else "*(empty)*"
