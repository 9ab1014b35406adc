"""The OpenAI Fine-tuning Report."""

from ..checks import worst
from ..reports.markdown import UNKNOWN, check_table, number, table
from ..reports.report import Report
from ..runs.record import now
from .result import Estimate, OpenAIResult

TITLE = "OpenAI Fine-tuning Report"


def report(result: OpenAIResult) -> Report:
    """The report of an `openai` action: the finding first, then checks, cost and warnings."""
    headline = _headline(result)
    sections = [f"# {TITLE}", f"**Date:** {now():%Y-%m-%d}", headline]
    sections += ["## Checks", check_table(result.checks), _next_steps(result)]
    if result.estimate is not None:
        sections += ["## Estimate", _estimate(result.estimate)]
    sections += ["## Warnings", "\n".join(f"- {warning}" for warning in result.warnings) or "None."]
    return Report(title=TITLE, headline=headline, markdown="\n\n".join(part for part in sections if part))


def _headline(result: OpenAIResult) -> str:
    failed = [check.name for check in result.checks if check.status == "fail"]
    if failed:
        finding = f"The service would refuse this: {_checks_fail(len(failed))} ({', '.join(failed)})."
    elif worst(result.checks) == "warn":
        warned = ", ".join(check.name for check in result.checks if check.status == "warn")
        finding = f"The data keeps the service's rules; look at: {warned}."
    else:
        finding = "The data keeps all of the service's rules."
    estimate = result.estimate
    if estimate is None or estimate.tokens is None:
        return finding
    return f"{finding} Training would cost {_usd(estimate.usd)}: {estimate.tokens:,} tokens x {estimate.epochs} epochs."


def _checks_fail(count: int) -> str:
    return "1 check fails" if count == 1 else f"{count} checks fail"


def _usd(usd: float | None) -> str:
    return "an unknown amount" if usd is None else f"about ${usd:,.2f}"


def _next_steps(result: OpenAIResult) -> str:
    steps = [f"- **{check.name}**: {check.next_step}" for check in result.checks if check.next_step]
    return "To do:\n\n" + "\n".join(steps) if steps else ""


def _estimate(estimate: Estimate) -> str:
    usd = UNKNOWN if estimate.usd is None else f"${estimate.usd:,.2f}"
    rows = [
        ("Tokens in one pass", number(estimate.tokens)),
        ("Epochs", number(estimate.epochs)),
        ("Training cost", usd),
        ("Prices as of", estimate.price_as_of.isoformat()),
        ("Source of prices", estimate.price_source),
    ]
    return table(("Metric", "Value"), rows)
