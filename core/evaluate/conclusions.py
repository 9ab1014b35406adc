"""What follows from the numbers: checks, one verdict, and what to do next with the evidence for it."""

from pathlib import Path

from ..checks import Check
from ..models.source import hosted_id
from .comparison import MIN_ITEMS
from .measured import Measured
from .reporting.wording import better_formed, change, predicts, predicts_worse, trained_too_much
from .request import is_adapter, is_gguf
from .result import EvaluateResult, Finding, Generations, ScoreRow

CUT_SHARE = 0.05  # of the fine-tuned model's answers; a model that learned its end token is rarely cut


def draw(result: EvaluateResult, base: Measured, finetuned: Measured | None) -> EvaluateResult:
    """The result with its checks, verdict and recommendations."""
    checks = (
        *result.checks,
        *_finite(base, finetuned),
        *_effect(base, finetuned, rounded=_is_gguf(result)),
        *_endings(result.generation_base, result.generation_finetuned),
        *_enough(result),
    )
    whole = result.model_copy(update={"checks": checks})
    whole = whole.model_copy(update={"verdict": _verdict(whole)})
    return whole.model_copy(update={"recommendations": tuple(_recommendations(whole))})


def _is_gguf(result: EvaluateResult) -> bool:
    return result.finetuned_path is not None and is_gguf(Path(result.finetuned_path))


def _finite(base: Measured, finetuned: Measured | None) -> tuple[Check, ...]:
    if not base.likelihoods:
        return ()
    sides = (("base", base), ("fine-tuned", finetuned))
    bad = {name: sum(not item.finite for item in one.likelihoods) for name, one in sides if one is not None}
    if not any(bad.values()):
        return (Check(name="finite", status="pass", details="Every likelihood is a finite number.", count=0),)
    details = "Not a finite number: " + ", ".join(f"{n} rows of the {name} model" for name, n in bad.items() if n) + "."
    next_step = "The weights are broken: train again with a lower learning_rate, or take an earlier checkpoint."
    return (Check(name="finite", status="fail", details=details, count=sum(bad.values()), next_step=next_step),)


def _effect(base: Measured, finetuned: Measured | None, *, rounded: bool) -> tuple[Check, ...]:
    if finetuned is None:
        return ()
    if not base.likelihoods or rounded:
        return _other_answers(base, finetuned)
    changed = sum(one != other for one, other in zip(base.likelihoods, finetuned.likelihoods, strict=True))
    if changed:
        details = f"The fine-tuned model predicts {changed} of {len(base.likelihoods)} rows differently from the base."
        return (Check(name="has_effect", status="pass", details=details, count=changed),)
    details = (
        "The fine-tuned model predicts every row exactly as the base does: nothing was learned, or nothing loaded."
    )
    next_step = "Check that finetuned_path is the adapter that was trained, and train's report for a loss that fell."
    return (Check(name="has_effect", status="fail", details=details, count=0, next_step=next_step),)


def _other_answers(base: Measured, finetuned: Measured) -> tuple[Check, ...]:
    """Whether the fine-tuned model says anything else.

    All that can be seen of a hosted model; and of a GGUF file, whose rounding changes every likelihood a little.
    """
    pairs = zip(base.answers, finetuned.answers, strict=True)
    changed = sum(one.text != other.text for one, other in pairs)
    if changed or not base.answers:
        details = f"The fine-tuned model answers {changed} of {len(base.answers)} prompts otherwise than the base."
        return (Check(name="has_effect", status="pass", details=details, count=changed),)
    details = "The fine-tuned model answers every prompt word for word as the base does: nothing was learned."
    next_step = "Check that finetuned_path is the tuned model, and that its training's loss fell."
    return (Check(name="has_effect", status="warn", details=details, count=0, next_step=next_step),)


def _endings(base: Generations | None, finetuned: Generations | None) -> tuple[Check, ...]:
    tuned = finetuned or base
    if tuned is None or base is None:
        return ()
    details = f"Cut by the token limit: {base.cut} of {base.answers} answers of the base"
    details += f", {finetuned.cut} of the fine-tuned model." if finetuned else "."
    if tuned.empty:
        details += f" Empty: {tuned.empty}."
    bad = tuned.cut + tuned.empty
    if finetuned is None or bad <= CUT_SHARE * tuned.answers:
        return (Check(name="answers_end", status="pass", details=details, count=bad),)
    next_step = (
        "See in train's report whether answers were cut by max_seq_length, so that their end token was never learned."
    )
    return (Check(name="answers_end", status="warn", details=details, count=bad, next_step=next_step),)


def _enough(result: EvaluateResult) -> tuple[Check, ...]:
    if result.rows >= MIN_ITEMS or result.finetuned_path is None:
        return ()
    details = f"{result.rows} rows are too few to tell a difference from chance; at least {MIN_ITEMS} are needed."
    next_step = "Hold out more rows (prepare's valid_fraction) or raise limit."
    return (Check(name="enough_rows", status="warn", details=details, count=result.rows, next_step=next_step),)


def _verdict(result: EvaluateResult) -> Finding:
    """By the task scores, of which form alone makes no model better; by perplexity only where there are none."""
    if any(check.status == "fail" for check in result.checks):
        return "not trustworthy"
    if result.finetuned_path is None:
        return "base only"
    deciding = [row.verdict for row in result.scores]
    if not deciding and (likelihood := result.perplexity or result.loss):
        deciding = [likelihood.verdict]
    if "improved" in deciding and "regressed" in deciding:
        return "mixed"
    if better_formed(result) is not None:
        return "no evidence"
    for verdict in ("improved", "regressed"):
        if verdict in deciding:
            return verdict
    return "too few items" if deciding and set(deciding) == {"too few items"} else "no evidence"


def _recommendations(result: EvaluateResult) -> list[str]:
    """Most urgent first; each with its evidence."""
    failed = [check for check in result.checks if check.status == "fail"]
    warned = [check for check in result.checks if check.status == "warn"]
    said = [f"{check.details} {check.next_step}" for check in failed]
    if not failed:
        said += _by_verdict(result)
    said += _by_regression(result)
    return said + [f"{check.details} {check.next_step}" for check in warned]


def _by_regression(result: EvaluateResult) -> list[str]:
    fallen = [
        f"{row.capability} fell from {row.base:.0%} to {row.finetuned:.0%} ({row.n} questions)"
        for row in result.regression
        if row.status == "warn" and row.base is not None and row.finetuned is not None
    ]
    if fallen:
        told = "; ".join(fallen)
        return [
            f"{told[:1].upper()}{told[1:]}. Confirm it with a benchmark of more items; if it holds, mix some general "
            "instruction data into the training set, or train with a lower learning_rate or fewer epochs."
        ]
    if result.regression and all(row.status == "open" for row in result.regression):
        points = f"{result.regression_margin * 100:.0f} points"
        return [
            f"Whether other abilities fell by more than {points} is undecided: the questions are too few. Name a "
            "benchmark of some hundred items in `benchmarks` where those abilities matter."
        ]
    return []


def _by_verdict(result: EvaluateResult) -> list[str]:
    match result.verdict:
        case "base only":
            return ["Only the base was measured. Train, then call evaluate again with finetuned_path to compare."]
        case "improved":
            return [f"{_best(result, 'improved')} {_ship(result)}"]
        case "regressed":
            worse = _best(result, "regressed")
            return [f"{worse} Do not ship it: train with a lower learning_rate or fewer epochs, or mend the data."]
        case "mixed":
            both = f"{_best(result, 'improved')} {_best(result, 'regressed')}"
            return [f"{both} Read the samples of the rows that got worse before you decide."]
        case "too few items":
            return ["There are too few rows for any claim: measure more held-out rows before you decide."]
        case _:
            return [_undecided(result)]


def _ship(result: EvaluateResult) -> str:
    """What to do with a better model; after what is warned of, since that follows in the list."""
    warned = any(one.status == "warn" for one in (*result.checks, *result.regression))
    first, ship, use = ("Settle what follows; then ", "ship", "use") if warned else ("", "Ship", "Use")
    if (name := hosted_id(result.finetuned_path)) is not None:
        return f"{first}{use} it: ask the provider for the model {name}."
    if _is_gguf(result):
        return f"{first}{ship} it: serve this file."
    if result.finetuned_path is not None and not is_adapter(Path(result.finetuned_path)):
        return f"{first}{ship} it: the folder holds a whole model, to be served as it is."
    return f"{first}{ship} it: call merge with this adapter, and export the GGUF you need."


def _undecided(result: EvaluateResult) -> str:
    if (gain := better_formed(result)) is not None:
        said = f"{change(gain)} That is their form; that more answers are right is not proven"
        return f"{said}: measure more held-out rows, or {_train_on(result)}."
    if result.scores and (found := predicts(result)) is not None:
        said = f"The fine-tuned model {found}, but its own answers do not score differently beyond chance"
        if predicts_worse(result):
            return f"{said}. Do not ship it: train with a lower learning_rate or fewer epochs, or mend the data."
        return f"{said}: measure more held-out rows, or {_train_on(result)}."
    return f"Neither model is better beyond chance: measure more held-out rows, or {_train_on(result)}."


def _train_on(result: EvaluateResult) -> str:
    """What training may add; not the same rows for longer where they are known too well already."""
    return "train on more data" if trained_too_much(result) else "train longer or on more data"


def _best(result: EvaluateResult, verdict: str) -> str:
    """The clearest score with this verdict, as a sentence."""
    rows = [row for row in result.scores if row.verdict == verdict]
    if rows:
        return change(min(rows, key=_p_value))
    likelihood = result.perplexity or result.loss
    assert likelihood is not None
    return f"Perplexity on held-out answers changed by {likelihood.change_percent:+.1f}% ({likelihood.n} rows)."


def _p_value(row: ScoreRow) -> float:
    return 1.0 if row.p_value is None else row.p_value
