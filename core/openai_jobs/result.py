"""What is known about hosted fine-tuning data and jobs."""

from datetime import date, datetime

from pydantic import Field

from ..checks import Check
from ..schema import Model


class Estimate(Model):
    """What a hosted job would cost."""

    tokens: int | None
    """Tokens of one pass over the training data, each example cut at the longest allowed; null for reinforcement."""

    epochs: int | None
    """Passes; null for reinforcement."""

    usd: float | None
    """tokens x epochs x price, in US dollars; null when no price is known: see warnings."""

    price_as_of: date
    """Day on which the price table was made."""

    price_source: str
    """Where its prices come from."""


class HostedJob(Model):
    """A job at the service."""

    id: str
    status: str
    """As the service names it."""
    model: str
    finetuned_model: str | None
    trained_tokens: int | None
    finishes_at: datetime | None
    error: str | None


class HostedEvent(Model):
    """One line of a job's log."""

    at: datetime
    message: str


class HostedCheckpoint(Model):
    """A model saved between epochs."""

    model: str
    step: int


class OpenAIResult(Model):
    """What an `openai` action found."""

    checks: tuple[Check, ...]
    """The service's rules, held against the data; line numbers count from 1."""

    estimate: Estimate | None = None
    """For action estimate."""

    file_ids: tuple[str, ...] = ()
    """Uploaded files."""

    job: HostedJob | None = None
    """The job; null for check and estimate."""

    events: tuple[HostedEvent, ...] = ()
    """The job's log, oldest first."""

    checkpoints: tuple[HostedCheckpoint, ...] = ()
    """The job's saved models."""

    reply: str | None = Field(default=None)
    """The tuned model's answer, for chat."""

    warnings: tuple[str, ...] = ()
    """What to know before spending money."""
