"""The Model Evaluation Report."""

from collections.abc import Callable, Iterator

from ...models.source import hosted_id
from ...reports.markdown import bytes_size, table
from ...reports.report import Figure, Report
from ..comparison import MIN_ITEMS
from ..result import EvaluateResult, Generations, ScoreRow
from . import breakdown, figure, judged, likelihood, regression, samples, wording

BENCHMARK_CHECKS = ("benchmark", "benchmark_flips")  # how they were asked, and what became of single items
UNSCORED_CHECKS = ("answers_with_text", "prompts_fit", "metrics")  # why rows or metrics were left out of the scores
TITLE = "Model Evaluation Report"
SCORE_HEADER = ("Base", "Fine-tuned", "Delta", "95% interval", "p", "Items", "Flips", "Detectable", "Verdict")
ALONE_HEADER = ("Base", "95% interval", "Items")
COMPARED = (
    "\nDeltas of shares are in percentage points. Both models are compared row by row, and p decides the verdict: of "
    "the exact McNemar test (1947) where rows are right or wrong, of a permutation test (Noreen 1989) where they are "
    "graded; corrected for the number of scores with enough rows (Holm 1979), it must be below 0.05. The interval "
    "(Bonett and Price 2012; bootstrap where graded) tells how large the difference may be; it is not corrected, and "
    "not exact for few rows. Flips: rows that only the fine-tuned model (+) or only the base (-) got "
    "right. Detectable: the smallest true difference that so many rows would prove in four of five tries.\n"
    "\nThe model counts as better where a score is proven better and none is proven worse. All scores count alike, and "
    "the more there are, the more each must show: of ten, one needs 9 flips all one way, a single one 6.\n"
)


def report(result: EvaluateResult) -> Report:
    """The finding first, then the mission's sections."""
    headline = _headline(result)
    parts = [f"# {TITLE}", _head(result), f"**{headline}**"]
    if result.plan is not None:
        parts += ["## Plan", _plan(result)]
    else:
        parts += [
            "## Perplexity Comparison",
            _perplexity(result),
            *breakdown.by_length(result.breakdown),
            "## Benchmark Results",
            _benchmarks(result),
            "## Task-Specific Evaluation",
            _scores(result),
            *breakdown.confusion(result.breakdown),
            *judged.section(result.judging),
            "## Sample Outputs",
            samples.section(result),
            "## Regression Check",
            regression.section(result),
        ]
    parts += ["## Recommendations", _recommendations(result)]
    markdown = "\n\n".join(part.strip("\n") for part in parts) + "\n"
    return Report(title=TITLE, headline=headline, markdown=markdown, figures=tuple(_figures(result)))


def _figures(result: EvaluateResult) -> Iterator[Figure]:
    if result.finetuned_path and not result.plan:
        yield Figure(
            name="evaluation.png",
            image=figure.picture(result),
            caption="Left: differences of the scores with their 95% intervals. Right: right answers by capability.",
        )
    found = result.breakdown
    if found is not None and len(found.by_length) > 1:
        yield Figure(
            name="loss-by-length.svg",
            image=figure.loss_by_length(found.by_length),
            caption="Mean loss of a token in short and long answers; lower is better.",
        )
    if found is not None and found.confusion is not None:
        yield Figure(
            name="confusion.svg",
            image=figure.confusion(found.confusion),
            caption="Which label was answered for which; 'other' is an answer that is none of the labels.",
        )


def _head(result: EvaluateResult) -> str:
    tuned = f"`{result.finetuned_path}`" if result.finetuned_path else "none given: only the base was measured"
    lines = (
        f"**Model:** `{result.model_name}`",
        f"**Fine-tuned:** {tuned}",
        f"**Date:** {result.evaluated_at:%Y-%m-%d}",
        f"**Held-out data:** `{result.data_path}`, {result.rows:,} rows",
    )
    return "  \n".join(lines)


def _headline(result: EvaluateResult) -> str:
    if result.plan is not None:
        return f"Dry run: {result.rows:,} rows can be measured; nothing was."
    first = {
        "improved": "The fine-tuned model is better.",
        "regressed": "The fine-tuned model is worse.",
        "mixed": "The fine-tuned model is better in some scores and worse in others.",
        "no evidence": "No difference beyond chance was found.",
        "too few items": "Too few rows to tell whether fine-tuning helped.",
        "base only": "Only the base model was measured.",
        "not trustworthy": "These numbers cannot be trusted.",
    }[result.verdict or "no evidence"]
    if result.verdict == "no evidence" and wording.better_formed(result) is not None:
        first = "The fine-tuned model's answers are better formed, but not proven to be better."
    elif result.verdict == "no evidence" and result.scores and (predicts := wording.predicts(result)) is not None:
        first = f"The answers do not score differently beyond chance, but the fine-tuned model {predicts}."
    failed = [check.details for check in result.checks if check.status == "fail"]
    worse = [row.capability for row in result.regression if row.status == "warn"]
    parts = [first, *failed, _main_numbers(result)]
    if result.judging is not None and result.judging.judged:
        parts.append(wording.judged(result.judging))
    if worse:
        parts.append(f"It may have lost some of: {', '.join(worse)}.")
    return " ".join(part for part in parts if part)


def _main_numbers(result: EvaluateResult) -> str:
    told = []
    if result.scores:
        both = " for both" if result.finetuned_path else ""
        row = min(result.scores, key=lambda row: (row.n < MIN_ITEMS, 1.0 if row.p_value is None else row.p_value))
        same = f"{wording.label(row)}: {wording.value(row, row.base)}{both}."
        told.append(wording.change(row) if row.delta else same)
    if (found := result.perplexity) is not None and found.base is not None:
        tuned = f", fine-tuned {found.finetuned:,.2f}" if found.finetuned is not None else ""
        told.append(f"Perplexity of held-out answers: base {found.base:,.2f}{tuned}.")
    return " ".join(told)


def _plan(result: EvaluateResult) -> str:
    plan = result.plan
    assert plan is not None
    time = "unknown, because of the benchmarks" if plan.seconds is None else f"about {plan.seconds:,.0f} s"
    is_hosted = hosted_id(result.model_name) is not None
    is_judged = any(check.name == "judge" for check in result.checks)
    here = (("Memory", bytes_size(plan.memory_bytes)), ("Time, roughly", time))
    cost = "Cost, roughly, judge included" if is_judged else "Cost, at most"
    paid = ((cost, None if plan.usd is None else f"${plan.usd:,.4f}"),)
    return table(
        ("What", "Expected"),
        (
            ("Rows", f"{plan.rows:,}"),
            ("Tokens read", f"{plan.scored_tokens:,}"),
            ("Tokens generated, at most", f"{plan.generated_tokens:,}"),
            *(() if is_hosted else here),
            *(paid if is_hosted or is_judged else ()),
            ("Metrics", f"{result.answer_kind}: {result.answer_kind_reason}"),
        ),
    )


def _perplexity(result: EvaluateResult) -> str:
    if hosted_id(result.model_name) is not None:
        return "Not measured: hosted models do not tell how likely given answers are."
    return likelihood.section(result)


def _benchmarks(result: EvaluateResult) -> str:
    if not result.benchmarks and hosted_id(result.model_name) is not None:
        return "None: they need a model's weights. The built-in questions below stand in for them."
    if not result.benchmarks:
        return (
            "None were asked for. Name lm-eval tasks in `benchmarks`; the built-in questions below stand in for them."
        )
    header, cells = _columns(result)
    rows = ((f"{row.name}, {row.metric}", *cells(row)) for row in result.benchmarks)
    setup = "".join(f"\n- {check.details}" for check in result.checks if check.name in BENCHMARK_CHECKS)
    return table(("Benchmark", *header), rows) + wording.p_decides(result.benchmarks) + setup


def _scores(result: EvaluateResult) -> str:
    if not result.scores:
        why = [check.details for check in result.checks if check.name in UNSCORED_CHECKS]
        return " ".join(["No score was computed.", *why]) if why else "No score was asked for."
    header, cells = _columns(result)
    told = table(("Task", "Metric", *header), ((row.name, wording.label(row), *cells(row)) for row in result.scores))
    if result.finetuned_path is not None:
        told += COMPARED + wording.form_alone(result.scores) + wording.p_decides(result.scores)
        told += wording.no_interval(result.scores)
    return (
        f"The metrics were chosen for answers of the kind “{result.answer_kind}”: {result.answer_kind_reason}.\n\n"
        f"{told}{_endings(result)}"
    )


def _columns(result: EvaluateResult) -> tuple[tuple[str, ...], Callable[[ScoreRow], tuple[object, ...]]]:
    """The header of a table of scores, and what makes a row's cells."""
    if result.finetuned_path is None:
        return ALONE_HEADER, lambda row: (wording.value(row, row.base), wording.interval(row), row.n)
    return SCORE_HEADER, _cells


def _cells(row: ScoreRow) -> tuple[object, ...]:
    return (
        wording.value(row, row.base),
        wording.value(row, row.finetuned),
        wording.delta(row),
        wording.interval(row),
        wording.p_value(row.p_value),
        row.n,
        wording.flips(row),
        wording.detectable(row),
        row.verdict,
    )


def _endings(result: EvaluateResult) -> str:
    def said(name: str, one: Generations | None) -> str:
        if one is None:
            return ""
        refused = f", {one.refused} refused" if hosted_id(result.model_name) is not None else ""
        counts = f"{one.cut} of {one.answers} cut, {one.empty} empty{refused}"
        return f" {name}: {one.mean_tokens:,.0f} tokens on average, {counts}."

    both = said("Base", result.generation_base) + said("Fine-tuned", result.generation_finetuned)
    return f"\nAnswers are cut after {result.max_new_tokens:,} tokens.{both}"


def _recommendations(result: EvaluateResult) -> str:
    said = [f"- {text}" for text in result.recommendations]
    shown = () if result.plan is not None else BENCHMARK_CHECKS  # above, with the scores
    passed = [check.details for check in result.checks if check.status == "pass" and check.name not in shown]
    if result.plan is not None:
        said = [f"- {check.details} {check.next_step}" for check in result.checks if check.status != "pass"]
    if passed:
        said.append(f"- Checked and in order: {' '.join(passed)}")
    return "\n".join(said)
