"""The OpenAI Fine-tuning Report."""

from collections.abc import Callable

from ..checks import worst
from ..reports.markdown import UNKNOWN, bytes_size, check_table, duration, number, table
from ..reports.report import Report
from ..runs.record import now
from ..untrusted import fence, quote
from .curve import figures
from .result import Estimate, Job, Leaving, OpenAIResult, TunedModel

TITLE = "OpenAI Fine-tuning Report"
SHOWN_EVENTS = 15
REPLY_LETTERS = 4_000


def report(result: OpenAIResult) -> Report:
    """The report of an `openai` action: the finding first, then what it rests on."""
    headline = _headline(result)
    sections = [f"# {TITLE}", f"**Date:** {now():%Y-%m-%d}  \n**Provider:** {result.provider}", headline]
    for title, render in SECTIONS:
        text = render(result)
        sections += [f"## {title}", text] if text else []
    markdown = "\n\n".join(part for part in sections if part)
    model = (result.job and result.job.model) or "a hosted model"
    return Report(TITLE, headline, markdown, figures(result.metrics, model))


def _headline(result: OpenAIResult) -> str:
    job = result.job
    match result.action:
        case "list":
            return f"{len(result.jobs)} jobs" + (", and older ones." if result.next_cursor else ".")
        case "events":
            return f"{len(result.events)} events" + (", and older ones." if result.next_cursor else ".")
        case "checkpoints":
            return f"{len(result.checkpoints)} checkpoints."
        case "chat":
            return "The model answered." if result.reply else "The model answered nothing."
    if job is None:
        return _finding(result)
    if result.tuned_model is not None and job.status == "succeeded":
        paid = "" if result.cost_usd is None else f" for {_usd(result.cost_usd)}"
        return f"Job {job.id} succeeded: {result.tuned_model.name} is ready{paid}."
    return f"Job {job.id} is {quote(job.status)}."


def _finding(result: OpenAIResult) -> str:
    failed = [check.name for check in result.checks if check.status == "fail"]
    if failed:
        finding = f"The service would refuse this: {_checks_fail(len(failed))} ({', '.join(failed)})."
        if set(failed) <= {"Cost"}:
            finding = "The start would be refused here: the cost is above what is allowed, or unknown."
    elif worst(result.checks) == "warn":
        warned = ", ".join(check.name for check in result.checks if check.status == "warn")
        finding = f"The data keeps the service's rules; look at: {warned}."
    else:
        finding = "The data keeps all of the service's rules."
    estimate = result.estimate
    if estimate is None or estimate.tokens is None:
        return finding
    takes = "" if estimate.seconds is None else f" and take about {duration(estimate.seconds)}"
    amount = f"{estimate.tokens:,} tokens x {estimate.epochs} epochs"
    return f"{finding} Training would cost {_usd(estimate.usd)}{takes}: {amount}."


def _checks_fail(count: int) -> str:
    return "1 check fails" if count == 1 else f"{count} checks fail"


def _usd(usd: float | None) -> str:
    if usd is None:
        return "an unknown amount"
    return "less than $0.01" if 0 < usd < 0.01 else f"about ${usd:,.2f}"


def _reply(result: OpenAIResult) -> str:
    return fence(result.reply, REPLY_LETTERS) if result.reply else ""


def _job(result: OpenAIResult) -> str:
    return "" if result.job is None else table(("Job", "Value"), _known(_job_rows(result.job, result.cost_usd)))


def _known(rows: list[tuple[str, object]]) -> list[tuple[str, object]]:
    return [row for row in rows if row[1] is not None]


def _job_rows(job: Job, cost_usd: float | None) -> list[tuple[str, object]]:
    steps = f"{number(job.trained_steps)} of {number(job.total_steps)}" if job.total_steps else None
    end = f"{job.finishes_at:%Y-%m-%d %H:%M} UTC" if job.finishes_at else None
    return [
        ("Id", job.id),
        ("Status", quote(job.status)),
        ("Base model", job.model and quote(job.model)),
        ("Steps", steps),
        ("Trained tokens", None if job.trained_tokens is None else number(job.trained_tokens)),
        ("Cost, by the table of prices", None if cost_usd is None else f"${cost_usd:,.4f}"),
        ("The provider expects the end", end),
        ("Error", job.error and quote(job.error, 400)),
    ]


def _jobs(result: OpenAIResult) -> str:
    rows = [(job.id, quote(job.status), job.model, job.finetuned_model) for job in result.jobs]
    more = f"\nOlder ones: cursor {result.next_cursor}.\n" if result.next_cursor else ""
    return table(("Job", "Status", "Base", "Tuned model"), rows) + more if rows else ""


def _tuned_model(result: OpenAIResult) -> str:
    return "" if result.tuned_model is None else _use(result.tuned_model)


def _use(model: TunedModel) -> str:
    prices = (
        "Its price is not known here"
        if model.input_usd is None or model.output_usd is None
        else f"It costs ${model.input_usd:g} per million tokens read and ${model.output_usd:g} per million written"
    )
    end = f" It stops answering on {model.shut_down}." if model.shut_down else ""
    return (
        f"`{model.name}` answers at {model.base_url}. {prices}.{end}\n\nAsk it with `openai`, action chat and this "
        f"model, or from anywhere:\n\n```sh\n{model.call}\n```"
    )


def _leaving(result: OpenAIResult) -> str:
    return "" if result.leaving is None else _sent(result.leaving)


def _sent(leaving: Leaving) -> str:
    def counted(found: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {kind}" for kind, count in found.items()) or "none recognised"

    rows = [
        ("To", leaving.to),
        ("Files", ", ".join(leaving.files)),
        ("Rows", number(leaving.rows)),
        ("Size", bytes_size(leaving.size_bytes)),
        ("Personal data", counted(leaving.personal_data)),
        ("Secrets", counted(leaving.secrets)),
    ]
    return table(("What leaves this machine", "Value"), rows)


def _checks(result: OpenAIResult) -> str:
    steps = [f"- **{check.name}**: {check.next_step}" for check in result.checks if check.next_step]
    to_do = "\nTo do:\n\n" + "\n".join(steps) if steps else ""
    return check_table(result.checks) + to_do if result.checks else ""


def _estimate(result: OpenAIResult) -> str:
    return "" if result.estimate is None else _estimated(result.estimate)


def _estimated(estimate: Estimate) -> str:
    usd = UNKNOWN if estimate.usd is None else f"${estimate.usd:,.2f}"
    rows = [
        ("Tokens in one pass", number(estimate.tokens)),
        ("Epochs", number(estimate.epochs)),
        ("Training cost", usd),
        ("Time", f"{duration(estimate.seconds)} ({estimate.seconds_basis})"),
        ("Prices as of", estimate.price_as_of and estimate.price_as_of.isoformat()),
        ("Source of prices", estimate.price_source),
    ]
    return table(("Metric", "Value"), rows)


def _metrics(result: OpenAIResult) -> str:
    rows = [(m.step, m.train_loss, m.val_loss, m.train_accuracy, m.val_accuracy) for m in result.metrics]
    header = ("Step", "Training loss", "Validation loss", "Training accuracy", "Validation accuracy")
    return table(header, rows) if rows else ""


def _checkpoints(result: OpenAIResult) -> str:
    rows = [
        (one.id, one.model, one.step, ", ".join(f"{name} {value:.4g}" for name, value in one.metrics.items()))
        for one in result.checkpoints
    ]
    return table(("Checkpoint", "Model", "Step", "Metrics"), rows) if rows else ""


def _events(result: OpenAIResult) -> str:
    shown = result.events[-SHOWN_EVENTS:]
    rows = [
        (one.created_at and f"{one.created_at:%m-%d %H:%M:%S}", one.level, quote(one.message, 200)) for one in shown
    ]
    left_out = len(result.events) - len(shown)
    more = f"\n{left_out} earlier ones are in the run folder.\n" if left_out else ""
    more += f"\nOlder ones: cursor {result.next_cursor}.\n" if result.next_cursor and rows else ""
    return table(("Time (UTC)", "Level", "Event"), rows) + more if rows else ""


def _warnings(result: OpenAIResult) -> str:
    found = "\n".join(f"- {warning}" for warning in result.warnings)
    return found or ("None." if result.checks else "")


SECTIONS: tuple[tuple[str, Callable[[OpenAIResult], str]], ...] = (
    ("Reply", _reply),
    ("Job", _job),
    ("Jobs", _jobs),
    ("The Tuned Model", _tuned_model),
    ("What Leaves", _leaving),
    ("Checks", _checks),
    ("Estimate", _estimate),
    ("Metrics", _metrics),
    ("Checkpoints", _checkpoints),
    ("Events", _events),
    ("Warnings", _warnings),
)
