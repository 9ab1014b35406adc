"""The merge itself: a weight file at a time, in fp32, never the whole model in memory."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import files
from ..errors import ExportError, ModelError
from .checkpoint import FLOATS, INDEX, SINGLE, Checkpoint
from .plan import Change, Plan, Update

if TYPE_CHECKING:
    import torch

OnBytes = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2}


@dataclass(frozen=True)
class Layout:
    """Which tensor goes into which file."""

    shards: tuple[tuple[str, ...], ...]
    sizes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes.values())

    def file_name(self, number: int) -> str:
        """Name of the shard with this number, from 0."""
        count = len(self.shards)
        return SINGLE if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def lay_out(base: Checkpoint, plan: Plan, dtype: str | None, max_shard_bytes: int) -> Layout:
    """Fill files in the base's order, none above the limit unless one tensor alone is.

    Args:
        base: The base model.
        plan: Its changes; a new output layer is one tensor more.
        dtype: Number format to store floating-point weights in; None keeps each tensor's own.
        max_shard_bytes: The limit.
    """
    sources = {name: name for name in base.tensors} | {name: change.source for name, change in plan.changes.items()}
    sizes = {name: _stored_bytes(base, source, dtype) for name, source in sources.items()}
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > max_shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return Layout(tuple(tuple(shard) for shard in shards), sizes)


def _stored_bytes(base: Checkpoint, name: str, dtype: str | None) -> int:
    tensor = base.tensors[name]
    stored = next((s for s, n in FLOATS.items() if n == dtype), tensor.stored) if tensor.is_float else tensor.stored
    return tensor.elements * BYTES.get(stored, 1)


def write_merged(
    base: Checkpoint, plan: Plan, layout: Layout, folder: Path, dtype: str | None, on_bytes: OnBytes
) -> None:
    """Write the merged weights into `folder`; peak memory is one shard and one tensor in fp32.

    Raises:
        ModelError: The adapter changes nothing, or holds numbers that are not finite.
        ExportError: A merged weight does not fit the number format.
    """
    from safetensors.torch import save_file

    done, changes_anything = 0, False
    weight_map: dict[str, str] = {}
    for number, names in enumerate(layout.shards):
        shard = {}
        for name in names:
            merged = _merged(base, name, plan.changes.get(name), dtype)
            changes_anything |= merged.differs
            shard[name] = merged.tensor
            done += layout.sizes[name]
            on_bytes(done, layout.total_bytes)
        file_name = layout.file_name(number)
        save_file(shard, folder / file_name, metadata={"format": "pt"})
        (folder / file_name).chmod(0o644)  # safetensors writes files that only their owner can read
        weight_map |= dict.fromkeys(names, file_name)
    if not changes_anything:
        raise no_op()
    if len(layout.shards) > 1:
        index = {"metadata": {"total_size": layout.total_bytes}, "weight_map": weight_map}
        files.write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


def no_op() -> ModelError:
    """The error for an adapter whose merged model would be the base itself."""
    return ModelError(
        "No-op adapter: every one of its changes is zero, so the merged model would be the base itself.",
        "Check that this is the adapter that was trained (train's metrics show whether the loss moved), or train it.",
    )


@dataclass(frozen=True, slots=True)
class _Merged:
    tensor: "torch.Tensor"
    differs: bool
    """Whether the adapter changes this weight, before rounding."""


def _merged(base: Checkpoint, name: str, change: Change | None, dtype: str | None) -> _Merged:
    if change is None:
        return _Merged(_rounded(base.load(name), name, dtype), differs=False)
    stored = base.load(change.source)
    weight, differs = stored, False
    if change.replacement is not None:
        weight = change.replacement.adapter.load(change.replacement.name)
        differs = not bool((weight.to(stored.dtype) == stored).all())
    if change.updates:
        weight = weight.float()
        for update in change.updates:
            delta = _delta(update)
            differs |= bool(delta.any())
            weight = weight.add_(delta) if weight is not stored else weight + delta
    return _Merged(_rounded(weight, name, dtype or str(stored.dtype).removeprefix("torch.")), differs)


def _delta(update: Update) -> "torch.Tensor":
    a, b = update.adapter.load(update.a).float(), update.adapter.load(update.b).float()
    delta = (b @ a).mul_(update.scale)
    return delta.T if update.transposed else delta


def _rounded(weight: "torch.Tensor", name: str, dtype: str | None) -> "torch.Tensor":
    import torch

    if dtype is None or not weight.is_floating_point():
        return weight.contiguous()
    rounded = weight.to(getattr(torch, dtype)).contiguous()
    if not rounded.isfinite().all():
        raise ExportError(f"The weight {name} does not fit {dtype}: it overflows.", "Use dtype bfloat16 or float32.")
    return rounded
