"""Scores and differences as people read them."""

from collections.abc import Iterable, Sequence
from datetime import date

from ..comparison import corrected
from ..items import HELD_OUT
from ..result import ComparedScore, EvaluateResult, Interval, Judging, Likelihood, ScoreRow, Spent
from ..scoring.scores import SCORES

BIG_SCALE = ("bleu", "chrf")


def label(row: ScoreRow) -> str:
    """The metric's name as people write it; that of a benchmark as lm-eval has it."""
    return next((score.label for name, score in SCORES.items() if name == row.metric), row.metric)


def is_share(row: ScoreRow) -> bool:
    """Whether the score lies between 0 and 1 and is told in per cent."""
    values = [value for value in (row.base, row.finetuned) if value is not None]
    return not row.metric.startswith(BIG_SCALE) and all(0 <= value <= 1 for value in values)


def value(row: ScoreRow, number: float | None) -> str | None:
    """One score: a share in per cent, another with two digits."""
    if number is None:
        return None
    return f"{number:.1%}" if is_share(row) else f"{number:.2f}"


def delta(row: ScoreRow) -> str | None:
    """The difference with its sign, shares in points."""
    return None if row.delta is None else _signed(row, row.delta)


def interval(row: ScoreRow) -> str | None:
    """The 95% interval of the difference; of the base where it was measured alone."""
    if row.base_ci95 is not None:
        return " to ".join(str(value(row, end)) for end in row.base_ci95)
    return None if row.ci95 is None else between(row.ci95, 100 if is_share(row) else 1)


def between(found: Interval, factor: float = 1) -> str:
    """Both ends with their signs."""
    return f"{found.low * factor:+.1f} to {found.high * factor:+.1f}"


def no_interval(rows: Iterable[ScoreRow | ComparedScore]) -> str:
    """What it means that a difference has no interval; nothing where every difference has one."""
    if all(row.delta is None or row.ci95 is not None for row in rows):
        return ""
    return (
        "\nA difference without an interval (n/a) is not certain: there is one item alone, or each scores the same "
        "with both models, so nothing shows how far others would differ.\n"
    )


def p_decides(rows: Sequence[ScoreRow]) -> str:
    """Of each row of a table whose interval seems to say otherwise, that p decides; nothing where none does."""
    told = [
        f"{label(row)}{'' if row.name == HELD_OUT else f' of {row.name}'}: its interval "
        f"{'leaves out' if leaves_out_zero(row.ci95) else 'covers'} 0, but p decides: {p_value(p)} once corrected, so "
        f"“{row.verdict}”."
        for row, p in zip(rows, corrected(rows), strict=True)
        if p is not None and seems_otherwise(row)
    ]
    return "\n" + " ".join(told) + "\n" if told else ""


def seems_otherwise(row: ScoreRow | Likelihood) -> bool:
    """Whether the interval seems to contradict the verdict, which follows p."""
    if row.ci95 is None or row.verdict in (None, "too few items"):
        return False
    return leaves_out_zero(row.ci95) == (row.verdict == "no evidence")


def leaves_out_zero(found: Interval | None) -> bool:
    """Whether the whole interval lies on one side of no difference."""
    return found is not None and (found.low > 0 or found.high < 0)


def flips(row: ScoreRow) -> str | None:
    """Items that only one of the models got right."""
    return None if row.gained is None else f"+{row.gained} -{row.lost}"


def detectable(row: ScoreRow) -> str | None:
    """The smallest difference that so many items would prove."""
    return None if row.detectable is None else _signed(row, row.detectable).lstrip("+")


def change(row: ScoreRow) -> str:
    """One score's change as a sentence with its evidence."""
    verb = "rose" if (row.delta or 0) > 0 else "fell"
    text = f"{label(row)} {verb} from {value(row, row.base)} to {value(row, row.finetuned)}"
    if row.ci95 is None:
        return f"{text} ({row.n} items)."
    counts = f"; by p, which decides, {'no evidence' if row.verdict == 'no evidence' else 'proven'}"
    more = counts if seems_otherwise(row) else ""
    return f"{text} (95% interval of the difference {interval(row)}, {row.n} items{more})."


def _signed(row: ScoreRow, number: float) -> str:
    return f"{number * 100:+.1f}" if is_share(row) else f"{number:+.2f}"


def judged(found: Judging) -> str:
    """What blind judging found, as a sentence with its evidence."""
    if found.win_rate is None or found.ci95 is None:
        return f"Blind judging: none of {found.pairs} pairs is judged yet."
    counts = f"{found.wins} won, {found.ties} tied, {found.losses} lost"
    low, high = (f"{end:.0%}" for end in found.ci95)
    return (
        f"Blind judging of {found.judged} pairs: the fine-tuned model's answers won {found.win_rate:.0%} "
        f"(95% interval {low} to {high}; {counts}; p {p_value(found.p_value)}): {found.verdict}."
    )


def spent(found: Spent) -> str:
    """What calls of hosted models took, behind "took"; what they did not tell is said to be unknown."""
    calls = f"{found.calls:,} calls, trials, repeats and earlier attempts included"
    if found.read_tokens is None or found.written_tokens is None:
        return f"{calls}; none told its tokens, so neither they nor the cost are known."
    least = "at least " if found.unreported else ""
    price = "at a price that is not known here"
    if found.usd is not None:
        price = f"{least or 'about '}{dollars(found.usd, found.price_as_of)}"
    tokens = f"{least}{found.read_tokens:,} tokens read and {found.written_tokens:,} written"
    missing = f" {found.unreported:,} of the calls failed or did not tell their tokens." if found.unreported else ""
    return f"{calls}: {tokens}, {price}.{missing}"


def dollars(usd: float, as_of: date | None) -> str:
    """An amount and where its prices come from; small ones with more digits, so that little is not nothing."""
    prices = f"the prices of {as_of}" if as_of else "prices without a date"
    return f"${usd:,.{4 if usd >= 0.01 else 6}f} by {prices} for tuned models"


def predicts(result: EvaluateResult) -> str | None:
    """How the fine-tuned model predicts the held-out answers, where that differs beyond chance."""
    found = result.perplexity or result.loss
    words = {"improved": "better", "regressed": "worse"}
    if found is None or found.verdict not in words or found.change_percent is None:
        return None
    measure = "perplexity" if result.perplexity else "loss"
    return f"predicts the held-out answers {words[found.verdict]} ({measure} {found.change_percent:+.1f}%)"


def better_formed(result: EvaluateResult) -> ScoreRow | None:
    """The score that is proven better where all such tell of the form of answers alone, and others were computed."""
    gains = [row for row in result.scores if row.verdict == "improved"]
    if not gains or not all(map(_is_form, gains)) or all(map(_is_form, result.scores)):
        return None
    return min(gains, key=lambda row: row.p_value or 0.0)


def form_alone(rows: Iterable[ScoreRow]) -> str:
    """Which scores of a table tell of form alone; nothing where none does."""
    names = ", ".join(label(row) for row in rows if _is_form(row))
    return f"\n{names}: a useless answer may pass, so a gain there alone makes no model better.\n" if names else ""


def _is_form(row: ScoreRow) -> bool:
    return row.metric in SCORES and SCORES[row.metric].form_alone


def predicts_worse(result: EvaluateResult) -> bool:
    """Whether the fine-tuned model predicts the held-out answers worse, beyond chance."""
    found = result.perplexity or result.loss
    return found is not None and found.verdict == "regressed"


def trained_too_much(result: EvaluateResult) -> bool:
    """Whether anything warns of rows known by heart or of abilities lost: more of the same training adds to both."""
    known = any(one.name in ("overfitting", "copied_answers") and one.status == "warn" for one in result.checks)
    return known or any(row.status == "warn" for row in result.regression)


def p_value(number: float | None) -> str | None:
    """A p-value with three digits."""
    return None if number is None else "< 0.001" if number < 0.001 else f"{number:.3f}"
