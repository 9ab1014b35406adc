"""What training would cost: tokens times epochs times a dated price, and the time that earlier jobs took."""

from dataclasses import dataclass

from ..models.hosted.environment import base_url, host_of
from ..models.hosted.providers import Provider
from ..settings import Settings
from .pace import expected_seconds
from .request import OpenAIRequest
from .result import Estimate

# The rule for epochs "auto" that OpenAI published in its data preparation cookbook.
USUAL_EPOCHS = 3
MIN_PASSES, MAX_PASSES = 100, 25_000  # examples x epochs that it aims at
MAX_AUTO_EPOCHS = 25


@dataclass(frozen=True)
class Estimated:
    """An estimate and what limits it."""

    estimate: Estimate
    warnings: tuple[str, ...]


def estimate_job(request: OpenAIRequest, examples: int, tokens: int, provider: Provider) -> Estimated:
    """The cost of a job of this request.

    Args:
        request: The resolved request.
        examples: Training examples.
        tokens: Tokens of one pass over them, each example cut at the longest allowed.
        provider: Who would train, at which prices.
    """
    if request.method == "reinforcement":
        return Estimated(
            _estimate(provider), ("Reinforcement is billed by the hour and by the grader's tokens: not estimated.",)
        )
    asked = request.hyperparameters.epochs
    epochs = auto_epochs(examples) if asked is None else asked
    known = provider.model(request.model)
    price = known.training_usd if known else None
    warnings: list[str] = []
    if asked is None and provider.auto_epochs:
        warnings.append(f"The service chooses the epochs; its published rule gives {epochs} for {examples:,} examples.")
    elif asked is None:
        warnings.append(f"How {provider.name} chooses the epochs is not known; OpenAI's rule, {epochs}, is a guess.")
    if price is None:
        priced = ", ".join(sorted(model.name for model in provider.models if model.training_usd)) or "none"
        warnings.append(f"No price is known for this model, so usd is null. Known for {provider.name}: {priced}.")
    usd = None if price is None else round(tokens * epochs * price / 1e6, 4)
    limit = request.max_cost_usd
    if usd is not None and isinstance(limit, float) and usd > limit:
        warnings.append(f"The estimate of ${usd:,.2f} is above max_cost_usd ${limit:,.2f}.")
    return Estimated(_estimate(provider, tokens, epochs, usd), tuple(warnings))


def auto_epochs(examples: int) -> int:
    """Epochs that the service chooses by itself: 3, more for few examples, fewer for many; 1 to 25."""
    if not examples:
        return USUAL_EPOCHS
    if USUAL_EPOCHS * examples < MIN_PASSES:
        return min(MAX_AUTO_EPOCHS, MIN_PASSES // examples)
    if USUAL_EPOCHS * examples > MAX_PASSES:
        return max(1, MAX_PASSES // examples)
    return USUAL_EPOCHS


def _estimate(
    provider: Provider, tokens: int | None = None, epochs: int | None = None, usd: float | None = None
) -> Estimate:
    trained = tokens * epochs if tokens is not None and epochs is not None else None
    seconds, basis = expected_seconds(host_of(base_url()), trained, Settings.from_environment())
    return Estimate(
        tokens=tokens,
        epochs=epochs,
        usd=usd,
        price_as_of=provider.as_of,
        price_source=provider.source,
        seconds=seconds,
        seconds_basis=basis,
    )
