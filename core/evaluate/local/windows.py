"""Texts in stretches that a model can read at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...examples.mask import NOT_TRAINED, Tokenized

LONGEST = 8_192  # tokens at once, whatever the model could read: the memory of attention and logits grows with it


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an item's tokens."""

    item: int
    """Number of the item."""
    ids: list[int]
    labels: list[int]
    given: int = 1
    """How many of the first tokens are only read, not predicted; at least the first."""


def window(model: Any) -> int:
    """How many tokens the model is given at once."""
    return size(getattr(model.config.get_text_config(), "max_position_embeddings", None))


def size(context: object) -> int:
    """The same by what the model's configuration calls max_position_embeddings."""
    return min(context, LONGEST) if isinstance(context, int) and context > 1 else LONGEST


def pieces_of(number: int, item: Tokenized, size: int) -> Iterator[Piece]:
    """The item whole, or in windows of `size` tokens that go on by half of it: each token is predicted once.

    After the first window a token has at least half a window before it. The usual strided perplexity, as in
    https://huggingface.co/docs/transformers/perplexity. Windows that predict no labelled token are left out, where
    there are others: so a prompt of any length costs one window, and beside the answer the model reads no more of it.
    """
    ids, labels = item.input_ids, item.labels
    wanted = any(label != NOT_TRAINED for label in labels[1:])
    done, end = 1, min(size, len(ids))
    while True:
        if not wanted or len(ids) <= size or any(label != NOT_TRAINED for label in labels[done:end]):
            start = max(0, end - size)
            yield Piece(number, ids[start:end], labels[start:end], given=done - start)
        if end >= len(ids):
            return
        done, end = end, min(end + size - size // 2, len(ids))
