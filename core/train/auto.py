"""`auto`: what was left open, chosen by model, data and memory, each with its reason and where the rule comes from."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .estimate import Estimator
from .hyperparameters import PREFERENCE, Hyperparameters
from .request import TrainRequest
from .result import Choice
from .rows import Rows

REGRET = "LoRA Without Regret (thinkingmachines.ai/blog/lora)"
TINKER = "tinker-cookbook, hyperparam_utils.get_lr"
UNSLOTH = "Unsloth's LoRA hyperparameters guide"
OWN_LENGTH = "own rule: the 99th percentile, when the longest row is far beyond it"
OWN_MEMORY = "own rule: the estimate of the peak against what this machine has"
OWN_PACKING = "own rule: NeMo and torchtune pack short rows for two to four times the speed on a GPU"

BASE_RATE, LORA_FACTOR, REFERENCE_HIDDEN = 5e-5, 10, 2000
EXPONENTS = {"llama": 0.781, "qwen2": 0.0775, "qwen3": 0.0775}
"""How the best rate falls with the hidden size, by the configuration's model_type; Tinker knows these two families."""

MANY_ROWS, MANY_ROWS_RANK, USUAL_RANK = 50_000, 32, 16
EPOCHS = ((5_000, 3.0), (50_000, 2.0), (math.inf, 1.0))
"""Up to so many rows, so many epochs."""

FAR_BEYOND = 1.5  # times the 99th percentile; a longest row nearer to it costs little and is kept whole
MULTIPLE = 8  # of tokens: lengths in whole tiles of a matrix unit
SHORT_ROWS = 1 / 3  # of the longest; rows shorter than this on average leave room for others


def by_length(request: TrainRequest, lengths: Sequence[int]) -> Choice | None:
    """The length after which rows are cut, when a few long ones would set the memory for all."""
    if not request.auto or request.hyperparameters.max_seq_length:
        return None
    ordered = sorted(lengths)
    most = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    enough = -(-most // MULTIPLE) * MULTIPLE
    if ordered[-1] <= FAR_BEYOND * enough:
        return None
    cut = sum(length > enough for length in ordered)
    reason = f"99% of the rows have at most {most:,} tokens, the longest has {ordered[-1]:,}; {cut} rows are cut"
    return Choice(name="max_seq_length", value=enough, reason=reason, source=OWN_LENGTH)


def by_data(request: TrainRequest, rows: Rows, config: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Learning rate, rank, epochs and packing, those of them that were left open."""
    if not request.auto:
        return ()
    asked, found = request.hyperparameters, []
    if asked.learning_rate is None:
        found += _learning_rate(request, config)
    if request.technique != "full" and asked.rank is None:
        found += _rank(asked, len(rows.train))
    if asked.epochs is None and asked.max_steps is None:
        found.append(_epochs(len(rows.train)))
    return tuple(found)


def _learning_rate(request: TrainRequest, config: Mapping[str, Any]) -> list[Choice]:
    """Tinker's formula, which was fitted to supervised LoRA at scale alpha / rank = 1; a tenth for all weights."""
    text = config.get("text_config")
    text = text if isinstance(text, Mapping) else config
    family, hidden = str(text.get("model_type")), text.get("hidden_size")
    exponent = EXPONENTS.get(family)
    if exponent is None or not isinstance(hidden, int) or request.method in PREFERENCE:
        return []
    full = request.technique == "full"
    rate = BASE_RATE * (1 if full else LORA_FACTOR) * (REFERENCE_HIDDEN / hidden) ** exponent
    reason = f"{family} with hidden size {hidden:,}" + (", all weights: a tenth of LoRA's" if full else "")
    return [Choice(name="learning_rate", value=float(f"{rate:.2g}"), reason=reason, source=f"{TINKER}; {REGRET}")]


def _rank(asked: Hyperparameters, rows: int) -> list[Choice]:
    rank = MANY_ROWS_RANK if rows > MANY_ROWS else USUAL_RANK
    reason = f"{rows:,} rows, {'more' if rows > MANY_ROWS else 'not more'} than {MANY_ROWS:,}"
    found = [Choice(name="rank", value=rank, reason=reason, source=REGRET)]
    if asked.alpha is None:
        scale = "as the rank, so that the learning rate needs no change with it"
        found.append(Choice(name="alpha", value=float(rank), reason=scale, source=UNSLOTH))
    return found


def _epochs(rows: int) -> Choice:
    limit, epochs = next((limit, epochs) for limit, epochs in EPOCHS if rows <= limit)
    size = f"at most {limit:,.0f}" if math.isfinite(limit) else f"more than {EPOCHS[-2][0]:,}"
    return Choice(
        name="epochs",
        value=epochs,
        reason=f"{rows:,} rows, {size}; early stopping may end it before",
        source=f"{UNSLOTH}: one to three",
    )


def by_memory(request: TrainRequest, numbers: Hyperparameters, estimator: Estimator) -> tuple[Choice, ...]:
    """Rows at once: as many as fit on a GPU, and at most the usual number on a CPU, where more are no faster.

    Args:
        request: Whether there is something to choose.
        numbers: What would hold otherwise; a step keeps as many rows.
        estimator: For the memory of each choice.
    """
    if not request.auto or request.hyperparameters.batch_size or request.hyperparameters.gradient_accumulation:
        return ()
    usual, effective = numbers.batch_size or 1, (numbers.batch_size or 1) * (numbers.gradient_accumulation or 1)
    most = effective if estimator.machine.device == "cuda" else usual
    without = numbers.model_copy(update={"gradient_checkpointing": bool(numbers.gradient_checkpointing)})
    sizes = [size for size in range(most, 0, -1) if effective % size == 0]
    for size in sizes:
        values = {"batch_size": size, "gradient_accumulation": effective // size}
        found = estimator.estimate(request.technique, without.model_copy(update=values))
        if found.fits:
            break
    else:
        return ()
    reason = (
        f"{found.footprint.total / 1e9:.1f} GB at the peak, {found.available / 1e9:.1f} GB are available; "
        f"a step has {effective} rows"
    )
    return tuple(Choice(name=n, value=v, reason=reason, source=OWN_MEMORY) for n, v in values.items())


def filled(asked: Hyperparameters, choices: Sequence[Choice]) -> Hyperparameters:
    """What was asked for, with the choices in the places that were left open."""
    return asked.model_copy(update={choice.name: choice.value for choice in choices})
