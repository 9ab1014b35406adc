"""Instruction rows of mixed length, generated: questions about lists and records, with answers that can be learned."""

import json
import random
from pathlib import Path
from typing import Any

NAMES = (
    "Ada",
    "Ben",
    "Cleo",
    "Dora",
    "Emil",
    "Fay",
    "Gus",
    "Hana",
    "Ivo",
    "Jana",
    "Kofi",
    "Lena",
    "Milo",
    "Nora",
    "Otto",
    "Pia",
)
THINGS = (
    "apples",
    "bricks",
    "candles",
    "drums",
    "eggs",
    "flutes",
    "gloves",
    "hats",
    "jars",
    "kites",
    "lamps",
    "maps",
    "nets",
    "pens",
    "ropes",
    "tents",
)
PLACES = (
    "the harbour",
    "the old mill",
    "a garden shed",
    "the market",
    "a railway station",
    "the library",
    "a small farm",
)


def write(path: Path, count: int, seed: int) -> Path:
    """A JSONL file with so many rows in the OpenAI format."""
    choose = random.Random(seed)
    path.write_text("".join(json.dumps(row(choose)) + "\n" for _ in range(count)), encoding="utf-8")
    return path


def row(choose: random.Random) -> dict[str, Any]:
    """A stock list and a task on it; the number of lines, and with it the length, has a long tail."""
    lines = min(30, 2 + int(choose.expovariate(1 / 6)))
    stock = [(choose.choice(NAMES), choose.randint(2, 99), choose.choice(THINGS)) for _ in range(lines)]
    told = "\n".join(f"- {name} has {count} {thing} at {choose.choice(PLACES)}." for name, count, thing in stock)
    question, answer = choose.choice((_sorted, _table, _total))(stock)
    return {
        "messages": [
            {"role": "user", "content": f"{question}\n\n{told}"},
            {"role": "assistant", "content": answer},
        ]
    }


def _sorted(stock: list[tuple[str, int, str]]) -> tuple[str, str]:
    lines = [f"{n}. {name}: {count} {thing}" for n, (name, count, thing) in enumerate(sorted(stock), start=1)]
    return "Write the entries sorted by name, numbered.", "\n".join(lines)


def _table(stock: list[tuple[str, int, str]]) -> tuple[str, str]:
    lines = [f"| {name} | {thing} | {count} |" for name, count, thing in stock]
    return "Make a Markdown table of who has what.", "\n".join(["| Name | Thing | Count |", "|---|---|---|", *lines])


def _total(stock: list[tuple[str, int, str]]) -> tuple[str, str]:
    lines = [f"{name} brings {count} {thing}." for name, count, thing in stock]
    return "Retell the list and give the total.", f"{' '.join(lines)} The total is {sum(entry[1] for entry in stock)}."
