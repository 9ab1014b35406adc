"""The loss of an adapter on rows that nobody trained on, computed alike for everyone's adapter."""

from collections.abc import Sequence
from pathlib import Path

import torch
from faion_finetuner.core.models.load import attach_adapter, load_base
from faion_finetuner.core.settings import Settings
from torch.nn import functional


def held_out_loss(model: Path, adapter: Path, rows: Sequence[dict[str, list[int]]]) -> float:
    """The mean over all tokens with a loss, in float32, each row by itself through transformers' own forward pass."""
    tuned = attach_adapter(load_base(model, dtype="float32", settings=Settings.from_environment()), adapter)
    total, count = 0.0, 0
    for row in rows:
        targets = torch.tensor(row["labels"][1:])
        with torch.no_grad():
            logits = tuned(torch.tensor([row["input_ids"]]), use_cache=False).logits[0, :-1]
        total += functional.cross_entropy(logits, targets, reduction="sum").item()
        count += int((targets != -100).sum())
    return total / count
