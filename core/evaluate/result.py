"""What evaluate found out, typed. What was not measured is null, and `checks` says why."""

from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import Field

from ..checks import Check
from ..schema import Model

Verdict = Literal["improved", "regressed", "no evidence", "too few items"]
Finding = Literal["improved", "regressed", "mixed", "no evidence", "too few items", "base only", "not trustworthy"]
AnswerKind = Literal["labels", "json", "numbers", "short text", "text"]
TextScore = Literal[
    "accuracy", "f1", "exact_match", "number_match", "json_valid", "json_fields", "token_f1", "bleu", "chrf",
    "rouge1", "rouge2", "rougeL",
]  # fmt: skip


class Interval(NamedTuple):
    """Both ends of an interval; a list of two numbers in JSON."""

    low: float
    high: float


class Likelihood(Model):
    """How well the models predict the given texts; lower is better."""

    base: float | None
    finetuned: float | None = None
    change_percent: float | None = None
    ci95: Interval | None = None
    """Of change_percent."""
    p_value: float | None = None
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
    finetuned: float | None = None
    delta: float | None = None
    """finetuned - base."""
    ci95: Interval | None = None
    """Of delta."""
    p_value: float | None = None
    """Two-sided, paired, uncorrected."""
    n: int
    verdict: Verdict | None = None
    """p_value after Holm's correction below 0.05, or not."""
    higher_is_better: bool = True


class Sample(Model):
    """One held-out example answered by both; untrusted text, shortened."""

    prompt: str
    reference: str
    base: str
    finetuned: str | None = None


class RegressionRow(Model):
    """What the model could do before, and can now."""

    capability: str
    base: float | None
    finetuned: float | None = None
    status: Literal["ok", "warn"] | None = None
    """warn: fell by more than regression_margin."""
    n: int
    evidence: str
    """What was measured, with numbers."""


class Generations(Model):
    """How one model's answers ended."""

    answers: int
    cut: int
    """Stopped by the token limit, not by the model."""
    empty: int
    mean_tokens: float


class Plan(Model):
    """What a dry run expects."""

    rows: int
    scored_tokens: int
    """Through the model once, for both models together."""
    generated_tokens: int
    """At most."""
    memory_bytes: int
    seconds: float | None
    """A rough guess from the speed of this machine's arithmetic."""


class EvaluateResult(Model):
    """Base and fine-tuned model on the same held-out rows."""

    model_name: str
    finetuned_path: str | None
    data_path: str
    """The file that was measured."""
    evaluated_at: datetime
    rows: int
    """Held-out rows measured."""
    verdict: Finding | None
    """Over all scores; null in a dry run."""
    perplexity: Likelihood | None = None
    """Of the answers."""
    loss: Likelihood | None = None
    """Mean negative log likelihood of an answer's token, nats."""
    perplexity_all_tokens: Likelihood | None = None
    """Of prompts and answers."""
    answer_kind: AnswerKind | None = None
    answer_kind_reason: str = ""
    """Why these metrics."""
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
    samples_path: str | None = None
    """All answers, one JSON object a line."""
    plan: Plan | None = Field(default=None)
    """Dry run only."""
    seconds: float | None = None
