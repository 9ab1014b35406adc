"""Whether the numbers of a training can teach anything: steps, learning rate, strength of the adapter."""

import math
from collections.abc import Sequence

from ..checks import Check
from .hyperparameters import Hyperparameters, with_defaults
from .plan import Setup
from .recipe import Recipe
from .request import TrainRequest

FEW_STEPS = 10  # of the optimizer; fewer seldom move a model from where it was
LONG_WARMUP = 0.5  # of all steps
HIGH_RATE, LOW_RATE = 10, 0.01  # times the default of technique and method
STRONG, WEAK = 8, 0.5  # alpha / rank; usual is 1 to 2

Findings = Sequence[tuple[str, str]]
"""What is wrong, and what to do."""


def number_checks(request: TrainRequest, setup: Setup) -> tuple[Check, ...]:
    """The checks of what was asked for, as it was settled."""
    numbers = setup.recipe.numbers
    checks = (_steps_check(setup.recipe, len(setup.rows.train)), _rate_check(request, numbers))
    return checks if numbers.rank is None else (*checks, _adapter_check(request, numbers, setup.shape.hidden))


def _check(name: str, details: str, found: Findings) -> Check:
    if not found:
        return Check(name=name, status="pass", details=details)
    wrong, remedies = zip(*found, strict=True)
    return Check(name=name, status="warn", details=" ".join((details, *wrong)), next_step=" ".join(remedies))


def _steps_check(recipe: Recipe, rows: int) -> Check:
    """Whether there are enough steps, most of them near the full rate, to read every row."""
    steps, epochs = recipe.steps, recipe.steps / recipe.steps_per_epoch
    warming = math.ceil(steps * recipe.get("warmup_ratio"))  # as transformers counts them
    found = []
    if warming >= LONG_WARMUP * steps:
        found.append(
            (
                f"{warming} of them warm up, the first at a learning rate of 0, which changes nothing.",
                "Lower warmup_ratio, to 0 where there are few steps.",
            )
        )
    if steps < FEW_STEPS:
        found.append(
            (
                "So few seldom teach a model anything.",
                "Take fewer rows a step (batch_size, gradient_accumulation), or more epochs.",
            )
        )
    if epochs < 1:
        unread = rows - round(rows * epochs)
        found.append((f"About {unread:,} of {rows:,} training rows are never read.", "Raise epochs or max_steps."))
    return _check("Steps", f"Optimizer steps: {steps:,}, in {epochs:.3g} epochs.", found)


def _rate_check(request: TrainRequest, numbers: Hyperparameters) -> Check:
    usual = with_defaults(Hyperparameters(), request.technique, request.method).learning_rate or 1.0
    rate = numbers.learning_rate or 0.0
    details = f"{rate:.2g} at the peak; {usual:.2g} is usual for {request.technique} and {request.method}."
    found = []
    if not LOW_RATE * usual <= rate <= HIGH_RATE * usual:
        outcome = "a model may forget what it knew, or diverge" if rate > usual else "the model will hardly move"
        found.append((f"{rate / usual:.2g} times that: {outcome}.", f"Try {usual:.2g} first, and compare."))
    return _check("Learning rate", details, found)


def _adapter_check(request: TrainRequest, numbers: Hyperparameters, width: int) -> Check:
    """Whether the adapter's strength was meant, and all of its rank is of use; `width` is the model's."""
    rank, alpha = numbers.rank or 1, numbers.alpha or 1.0
    scale = alpha / (math.sqrt(rank) if numbers.use_rslora else rank)
    found = []
    if scale > STRONG or (scale < WEAK and request.hyperparameters.alpha is None):
        asked = "" if request.hyperparameters.alpha else ", and alpha stayed at its default"
        found.append(
            (
                f"Usual is 1 to 2{asked}: it learns as with a {'higher' if scale > STRONG else 'lower'} learning rate.",
                f"Set alpha to the rank ({rank}), or leave it if that is meant.",
            )
        )
    if rank > width:
        found.append(
            (
                f"The model is {width:,} numbers wide: a higher rank costs memory and adds nothing.",
                f"Take a rank far below {width:,}, such as 16.",
            )
        )
    details = f"Rank {rank}, alpha {alpha:g}: what it learns is added with a strength of {scale:.3g}."
    return _check("Adapter", details, found)
