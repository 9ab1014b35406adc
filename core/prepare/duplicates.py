"""Equal rows, and what makes two rows equal or ask the same."""

from collections.abc import Iterator

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from ..examples.types import CompletionExample, Example, Message, prompt_of


def content_digest(example: Example) -> bytes:
    """16 bytes, equal for conversations that are equal sign for sign, with the same tools.

    Other leftover fields, such as an id, do not count.
    """
    if isinstance(example, CompletionExample):
        return xxhash.xxh3_128_digest(orjson.dumps((example.prompt, example.completion, example.rejected)))
    turns = [_turn(message) for message in example.messages]
    if "tools" in example.fields:
        turns.append(("tools", example.fields["tools"]))
    if example.rejected:
        turns.append((example.rejected.after, [_turn(message) for message in example.rejected.turns]))
    return xxhash.xxh3_128_digest(orjson.dumps(turns, default=str))


def _turn(message: Message) -> tuple[object, ...]:
    plain = (message.role, message.content)
    return (*plain, message.tool_calls) if message.tool_calls else plain


def question_digest(example: Example) -> int:
    """A 64-bit digest of what is asked, system messages aside; 0 when nothing is, as in plain text."""
    asked = prompt_of(example)
    if isinstance(asked, str):
        text = asked.strip()
        return xxhash.xxh3_64_intdigest(text.encode()) if text else 0
    said = [(message.role, message.content.strip()) for message in asked if message.role != "system"]
    return xxhash.xxh3_64_intdigest(orjson.dumps(said))


def repeats(digests: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Pairs (first, later) of equal rows, by the later one.

    Args:
        digests: Two numbers a row.
    """
    order = np.lexsort((np.arange(len(digests)), digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    same = np.append(False, (ordered[1:] == ordered[:-1]).all(axis=1)) if len(order) else np.empty(0, dtype=bool)
    first = order[np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))]
    later = order[same]
    by_later = np.argsort(later)
    yield from zip(first[same][by_later].tolist(), later[by_later].tolist(), strict=True)
