"""Preference pairs that a tiny model can learn to tell apart."""

import json
import random
from pathlib import Path
from typing import Any

from tests.tiny import COLOURS, THINGS

from .bench import Bench


def tiny_pairs(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """`n` pairs as `prepare` writes them: the chosen answer is a JSON record, the rejected one is unsure."""
    choose = random.Random(seed)
    return [_pair(choose, number) for number in range(n)]


def _pair(choose: random.Random, number: int) -> dict[str, Any]:
    (colour, other), thing = choose.sample(COLOURS, 2), choose.choice(THINGS)
    return {
        "prompt": [{"role": "user", "content": f"I see a {colour} {thing}, number {number}."}],
        "chosen": [{"role": "assistant", "content": f'{{"colour": "{colour}", "thing": "{thing}"}}'}],
        "rejected": [{"role": "assistant", "content": f"Perhaps {other}, I am not at all sure about the {thing}."}],
    }


def write_records(path: Path, records: list[dict[str, Any]]) -> Path:
    """One record a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def write_pairs(bench: Bench, n: int = 24) -> None:
    """`n` pairs to train on and 8 other ones to validate with, in the bench's folder `pairs`."""
    write_records(bench.root / "pairs" / "train.jsonl", tiny_pairs(n))
    write_records(bench.root / "pairs" / "valid.jsonl", tiny_pairs(8, seed=1))
