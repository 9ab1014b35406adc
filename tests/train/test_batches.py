"""Rows in batches: nothing lost, nothing mixed, and the same loss however they are put together."""

from typing import Any

import pytest
import torch
from faion_finetuner.core.models.load import load_base
from faion_finetuner.core.train.batches import Collator, LengthGrouped, sequences
from faion_finetuner.core.train.rows import Row
from faion_finetuner.core.train.scoring import head_sees_only

from .bench import Bench

ROWS = [Row(n, list(range(10, 10 + n)), [-100, *range(11, 10 + n)]) for n in (3, 9, 4, 7, 5, 8)]


def test_an_order_shows_each_row_once_and_depends_on_seed_and_epoch_alone():
    lengths = [len(row.input_ids) for row in ROWS] * 40
    sampler = LengthGrouped(lengths, 4, seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(240))
    assert list(LengthGrouped(lengths, 4, seed=1)) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(LengthGrouped(lengths, 4, seed=2)) != first


def test_rows_of_a_batch_are_about_equally_long_but_batches_come_in_any_order():
    lengths = [10 + n % 50 for n in range(250)]
    order = list(LengthGrouped(lengths, 4, seed=3))
    batches = [[lengths[index] for index in order[start : start + 4]] for start in range(0, 250, 4)]
    assert max(max(batch) - min(batch) for batch in batches) <= 4
    longest = [max(batch) for batch in batches]
    assert longest != sorted(longest)
    assert len(batches[-1]) == 2


def test_packing_fills_sequences_without_cutting_a_row():
    packed = sequences(ROWS, packed_length=12)
    assert sorted(number for numbers in packed["rows"] for number in numbers) == [3, 4, 5, 7, 8, 9]
    assert len(packed) == 3
    assert all(len(ids) <= 12 for ids in packed["input_ids"])
    assert all(
        places.count(0) == len(rows) for places, rows in zip(packed["position_ids"], packed["rows"], strict=True)
    )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packed_padded_and_single_rows_have_the_same_loss(bench: Bench, attention: str):
    model = load_base(bench.root / "tiny", dtype="float32", settings=bench.settings)
    model.set_attn_implementation(attention)

    def loss(packed_length: int | None, batch_size: int) -> float:
        data: list[Any] = list(sequences(ROWS, packed_length))
        collate = Collator(pad_id=2, packed=packed_length is not None)
        total = 0.0
        for start in range(0, len(data), batch_size):
            batch = collate(data[start : start + batch_size])
            labels = batch.pop("labels")
            del batch["rows"]
            with torch.no_grad():
                logits = model(**batch, use_cache=False).logits[:, :-1].flatten(0, 1)
            total += torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum").item()
        return total

    single = loss(None, 1)
    assert loss(None, 6) == pytest.approx(single, rel=1e-5)
    assert loss(12, 1) == pytest.approx(single, rel=1e-5)
    assert loss(12, 3) == pytest.approx(single, rel=1e-5)


def test_the_output_layer_computes_only_the_marked_positions(bench: Bench):
    model = load_base(bench.root / "tiny", dtype="float32", settings=bench.settings)
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    marked = torch.tensor([[False, True, False, True], [True, False, False, False]])
    with torch.no_grad():
        whole = model(ids).logits
        with head_sees_only(model.lm_head, marked):
            some = model(ids).logits
        again = model(ids).logits
    assert torch.allclose(some[0], whole[marked], atol=1e-6)
    assert torch.equal(again, whole)
