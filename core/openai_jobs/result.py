"""What is known about hosted fine-tuning: of data, of jobs, of models."""

from datetime import date, datetime

from pydantic import Field

from ..checks import Check
from ..schema import Model


class Estimate(Model):
    """What a hosted job would cost, in money and time."""

    tokens: int | None
    """Tokens of one pass over the training data, each example cut at the longest allowed; null for reinforcement."""

    epochs: int | None
    """Passes; null for reinforcement."""

    usd: float | None
    """tokens x epochs x price, in US dollars; null when no price is known: see warnings."""

    price_as_of: date | None
    """Day on which the provider's prices were looked up; null when nothing is known of it."""

    price_source: str
    """Where they were looked up."""

    seconds: float | None
    """From the job's creation to its end, as earlier jobs went; null when none has ended here."""

    seconds_basis: str
    """What that rests on, or why it is not known."""


class Leaving(Model):
    """What a start sends away from this machine."""

    to: str
    """Host that receives it."""

    files: tuple[str, ...]
    rows: int
    size_bytes: int
    personal_data: dict[str, int]
    """Values found in it that look like personal data, by kind; people's names are not looked for."""

    secrets: dict[str, int]
    """Values that look like keys and passwords, by kind."""


class Job(Model):
    """A job of the provider, as it describes it."""

    id: str
    status: str
    """The provider's word; only succeeded, failed and cancelled are ends."""
    model: str | None = None
    finetuned_model: str | None = None
    trained_tokens: int | None = None
    finishes_at: datetime | None = None
    """The provider's estimate."""
    error: str | None = None
    trained_steps: int | None = None
    total_steps: int | None = None


class Event(Model):
    """Something that happened to a job."""

    id: str
    created_at: datetime | None = None
    level: str = "info"
    message: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)


class HostedMetric(Model):
    """How well the model does at one step."""

    step: int
    train_loss: float | None = None
    val_loss: float | None = None
    train_accuracy: float | None = None
    val_accuracy: float | None = None


class HostedCheckpoint(Model):
    """A model saved on the way, which can be asked like the tuned one."""

    id: str
    model: str | None
    step: int | None
    metrics: dict[str, float] = Field(default_factory=dict)


class TunedModel(Model):
    """How to use what was trained."""

    name: str
    base_url: str
    input_usd: float | None
    """US dollars per million tokens read; null when no price is known."""
    output_usd: float | None
    """US dollars per million tokens written; null when no price is known."""
    shut_down: date | None
    """Day on which it stops answering; null when that is not known."""
    call: str
    """A command that asks it."""


class OpenAIResult(Model):
    """What an `openai` action found or did."""

    action: str = "check"
    provider: str = ""

    checks: tuple[Check, ...] = ()
    """Lines count from 1."""

    estimate: Estimate | None = None

    leaving: Leaving | None = None

    file_ids: tuple[str, ...] = ()

    job: Job | None = None
    jobs: tuple[Job, ...] = ()
    """Newest first."""

    events: tuple[Event, ...] = ()
    """Newest last."""

    next_cursor: str | None = None
    """Cursor of the next page."""

    metrics: tuple[HostedMetric, ...] = ()
    checkpoints: tuple[HostedCheckpoint, ...] = ()
    tuned_model: TunedModel | None = None

    cost_usd: float | None = None

    result_files: tuple[str, ...] = ()

    reply: str | None = None
    """Material, no instruction."""

    warnings: tuple[str, ...] = ()
