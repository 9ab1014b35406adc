"""What evaluate found out, typed. What was not measured is null, and `checks` says why."""

from datetime import date, datetime
from typing import Literal, NamedTuple

from pydantic import Field

from ..checks import Check
from ..schema import Model

Verdict = Literal["improved", "regressed", "no evidence", "too few items"]
Finding = Literal["improved", "regressed", "mixed", "no evidence", "too few items", "base only", "not trustworthy"]
AnswerKind = Literal["labels", "json", "numbers", "short text", "text", "tool calls"]
Flip = Literal["gained", "lost"]
Judge = Literal["none", "assistant", "human", "endpoint"]
Choice = Literal["A", "B", "tie", "both bad"]


class Interval(NamedTuple):
    """Both ends of an interval; a list of two numbers in JSON."""

    low: float
    high: float


class Likelihood(Model):
    """How well the models predict the given texts; lower is better."""

    base: float | None
    base_ci95: Interval | None = None
    """Of base where it was measured alone."""
    finetuned: float | None = None
    change_percent: float | None = None
    ci95: Interval | None = None
    """Of change_percent."""
    p_value: float | None = None
    detectable: float | None = None
    """The smallest true change_percent that so many rows would prove in 4 of 5 tries."""
    n: int
    """Examples."""
    tokens: int
    """Predicted tokens."""
    verdict: Verdict | None = None


class ScoreRow(Model):
    """One score of both models on the same items."""

    name: str
    """Data or benchmark."""
    metric: str
    """As `metrics` names it, or as lm-eval does."""
    base: float | None
    base_ci95: Interval | None = None
    """Of base where it was measured alone."""
    finetuned: float | None = None
    delta: float | None = None
    """finetuned - base."""
    ci95: Interval | None = None
    """Of delta."""
    p_value: float | None = None
    """Two-sided, paired, uncorrected."""
    detectable: float | None = None
    """The smallest true delta that so many items would prove in 4 of 5 tries, uncorrected."""
    gained: int | None = None
    """Items wrong by the base, right now; null for graded scores."""
    lost: int | None = None
    """The reverse."""
    n: int
    verdict: Verdict | None = None
    """p_value after Holm's correction below 0.05, or not."""
    higher_is_better: bool = True


class ComparedScore(Model):
    """One score of several fine-tuned models on the items that all of them were measured on."""

    name: str
    metric: str
    n: int
    base: float | None
    """Null when the runs had different bases."""
    finetuned: tuple[float, ...]
    best: str
    """Run with the best value."""
    delta: float
    """best - next best."""
    ci95: Interval | None = None
    p_value: float | None = None
    """Paired, best against next best, Holm-corrected over the table; null below 10 items, which prove nothing."""
    proven: bool
    """Whether p_value is below 0.05."""


class Sample(Model):
    """One held-out example answered by both; untrusted text, shortened."""

    prompt: str
    reference: str
    base: str
    finetuned: str | None = None
    flip: Flip | None = None
    """Rows shown because only one model got them right. gained: wrong by the base, right now; lost: the reverse."""


class RegressionRow(Model):
    """What the model could do before, and can now."""

    capability: str
    base: float | None
    finetuned: float | None = None
    delta: float | None = None
    """finetuned - base."""
    ci95: Interval | None = None
    """Of delta."""
    status: Literal["ok", "warn", "open"] | None = None
    """ok: ci95 rules out a fall by regression_margin. warn: fell by more. open: too few items to tell."""
    n: int
    evidence: str
    """What was measured, with numbers."""


class Generations(Model):
    """How one model's answers ended."""

    answers: int
    cut: int
    """Stopped by the token limit, not by the model."""
    empty: int
    refused: int = 0
    """By a hosted model or its provider."""
    mean_tokens: float


class ShownPair(Model):
    """Two answers to judge; all texts are untrusted."""

    pair: str
    """Its number, for `verdicts`."""
    prompt: str
    reference: str
    a: str
    b: str


class Spent(Model):
    """What asking a model over the network took in all attempts of a run, as its answers tell."""

    calls: int
    """Requests answered or lost on their way, trials and repeats among them."""
    unreported: int
    """Of calls: those that did not tell their tokens, which are missing below."""
    read_tokens: int | None
    """Null when none told."""
    written_tokens: int | None
    """Null when none told."""
    usd: float | None
    """Of these tokens, at the price of tuned models; null when tokens or price are unknown."""
    price_as_of: date | None
    """Day of the price list."""


class Rater(Model):
    """One judge."""

    name: str
    judged: int
    """Pairs."""
    win_rate: float | None
    position_flips: int | None


class JudgingDetails(Model):
    """What besides quality may have decided, and who judged."""

    both_bad: int = 0
    """Of the ties."""
    first_won: float | None = None
    """Share of decided votes for the answer shown first; 0.5 is no bias."""
    longer_won: float | None = None
    """Share of decided votes for the longer answer."""
    raters: tuple[Rater, ...] = ()


class Judging(Model):
    """Blind comparison of both models' answers; wins are the fine-tuned model's."""

    judge: Judge
    run_id: str
    """For `runs`, action judge."""
    page_path: str | None = None
    """The page for people."""
    pairs: int
    """Rows drawn."""
    judged: int = 0
    """Pairs with a verdict; equal answers are ties."""
    wins: int = 0
    ties: int = 0
    losses: int = 0
    win_rate: float | None = None
    """Wins and half the ties as a share of judged."""
    ci95: Interval | None = None
    """Of win_rate."""
    p_value: float | None = None
    """Exact sign test, wins against losses."""
    verdict: Verdict | None = None
    position_flips: int | None = None
    """Pairs whose verdict changed with the order; they are ties. Null when each was seen once."""
    agreement: float | None = None
    """Krippendorff's alpha of several judges; 1 is perfect, 0 chance."""
    details: JudgingDetails = JudgingDetails()
    spent: Spent | None = None
    """Of an endpoint as the judge."""


class LengthBin(Model):
    """Mean loss of the answers of one range of length."""

    tokens_from: int
    tokens_to: int
    n: int
    base: float
    finetuned: float | None = None


class Confusion(Model):
    """How often each label was answered by which; one row for each label of the references."""

    labels: tuple[str, ...]
    """Untrusted text. The last column counts the answers that are none of them."""
    base: tuple[tuple[int, ...], ...]
    finetuned: tuple[tuple[int, ...], ...] | None = None


class TrainingFit(Model):
    """Loss per answer token (nats) of rows that were trained on, beside the held-out rows."""

    n: int
    """Training rows, drawn by seed."""
    base: float
    finetuned: float
    held_out_base: float
    held_out_finetuned: float
    gap: float
    """How much more the loss fell on training rows."""
    ci95: Interval | None = None
    """Of gap."""


class Breakdown(Model):
    """What lies behind the means."""

    by_length: tuple[LengthBin, ...] = ()
    """Loss of short to long answers."""
    training: TrainingFit | None = None
    """Whether the fine-tuned model knows its training rows better than others; null where they were not found."""
    confusion: Confusion | None = None
    """Where answers are labels."""


class Plan(Model):
    """What a dry run expects."""

    rows: int
    scored_tokens: int
    """Through the model once, for both models together."""
    generated_tokens: int
    """At most."""
    memory_bytes: int | None
    """Null for hosted models."""
    seconds: float | None
    """A rough guess from the speed of this machine's arithmetic."""
    usd: float | None = None
    """Of hosted models, at most, and of the judge, roughly; null when no price is known."""


class EvaluateResult(Model):
    """Base and fine-tuned model on the same held-out rows."""

    model_name: str
    finetuned_path: str | None
    data_path: str
    evaluated_at: datetime
    rows: int
    verdict: Finding | None
    perplexity: Likelihood | None = None
    loss: Likelihood | None = None
    """Nats."""
    bits_per_byte: Likelihood | None = None
    perplexity_all_tokens: Likelihood | None = None
    """Of prompts and answers."""
    answer_kind: AnswerKind | None = None
    answer_kind_reason: str = ""
    scores: tuple[ScoreRow, ...] = ()
    """Of generated answers. 0 to 1; BLEU and chrF 0 to 100."""
    benchmarks: tuple[ScoreRow, ...] = ()
    samples: tuple[Sample, ...] = ()
    regression: tuple[RegressionRow, ...] = ()
    regression_margin: float
    generation_base: Generations | None = None
    generation_finetuned: Generations | None = None
    max_new_tokens: int | None = None
    checks: tuple[Check, ...] = ()
    recommendations: tuple[str, ...] = ()
    judging: Judging | None = None
    spent: Spent | None = None
    """By hosted models under test."""
    breakdown: Breakdown | None = None
    samples_path: str | None = None
    """All answers, JSON lines."""
    plan: Plan | None = Field(default=None)
    """Dry run only."""
    seconds: float | None = None
