"""The report's part on how well both models predict the texts."""

from collections.abc import Callable

from ...reports.markdown import number, table
from ..result import EvaluateResult, Likelihood, TrainingFit
from . import wording


def section(result: EvaluateResult) -> str:
    """Every measure with its change and interval, and whether training rows are predicted better than others."""
    measures = _measures(result)
    if not any(measures):
        return "Not measured: `metrics` named neither perplexity nor loss."
    digits = (2, 4, 3, 2)

    def row(name: str, cell: Callable[[Likelihood, int], str | None]) -> tuple[str | None, ...]:
        cells = (one and cell(one, places) for one, places in zip(measures, digits, strict=True))
        return name, *cells

    rows = [row("Base", lambda one, places: number(one.base, places))]
    if result.finetuned_path is None:
        rows += [row("95% interval", _of_base)]
    else:
        rows += [
            row("Fine-tuned", lambda one, places: number(one.finetuned, places)),
            row(_change(measures), lambda one, _: _percent(one.change_percent)),
            row("95% interval", lambda one, _: None if one.ci95 is None else f"{wording.between(one.ci95)}%"),
            row("Detectable", lambda one, _: None if one.detectable is None else f"{one.detectable:.1f}%"),
            row("Verdict", lambda one, _: one.verdict),
        ]
    header = ("Model", "Perplexity", "Loss", "Bits per byte", "Perplexity, prompts included")
    minus = "" if result.finetuned_path is None else ", so a minus is an improvement and a plus a loss"
    note = (
        f"Lower is better{minus}. Perplexity, loss and bits per byte count the answers alone, "
        "the last column all tokens, of a text longer than the window those read with its answer. "
        "Bits per byte can be compared between models with different tokenizers."
    )
    told = note + _size(result.perplexity or result.loss) + _p_decides(measures) + _prompts(result)
    return "\n".join([table(header, rows), told, *_training(result)])


def _measures(result: EvaluateResult) -> tuple[Likelihood | None, ...]:
    return result.perplexity, result.loss, result.bits_per_byte, result.perplexity_all_tokens


def _change(measures: tuple[Likelihood | None, ...]) -> str:
    """Only what fell, or stayed, is called an improvement."""
    worse = any(one is not None and (one.change_percent or 0) > 0 for one in measures)
    return "**Change** (plus is worse)" if worse else "**Improvement**"


def _of_base(one: Likelihood, places: int) -> str | None:
    return one.base_ci95 and " to ".join(number(end, places) for end in one.base_ci95)


def _p_decides(measures: tuple[Likelihood | None, ...]) -> str:
    if not any(one is not None and wording.seems_otherwise(one) for one in measures):
        return ""
    return " Where interval and verdict seem to differ, p of a permutation test (Noreen 1989) decides, below 0.05."


def _prompts(result: EvaluateResult) -> str:
    """Where prompts alone are predicted worse: usual, and no harm."""
    answers, everything = result.perplexity, result.perplexity_all_tokens
    if everything is None or everything.verdict != "regressed" or answers is None or answers.verdict == "regressed":
        return ""
    return " The last column decides nothing: training on answers does not teach prompts, which may be predicted worse."


def _percent(change: float | None) -> str | None:
    return None if change is None else f"{change:+.1f}%"


def _size(found: Likelihood | None) -> str:
    return "" if found is None else f" Measured on {found.tokens:,} answer tokens of {found.n:,} rows."


def _training(result: EvaluateResult) -> list[str]:
    found = result.breakdown and result.breakdown.training
    if not found:
        return []
    return ["", "What was learned, on rows that were trained on and on rows that were not:", "", _fit_table(found)]


def _fit_table(found: TrainingFit) -> str:
    sides = (
        (f"{found.n} training rows", found.base, found.finetuned),
        ("held-out rows", found.held_out_base, found.held_out_finetuned),
    )
    rows = ((name, number(base, 3), number(tuned, 3), f"{tuned - base:+.3f}") for name, base, tuned in sides)
    return table(("Rows", "Loss, base", "Loss, fine-tuned", "Change"), rows)
