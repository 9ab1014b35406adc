"""Splits that the data brings along: files named train and test, or a field that says so."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NONE, TRAIN, VALID = range(3)
WORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("valid", "validation", "val", "dev", "test", "testing", "eval", "evaluation", "heldout"), VALID),
}
SEPARATORS = re.compile(r"[^a-z]+")


def split_named(name: Any) -> int:
    """TRAIN or VALID for a word such as "train", "val" or "test"; NONE for anything else."""
    return WORDS.get(name.strip().lower(), NONE) if isinstance(name, str) else NONE


def splits_of(paths: list[Path]) -> list[int]:
    """For each file the split that it is by its name; NONE for all unless every file has one and both are there."""
    found = [_split_of(path) for path in paths]
    return found if {*found} == {TRAIN, VALID} else [NONE] * len(paths)


def _split_of(path: Path) -> int:
    words = SEPARATORS.split(path.name.lower())
    return next((WORDS[word] for word in words if word in WORDS), NONE)


def given_splits(column: NDArray[np.uint8]) -> bool:
    """Whether the data brings its splits along: every row is in one, and both have rows."""
    return bool(len(column)) and {TRAIN, VALID} == {*np.unique(column).tolist()}
