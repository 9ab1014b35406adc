"""Several processes that train one model; with a single process everything here is its own answer."""

import os
from collections.abc import Sequence

import torch
from torch import distributed

RANK, WORLD_SIZE = "RANK", "WORLD_SIZE"  # what torchrun sets for each process


def rank() -> int:
    """This process's number; 0 is the one that writes."""
    return int(os.environ.get(RANK, "0"))


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ.get(WORLD_SIZE, "1"))


def total(values: Sequence[float], device: torch.device) -> list[float]:
    """Each value summed over all processes; every process has to call this at the same place."""
    if not distributed.is_initialized():
        return list(values)
    summed = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(summed)
    return summed.tolist()


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether it is so in any process; every process has to call this at the same place."""
    return total([float(flag)], device)[0] > 0
