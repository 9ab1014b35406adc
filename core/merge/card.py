"""The model card: what this model is made of, and how that was proven."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..reports.markdown import percent
from .plan import Weighted
from .provenance import Training
from .result import Verification


@dataclass(frozen=True)
class Ingredients:
    """What a card tells of."""

    model_name: str
    base_dtype: str
    dtype: str
    adapters: Sequence[Weighted]
    training: Training | None
    verification: Verification | None


def card(made_of: Ingredients) -> str:
    """README.md for the merged folder; names folders, never whole paths, since the card may be published."""
    given = made_of.model_name
    name = Path(given).name if Path(given).is_absolute() else given
    adapters = "\n".join(_adapter_line(entry) for entry in made_of.adapters)
    return CARD.format(
        quoted=json.dumps(name),
        name=name,
        base_dtype=made_of.base_dtype,
        adapters=adapters,
        data=_data(made_of.training),
        dtype=made_of.dtype,
        checked=_checked(made_of.verification),
    )


CARD = """---
base_model: {quoted}
base_model_relation: finetune
library_name: transformers
pipeline_tag: text-generation
tags:
- faion-finetuner
- merged-adapter
---

# {name}, fine-tuned

## What it is made of

- Base model: `{name}` ({base_dtype})
{adapters}
- Training data: {data}
- Number format: {dtype}
- Licence: the base model's applies; it was not read for this card.

## How it was checked

{checked}
"""


def _adapter_line(entry: Weighted) -> str:
    config = entry.adapter.config
    numbers = [f"{key} {config[name]}" for key, name in (("rank", "r"), ("alpha", "lora_alpha")) if config.get(name)]
    facts = ", ".join([str(config.get("peft_type", "adapter")).lower(), *numbers])
    share = "" if entry.weight == 1 else f", weight {entry.weight:g}"
    return f"- Adapter: `{entry.adapter.folder.name}` ({facts}{share})"


def _data(training: Training | None) -> str:
    if training is None:
        return "unknown (the adapter does not lie in the output folder of a train run)"
    data = f"`{training.data_path.name}`" if training.data_path else "gone"
    return f"{data}, from run {training.run_id}"


def _checked(found: Verification | None) -> str:
    if found is None:
        return "Not checked: verification was switched off."
    kl, difference = f"{found.mean_kl:.2e} nats", f"{found.max_abs_logit_difference:.2e}"
    return (
        f"Reloaded from disk and compared with base + adapter on {found.prompts} prompts ({found.prompt_source}), "
        f"{found.positions} positions, computed in {found.arithmetic}: mean KL divergence {kl}, largest logit "
        f"difference {difference}, the same likeliest token at {percent(found.greedy_agreement)} of the positions."
    )
