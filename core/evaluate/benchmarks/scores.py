"""What lm-eval found out, as scores whose items can be paired between two models."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from ...schema import Model


class BenchmarkScore(Model):
    """One metric of one benchmark for one model."""

    task: str
    metric: str
    value: float | None
    """As lm-eval reports it."""
    higher_is_better: bool
    items: dict[str, float] = Field(default_factory=dict)
    """Value by item, named by task, document and prompt; empty when the metric is no mean of its items."""
    n: int


def read(names: Sequence[str], found: dict[str, Any]) -> tuple[BenchmarkScore, ...]:
    """The scores of the tasks and groups of these names in what lm-eval's `evaluate` gives back."""
    return tuple(score for name in names for score in _scores(name, found))


def _scores(name: str, found: dict[str, Any]) -> Iterator[BenchmarkScore]:
    results = found.get("groups", {}).get(name) or found["results"][name]
    members = _members(name, found)
    for key, value in results.items():
        metric, comma, applied_filter = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        items = {
            f"{task}/{sample['doc_id']}/{sample['prompt_hash']}": sample[metric]
            for task in members
            for sample in found["samples"].get(task, ())
            if sample["filter"] == applied_filter and isinstance(sample.get(metric), int | float)
        }
        number = float(value) if isinstance(value, int | float) and math.isfinite(value) else None
        mean = sum(items.values()) / len(items) if items else math.nan
        yield BenchmarkScore(
            task=name,
            metric=metric if applied_filter == "none" else f"{metric} ({applied_filter})",
            value=number,
            higher_is_better=found["higher_is_better"].get(name, {}).get(metric) is not False,
            items=items if number is not None and math.isclose(mean, number, abs_tol=1e-9) else {},
            n=sum(found["n-samples"][task]["effective"] for task in members),
        )


def _members(name: str, found: dict[str, Any]) -> list[str]:
    """The tasks behind a name: itself, or those of the group, at any depth."""
    inner = found.get("group_subtasks", {}).get(name)
    return [task for part in inner for task in _members(part, found)] if inner else [name]
