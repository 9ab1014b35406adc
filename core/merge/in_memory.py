"""The other way to merge: peft's own, on the whole model, for adapters that are no plain sum."""

from pathlib import Path

from .. import extras
from ..errors import ModelError
from ..models.load import attach_adapter, load_base
from ..settings import Settings
from .adapter import Adapter


def write_with_peft(
    base: Path, adapter: Adapter, folder: Path, dtype: str, max_shard_bytes: int, settings: Settings
) -> bool:
    """Load the base in fp32, let peft merge the adapter, save in `dtype`; returns whether tied layers came apart.

    Memory: the whole model in fp32.

    Raises:
        ModelError: This kind cannot be merged, or peft used only a part of it.
    """
    torch = extras.require("torch", "Merging an adapter")
    model = attach_adapter(load_base(base, dtype="float32", settings=settings), adapter.folder)
    _prove_all_used(model, adapter)
    was_tied = bool(model.config.tie_word_embeddings)
    try:
        merged = model.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError, AttributeError, TypeError) as error:
        kind = adapter.config.get("peft_type")
        raise ModelError(
            f"peft cannot merge this {kind} adapter: {str(error)[:200]}", "Serve it with peft beside its base instead."
        ) from error
    merged = merged.to(getattr(torch, dtype))
    merged.config.dtype = getattr(torch, dtype)
    merged.save_pretrained(folder, max_shard_size=max_shard_bytes)
    return was_tied and not merged.config.tie_word_embeddings


def _prove_all_used(model: object, adapter: Adapter) -> None:
    """Every tensor of the adapter's file is in the model: loading does not fail on one that has no place."""
    peft = extras.require("peft", "Merging an adapter")
    held = set(peft.get_peft_model_state_dict(model))
    if unused := sorted(set(adapter.tensors) - held):
        raise ModelError(
            f"{len(unused)} of the adapter's tensors have no place in this base, e.g. {unused[0]}.",
            "Use it with the base model that it was trained on.",
        )
