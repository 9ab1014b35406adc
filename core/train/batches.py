"""Rows into sequences, sequences into batches: little padding, a known order, and no row read by another."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler

from ..examples.mask import NOT_TRAINED
from .hyperparameters import PREFERENCE, Method
from .rows import Row

MEGABATCH = 32  # batches sorted by length together; more would make an epoch's batches alike every time


def sequences(rows: Sequence[Row], packed_length: int | None) -> Dataset:
    """A data set of sequences: all parts of one row each, or several rows up to `packed_length` tokens.

    Columns: input_ids, labels, position_ids (which start at 0 in every row, and in every part of one) and rows (the
    rows' numbers).
    """
    groups = [list(row.parts) for row in rows] if packed_length is None else _packed(rows, packed_length)
    return Dataset.from_dict(
        {
            "input_ids": [[token for row in group for token in row.input_ids] for group in groups],
            "labels": [[label for row in group for label in row.labels] for group in groups],
            "position_ids": [[place for row in group for place in range(len(row.input_ids))] for group in groups],
            "rows": [list(dict.fromkeys(row.number for row in group)) for group in groups],
        }
    )


def _packed(rows: Sequence[Row], length: int) -> list[list[Row]]:
    """Best fit, longest first: each row goes where the least room is left over."""
    groups: list[list[Row]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda row: len(row.input_ids), reverse=True):
        size = len(row.input_ids)
        fitting = [place for place, left in enumerate(room) if left >= size]
        if fitting:
            best = min(fitting, key=room.__getitem__)
            groups[best].append(row)
            room[best] -= size
        else:
            groups.append([row])
            room.append(length - size)
    return groups


class Collator:
    """Sequences of one batch as tensors, padded on the right to the longest."""

    def __init__(self, pad_id: int, packed: bool) -> None:
        self.pad_id = pad_id
        self.packed = packed

    def __call__(self, sequences: Sequence[dict[str, Any]]) -> dict[str, Any]:
        length = max(len(sequence["input_ids"]) for sequence in sequences)
        batch: dict[str, Any] = {
            "input_ids": _padded(sequences, "input_ids", length, self.pad_id),
            "labels": _padded(sequences, "labels", length, NOT_TRAINED),
            "rows": [number for sequence in sequences for number in sequence["rows"]],
        }
        if self.packed:
            # without a mask, attention is split where positions start anew; so padding is a row of its own
            places = [[*s["position_ids"], *range(length - len(s["input_ids"]))] for s in sequences]
            batch["position_ids"] = torch.tensor(places)
        else:
            lengths = torch.tensor([len(sequence["input_ids"]) for sequence in sequences])
            batch["attention_mask"] = (torch.arange(length)[None] < lengths[:, None]).long()
        return batch


class PairCollator:
    """Preference pairs of one batch as tensors: first all chosen answers, then all rejected, then the mismatched."""

    def __init__(self, pad_id: int) -> None:
        self.inner = Collator(pad_id, packed=False)

    def __call__(self, sequences: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """As `Collator`, with `references`: float32 (pairs, parts), zero as long as they are not known."""
        pairs = [_parts(sequence) for sequence in sequences]
        batch = self.inner([part for kind in zip(*pairs, strict=True) for part in kind])
        batch["rows"] = [number for sequence in sequences for number in sequence["rows"]]
        unknown = [0.0] * len(pairs[0])  # when a step is only rehearsed
        batch["references"] = torch.tensor([sequence.get("references", unknown) for sequence in sequences])
        return batch


def _parts(sequence: dict[str, Any]) -> list[dict[str, Any]]:
    """A sequence split where positions start anew."""
    starts = [place for place, position in enumerate(sequence["position_ids"]) if position == 0]
    ends = [*starts[1:], len(sequence["input_ids"])]
    names = ("input_ids", "labels")
    return [
        {name: sequence[name][start:end] for name in names} | {"rows": ()}
        for start, end in zip(starts, ends, strict=True)
    ]


def collator_of(method: Method, pad_id: int, packed: bool) -> Collator | PairCollator:
    """What makes the batches of a method."""
    return PairCollator(pad_id) if method in PREFERENCE else Collator(pad_id, packed)


def _padded(sequences: Sequence[dict[str, Any]], name: str, length: int, fill: int) -> torch.Tensor:
    return torch.tensor([[*s[name], *[fill] * (length - len(s[name]))] for s in sequences])


class LengthGrouped(Sampler[int]):
    """A random order in which the rows of a batch are about equally long; it depends on seed and epoch alone.

    Batches are shuffled, not sorted, so an optimizer step still sees short and long rows. Depending on nothing else is
    what lets a resumed training go on with exactly the batches that were left.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop at the beginning of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        chance = random.Random(f"{self.seed}/{self.epoch}")
        order = list(range(len(self.lengths)))
        chance.shuffle(order)
        size = self.batch_size * MEGABATCH
        ordered = [
            index
            for start in range(0, len(order), size)
            for index in sorted(order[start : start + size], key=self.lengths.__getitem__)
        ]
        batches = [ordered[start : start + self.batch_size] for start in range(0, len(ordered), self.batch_size)]
        last = [batches.pop()] if len(batches[-1]) < self.batch_size else []  # only the last batch may be smaller
        chance.shuffle(batches)
        return (index for batch in [*batches, *last] for index in batch)
