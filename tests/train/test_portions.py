"""Portions of a batch: as many sequences as memory and processor can do with, and the same training."""

import math
from itertools import chain, pairwise
from typing import Any

import pytest
from faion_finetuner.core.train import portions
from faion_finetuner.core.train.hyperparameters import Hyperparameters, Method
from faion_finetuner.core.train.objectives import objective_of
from faion_finetuner.core.train.portions import TOKENS_AT_ONCE, Portion, portion_of
from faion_finetuner.core.train.trainer import FineTuner
from hypothesis import given
from hypothesis import strategies as st

from .bench import THIRD_PARTIES, Bench

pytestmark = THIRD_PARTIES


class Sequences(list[dict[str, Any]]):
    """Sequences of these lengths, readable by row and by column."""

    def __init__(self, lengths: list[int]) -> None:
        super().__init__({"input_ids": [1] * length, "labels": [-100] * length} for length in lengths)

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def lengths_of(portion: Any) -> list[int]:
    return [len(sequence["input_ids"]) for sequence in portion]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 12), st.integers(1, 120))
def test_a_batch_is_split_in_order_and_only_as_far_as_it_must_be(lengths: list[int], size: int, tokens: int):
    split = [lengths_of(part) for part in Portion(len(lengths), size, tokens).split(Sequences(lengths))]
    assert list(chain(*split)) == lengths
    assert all(len(part) <= size and (sum(part) <= tokens or len(part) == 1) for part in split)
    assert all(len(part) == size or sum(part) + following[0] > tokens for part, following in pairwise(split))


@pytest.mark.parametrize(
    ("lengths", "most", "tokens", "fullest"),
    [
        ([30, 90, 20, 10], 2, math.inf, [90, 30]),
        ([30, 90, 20, 10], 4, 60, [90]),
        ([30, 40, 20, 10], 4, 60, [40, 20]),
        ([30, 40, 20, 10], 1, 60, [40]),
    ],
)
def test_the_fullest_portion_is_the_longest_sequence_and_what_fits_beside_it(
    lengths: list[int], most: int, tokens: float, fullest: list[int]
):
    assert lengths_of(Portion(4, most, tokens).fullest(Sequences(lengths))) == fullest


@pytest.mark.parametrize(
    ("device", "method", "sharded", "tokens"),
    [
        ("cpu", "sft", False, TOKENS_AT_ONCE),
        ("cpu", "dpo", False, TOKENS_AT_ONCE),
        ("cpu", "kto", False, math.inf),  # its drift is a mean over the batch
        ("cpu", "sft", True, math.inf),  # another process may have split its batch otherwise
        ("cuda", "sft", False, math.inf),
    ],
)
def test_only_a_processor_takes_few_tokens_at_once_and_only_where_rows_stand_alone(
    device: str, method: Method, sharded: bool, tokens: float
):
    assert portion_of(4, device, objective_of(method, Hyperparameters()), sharded).tokens == tokens


def test_a_batch_in_portions_trains_the_same_and_is_no_sign_of_too_little_memory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    passes: list[int] = []
    compute_loss = FineTuner.compute_loss

    def counted(trainer: FineTuner, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        passes[-1] += 1
        return compute_loss(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(FineTuner, "compute_loss", counted)
    results = []
    for tokens in (10_000, 1):
        monkeypatch.setattr(portions, "TOKENS_AT_ONCE", tokens)
        passes.append(0)
        results.append(bench.train(f"at-once-{tokens}", hyperparameters={"max_steps": 4, "dtype": "float32"}))
    assert passes[0] == 1 + 4 * 2  # the rehearsal, and two batches a step
    assert passes[1] == 1 + 4 * 8
    for name in ("train_loss", "val_loss", "grad_norm"):
        expected, found = ([getattr(m, name) for m in run.metrics if getattr(m, name)] for run in results)
        assert len(expected) >= 4
        assert found == pytest.approx(expected, rel=1e-4), name
    assert not any(one.symptom == "Out of memory" for one in results[1].diagnosis)
    assert "one sequence" in next(check for check in results[1].checks if check.name == "Rehearsal").details
