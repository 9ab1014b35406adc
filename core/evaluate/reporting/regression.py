"""The report's part on what the model could do before: the gate's finding, then each capability."""

from ...reports.markdown import percent, table
from ..result import EvaluateResult, RegressionRow
from . import wording

STATUS = {"ok": "OK", "warn": "WARN", "open": "OPEN", None: "not compared"}


def section(result: EvaluateResult) -> str:
    """One sentence that decides, the table, and how it is to be read."""
    if result.finetuned_path is None:
        base = ((row.capability, percent(row.base), row.evidence) for row in result.regression)
        return table(("Capability", "Base", "Evidence"), base) + "\nFour answers each, so guessing gives 25%."
    rows = [
        (
            row.capability,
            percent(row.base),
            percent(row.finetuned),
            None if row.delta is None else f"{row.delta * 100:+.1f}",
            None if row.ci95 is None else wording.between(row.ci95, 100),
            STATUS[row.status],
            row.evidence,
        )
        for row in result.regression
    ]
    header = ("Capability", "Base", "Fine-tuned", "Delta", "95% interval", "Status", "Evidence")
    points = f"{result.regression_margin * 100:.0f} points"
    note = (
        f"Margin: {points}. OK: the whole interval lies above -{points}, so a larger loss is ruled out. WARN: right "
        "answers fell by more. OPEN: too few questions to tell. The built-in questions are few and easy: they show "
        "plain forgetting, not small losses. Four answers each, so guessing gives 25%."
    )
    return "\n\n".join([*_finding(result), table(header, rows) + "\n" + note])


def _finding(result: EvaluateResult) -> list[str]:
    compared = [row for row in result.regression if row.status is not None]
    if not compared:
        return []
    points = f"{result.regression_margin * 100:.0f} points"
    worse = [row for row in compared if row.status == "warn"]
    if worse:
        unsure = any(row.ci95 is None or row.ci95.high >= 0 for row in worse)
        chance = " Where the interval reaches 0, chance alone may have done that." if unsure else ""
        return [f"**Not passed: right answers fell by more than {points}.** {' '.join(map(_told, worse))}{chance}"]
    if all(row.status == "open" for row in compared):
        return [f"**Undecided: a loss of more than {points} is not seen, but cannot be ruled out.**"]
    kept = [row for row in compared if row.status == "ok"]
    unclear = [row.capability for row in compared if row.status == "open"]
    rest = f" Too few questions to say so of these alone: {', '.join(unclear)}." if unclear else ""
    return [f"**Passed: a loss of more than {points} is ruled out.** {' '.join(map(_told, kept))}{rest}"]


def _told(row: RegressionRow) -> str:
    told = f"{row.capability[:1].upper()}{row.capability[1:]}: {percent(row.base)} before, {percent(row.finetuned)} now"
    interval = f", 95% interval of the difference {wording.between(row.ci95, 100)} points" if row.ci95 else ""
    return f"{told}{interval}."
