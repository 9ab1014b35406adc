"""A hosted base that knows every third colour, a model tuned from it that knows them all, rows that ask for them."""

import json
from pathlib import Path
from typing import Any

BASE, TUNED = "tiny-1", "ft:tiny-1:acme::1"
ROWS = 30
COLOURS = ("red", "green", "blue")
PRICES = {"name": BASE, "training_usd": 10.0, "input_usd": 1.0, "output_usd": 2.0}


def held_out(path: Path, count: int = ROWS) -> Path:
    """A file of rows, each of which asks for the colour of a number."""
    rows = [
        {"messages": [{"role": "user", "content": f"Colour of {i}"}, {"role": "assistant", "content": COLOURS[i % 3]}]}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(text: str | None, ended: str = "stop", **message: Any) -> tuple[int, dict[str, Any]]:
    choice = {"index": 0, "finish_reason": ended, "message": {"role": "assistant", "content": text} | message}
    return 200, {"id": "c", "choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}


def number_of(asked: dict[str, Any]) -> int | None:
    """Of the row that is asked about; None of everything else."""
    words = asked["messages"][-1]["content"].split()
    return int(words[-1]) if words[0] == "Colour" else None


def well(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    number = number_of(asked)
    if number is None:
        return said("A")
    return said(COLOURS[number % 3] if asked["model"] == TUNED else "red")
