"""One merged weight, whose rows can be asked for in blocks: where it starts, and what is added to it."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ExportError
from .checkpoint import BLOCK_ROWS, Checkpoint
from .mix import SUMS, Mix, combine, truncated
from .plan import Change, Part, Update
from .quantised import through_nf4

if TYPE_CHECKING:
    import torch

BLOCK_NUMBERS = 1 << 20
"""Numbers in one block: 2 MB in 16 bits. Smaller pieces cost more calls than their staying in the cache saves."""

Rows = Callable[[int, int], "torch.Tensor"]
"""Rows `first` to before `last`, in memory that the caller may write to."""


@dataclass(frozen=True)
class Blend:
    """A merged weight that is computed as it is asked for."""

    name: str
    shape: tuple[int, ...]
    dtype: "torch.dtype"
    start: Rows
    terms: "tuple[tuple[torch.Tensor, torch.Tensor], ...]"
    """Pairs left, right of which each adds left @ right, fp32."""
    differs: Callable[[], bool]
    """Tells whether anything changes, before rounding; to find out takes time."""

    def rows(self, first: int, last: int) -> "torch.Tensor":
        """A block of it in its number format.

        Raises:
            ExportError: It does not fit the number format.
        """
        stored = self.start(first, last)
        merged = stored.float() if self.terms else stored
        for left, right in self.terms:
            merged.addmm_(left[first:last], right)
        self._refuse_overflow(merged)
        return stored.copy_(merged) if stored.dtype == self.dtype else merged.to(self.dtype)

    @property
    def rows_in_all(self) -> int:
        return self.shape[0] if self.shape else 1

    def blocks(self) -> list[tuple[int, int]]:
        """The rows in pieces of about BLOCK_NUMBERS."""
        step = max(1, BLOCK_NUMBERS // max(1, math.prod(self.shape[1:])))
        rows = self.rows_in_all
        return [(first, min(first + step, rows)) for first in range(0, rows, step)]

    def _refuse_overflow(self, block: "torch.Tensor") -> None:
        import torch

        if self.dtype.is_floating_point and not within(block, torch.finfo(self.dtype).max):
            dtype = str(self.dtype).removeprefix("torch.")
            raise ExportError(
                f"The weight {self.name} does not fit {dtype}: it overflows.", "Use dtype bfloat16 or float32."
            )


@dataclass(frozen=True)
class Recipe:
    """What holds for all weights of one merge."""

    base: Checkpoint
    weights: tuple[float, ...]
    """Factor on each adapter's changes."""
    mix: Mix
    dtype: str | None = None
    """Number format to store floating-point weights in; None keeps each weight's own."""
    first_quantised: frozenset[str] = frozenset()
    """Weights that go through NF4 and back first, as the base of a QLoRA training did."""

    @property
    def only_sums(self) -> bool:
        """Whether the strategy is nothing but adding up."""
        return self.mix.strategy in SUMS and self.mix.strategy != "svd"

    def copies(self, name: str, change: Change | None) -> bool:
        """Whether a weight can be taken over as it is stored."""
        return change is None and name not in self.first_quantised and not self._is_cast(name)

    def _is_cast(self, name: str) -> bool:
        import torch

        tensor = self.base.tensors[name]
        return self.dtype is not None and tensor.is_float and tensor.read(0, 0).dtype != getattr(torch, self.dtype)

    def blend(self, name: str, change: Change | None) -> Blend:
        """How a weight comes about; what its blocks share is read here.

        Raises:
            ModelError: The adapter holds numbers that are not finite.
        """
        import torch

        source = self.base.tensors[change.source if change else name]
        dtype = getattr(torch, self.dtype) if self.dtype and source.is_float else source.read(0, 0).dtype
        start = slices(through_nf4(source.read())) if name in self.first_quantised else source.read
        if change is None or not change.parts:
            return Blend(name, source.shape, dtype, start, (), differs=lambda: False)
        if self.mix.strategy in SUMS and not any(part.is_own for part in change.parts.values()):
            terms = tuple(self._sum(change))
            return Blend(name, source.shape, dtype, start, terms, lambda: _add_something(terms))
        (first, *others) = change.parts.values()
        if not others and self.mix.strategy == "lora":
            terms = tuple(factors(first, update) for update in first.updates)
            own = own_rows(first, start)
            return Blend(
                name, change.shape, dtype, own, terms,
                lambda: change.shape != source.shape or _differ(own, start, source.rows) or _add_something(terms),
            )  # fmt: skip
        return self._mixed(name, change, dtype, start)

    def _sum(self, change: Change) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        """The weighted sum of all updates, as pairs of factors."""
        import torch

        pairs = [
            (left * self.weights[number], right)
            for number, part in change.parts.items()
            for left, right in (factors(part, update) for update in part.updates)
        ]
        if self.mix.strategy == "svd":
            rank = max(right.shape[0] for _, right in pairs)
            yield truncated(torch.cat([left for left, _ in pairs], 1), torch.cat([right for _, right in pairs]), rank)
        else:
            yield from pairs

    def _mixed(self, name: str, change: Change, dtype: "torch.dtype", start: Rows) -> Blend:
        """By a strategy that needs the whole changes at once: so many copies of this one weight in fp32."""
        import torch

        rows = change.shape[0]
        whole = start(0, rows).float()
        parts = [change.parts.get(number) for number in range(len(self.weights))]
        deltas = [whole_of(part, start, rows) - whole if part else torch.zeros_like(whole) for part in parts]
        merged = combine(self.mix, name, whole, deltas, self.weights)
        differs = any(bool(delta.any()) for delta in deltas)
        return Blend(name, change.shape, dtype, slices(merged), (), lambda: differs)


def factors(part: Part, update: Update) -> "tuple[torch.Tensor, torch.Tensor]":
    """Left and right of the product that an update adds, its scale in the left one, both fp32."""
    a, b = part.adapter.load(update.a).float(), part.adapter.load(update.b).float()
    left, right = (a.T, b.T) if update.transposed else (b, a)
    return left.contiguous() * update.scale, right.contiguous()


def own_rows(part: Part, start: Rows) -> Rows:
    """Where a part's updates are added: the base's weight, or the adapter's own weight or token rows in its place."""
    if not part.is_own:
        return start
    tokens = part.adapter.load(part.token_rows) if part.token_rows else None

    def rows(first: int, last: int) -> "torch.Tensor":
        block = part.adapter.load(part.replacement, first, last) if part.replacement else start(first, last)
        for place, token in enumerate(part.token_ids):
            if tokens is not None and first <= token < last:
                block[token - first] = tokens[place].to(block.dtype)
        return block

    return rows


def whole_of(part: Part, start: Rows, rows: int) -> "torch.Tensor":
    """A weight as one adapter or model alone would have it, fp32."""
    weight = own_rows(part, start)(0, rows).float()
    for left, right in (factors(part, update) for update in part.updates):
        weight = weight.addmm(left, right)
    return weight


def slices(weight: "torch.Tensor") -> Rows:
    """Rows of a weight in memory."""
    return lambda first, last: weight[first:last].clone()


def within(block: "torch.Tensor", limit: float) -> bool:
    """Whether no number is beyond a limit or NaN; the sum of squares mostly shows it, in half the time."""
    import torch

    flat = block.reshape(-1)
    if not flat.numel() or (flat.dtype == torch.float32 and float(torch.dot(flat, flat)) <= limit**2):
        return True
    low, high = flat.aminmax()
    return -limit <= float(low) and float(high) <= limit


def _differ(one: Rows, other: Rows, rows: int) -> bool:
    import torch

    if one is other:
        return False
    for first in range(0, rows, BLOCK_ROWS):
        ours, theirs = (of(first, min(first + BLOCK_ROWS, rows)) for of in (one, other))
        if not torch.equal(ours.to(theirs.dtype), theirs):
            return True
    return False


def _add_something(terms: "Iterable[tuple[torch.Tensor, torch.Tensor]]") -> bool:
    """Whether a product left @ right is not zero, by its squared norm, for which the product itself is not needed."""
    return any(bool(((left.T @ left) * (right @ right.T)).sum() > 0) for left, right in terms)
