"""What is known about data for hosted fine-tuning."""

from datetime import date

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


class OpenAIResult(Model):
    """What an `openai` action found."""

    checks: tuple[Check, ...]
    """The service's rules, held against the data; line numbers count from 1."""

    estimate: Estimate | None = None
    """For action estimate."""

    warnings: tuple[str, ...] = ()
    """What to know before spending money."""
