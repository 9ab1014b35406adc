"""The Dataset Validation Report."""

from ..checks import worst
from ..reports import chart, markdown
from ..reports.markdown import number, percent, table
from ..reports.report import Figure, Report
from ..runs.record import now
from ..untrusted import fence
from .result import Balance, PrepareResult
from .wording import counted

TITLE = "Dataset Validation Report"
CLASSES_SHOWN = 12
PREVIEW_LETTERS = 4_000


def report(result: PrepareResult) -> Report:
    """The report with the mission's sections, and after them the rows worth a look and a preview of the loss mask."""
    parts = [
        f"# {TITLE}\n",
        f"**Date:** {now():%Y-%m-%d}\n**Source:** {_source(result)}\n",
        f"{_finding(result)}\n",
        f"## Summary\n\n{_summary(result)}",
        f"## Quality Checks\n\n{markdown.check_table(result.checks)}",
        f"## Token Statistics\n\n{_tokens(result)}",
        f"## Output Files\n\n{_files(result)}",
        f"## Warnings\n\n{_warnings(result)}",
    ]
    if result.worth_a_look:
        parts.append(f"## Rows Worth a Look\n\n{_suspects(result)}")
    if result.mask_preview:
        parts.append(f"## Loss Mask Preview\n\n{_preview(result.mask_preview)}")
    return Report(title=TITLE, headline=_finding(result), markdown="\n".join(parts), figures=_figures(result))


def _source(result: PrepareResult) -> str:
    files = result.source.files
    return files[0] if len(files) == 1 else f"{len(files)} files, from {files[0]} to {files[-1]}"


def _finding(result: PrepareResult) -> str:
    read, kept = result.source.rows_read, result.unique_examples
    verdict = {"pass": "no problems", "warn": "with warnings", "fail": "not fit for training as it is"}
    return f"{kept:,} of {read:,} rows are ready as {result.format}: {verdict[worst(result.checks)]}."


def _summary(result: PrepareResult) -> str:
    source = result.source
    rows: list[tuple[str, object]] = [
        ("Total Examples", number(result.total_examples)),
        ("Unique Examples", number(result.unique_examples)),
        ("Duplicates Removed", number(result.duplicates_removed)),
        ("Format", result.format),
        ("Near Duplicates Removed", number(result.near_duplicates_removed)),
        ("Rows Read", number(source.rows_read)),
        ("Read As", ", ".join(filter(None, (source.detected_format, source.encoding, source.dialect)))),
        ("Records", _counts(source.records)),
        ("Dropped", _counts(result.dropped_by_reason) or "none"),
        ("Changed", _counts(result.changed_by_rule) or "none"),
        ("Personal Data", _counts(result.personal_data) or "none found"),
        ("Languages", _shares(result.languages, result.unique_examples)),
        ("Questions and Answers a Row", _shares(result.turns, result.unique_examples)),
    ]
    if result.balance:
        rows.append((f"Classes in {result.balance.field}", _classes(result.balance)))
    return table(("Metric", "Value"), rows)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())


def _shares(counts: dict[str, int], total: int) -> str:
    ordered = sorted(counts.items(), key=lambda one: -one[1])
    shown = ", ".join(f"{name} {percent(count / total, 1)}" for name, count in ordered[:6])
    return shown + (f" and {len(ordered) - 6} more" if len(ordered) > 6 else "")


def _classes(balance: Balance) -> str:
    shown = ", ".join(f"{one.label} {percent(one.share, 0)}" for one in balance.classes[:6])
    more = balance.classes_total - min(6, len(balance.classes))
    return shown + (f" and {more} more" if more else "")


def _tokens(result: PrepareResult) -> str:
    rows = ((s.field, s.min, s.max, s.mean, s.median, s.p95) for s in result.token_statistics)
    note = f"\nCounts: {result.tokens_counted_by}.\n"
    cut = result.truncation
    if cut:
        note += "`row` is the whole row in the model's chat template; "
        note += f"{cut.length_for_99_percent:,} tokens hold 99% of the rows whole.\n"
    return table(("Field", "Min", "Max", "Mean", "Median", "95%"), rows) + note


def _files(result: PrepareResult) -> str:
    rows = [
        (
            one.path.name,
            f"{number(one.examples)} ({percent(one.share, 0)})"
            if one.share is not None
            else f"{counted(one.examples, 'line')}",
            one.purpose,
        )
        for one in result.files
    ]
    folder = result.files[0].path.parent
    where = f"\nWould lie in {folder}; nothing was written.\n" if result.dry_run else f"\nIn {folder}.\n"
    undo = "\nTo undo a rule or bring a row back: the same call with `restore`, rules or row_ids from ledger.jsonl.\n"
    return table(("File", "Examples", "Purpose"), rows) + where + undo


def _warnings(result: PrepareResult) -> str:
    return "".join(f"- {warning}\n" for warning in result.warnings) or "- None\n"


def _suspects(result: PrepareResult) -> str:
    rows = ((one.row_id, f"line {one.line}", ", ".join(one.reasons), one.excerpt) for one in result.worth_a_look)
    return "The worst first; each is kept.\n\n" + table(("Row", "Where", "Why", "Starts"), rows)


def _preview(preview: str) -> str:
    return f"What the model is trained on stands between ⟦ and ⟧.\n\n{fence(preview, PREVIEW_LETTERS)}\n"


def _figures(result: PrepareResult) -> tuple[Figure, ...]:
    """Lengths, and classes or languages where there are several."""
    unit = "tokens of a row" if result.truncation else "tokens of a row, estimated"
    lengths = chart.histogram("How long the rows are", result.lengths.edges, result.lengths.counts, unit)
    figures = [Figure("lengths.svg", lengths, "Rows by their length in tokens")]
    if result.balance:
        shown = result.balance.classes[:CLASSES_SHOWN]
        bars = [chart.Bar(one.label, one.examples, f"{one.examples:,} ({one.share:.0%})") for one in shown]
        caption = f"Rows by class, from the field {result.balance.field}"
        figures.append(Figure("classes.svg", chart.horizontal("Classes", bars), caption))
    if len(result.languages) > 1:
        total = result.unique_examples
        ordered = sorted(result.languages.items(), key=lambda one: -one[1])[:CLASSES_SHOWN]
        bars = [chart.Bar(name, count, f"{count:,} ({count / total:.1%})") for name, count in ordered]
        figures.append(Figure("languages.svg", chart.horizontal("Languages", bars), "Rows by language"))
    return tuple(figures)
