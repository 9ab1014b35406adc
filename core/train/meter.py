"""How fast a training is and how much memory it has needed, as lines of its metrics show it."""

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Spent:
    """What a training has used, all attempts and processes together."""

    seconds: float = 0.0
    evaluation_s: float = 0.0
    tokens: int = 0
    """Padding not counted."""

    @property
    def busy_s(self) -> float:
        """Seconds of training alone."""
        return self.seconds - self.evaluation_s


def measured(history: Sequence[dict[str, Any]], spent: Spent) -> dict[str, float]:
    """What a line of metrics says about its steps: their speed since the line before, and the memory up to now."""
    last = history[-1] if history else {}
    tokens = spent.tokens - int(last.get("tokens", 0))
    seconds = spent.busy_s - (last.get("seconds", 0.0) - last.get("evaluation_s", 0.0))
    memory = {"memory_gb": round(gpu_peak_gb() or host_peak_gb(), 3)}
    return memory | ({"tokens_per_second": round(tokens / seconds, 1)} if tokens and seconds > 0 else {})


def gpu_peak_gb() -> float | None:
    """The most that this process has held of its GPU; None without one."""
    return torch.cuda.max_memory_reserved() / 1e9 if torch.cuda.is_available() else None


def host_peak_gb() -> float:
    """The most main memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
