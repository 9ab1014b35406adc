"""Causal attention of rows that lie one after another, each reading itself alone: no padding, no mask over all rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd import Function

BLOCK = 256  # queries at once: half of a long row's square is never computed
KEPT_LENGTH = 512  # longer rows compute their weights again in the backward pass, for memory's sake


@dataclass(slots=True)
class Layout:
    """How the tokens of a batch are divided into rows."""

    lengths: Sequence[int]
    cos: torch.Tensor
    """Of the rotary embedding: (tokens, 1, half a head)."""
    sin: torch.Tensor
    masks: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    """Minus infinity above the diagonal, by number of queries and heads that share a key."""

    def rows(self) -> Iterator[slice]:
        end = 0
        for length in self.lengths:
            yield slice(end, end + length)
            end += length

    def mask(self, size: int, group: int, like: torch.Tensor) -> torch.Tensor:
        if (size, group) not in self.masks:
            square = like.new_full((size, size), float("-inf")).triu_(1)
            self.masks[size, group] = square.repeat(group, 1)
        return self.masks[size, group]


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layout: Layout, head: int, scale: float
) -> torch.Tensor:
    """Rotary embedding, causal softmax attention within each row.

    Args:
        q: (tokens, query heads * head).
        k: (tokens, key heads * head); query heads are a multiple of key heads.
        v: As k.
        layout: The rows.
        head: Size of a head.
        scale: Of the scores.
    """
    heads: Any = Attention.apply(*(x.unflatten(-1, (-1, head)) for x in (q, k, v)), layout, scale)
    return heads.flatten(1)


class Attention(Function):
    """Grouped by key head, so that keys and values are never repeated; scores live for one block of one row."""

    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layout: Layout, scale: float
    ) -> torch.Tensor:
        q = rotated(q, layout.cos * scale, layout.sin * scale)
        k = rotated(k, layout.cos, layout.sin)
        out = torch.empty_like(q)
        kept = []
        for row in layout.rows():
            keys, values = k[row].transpose(0, 1), v[row].transpose(0, 1)
            for place, queries in _blocks(q[row], len(keys)):
                weights = _weights(queries, keys, place, layout)
                out[row][place] = _ungrouped(torch.bmm(weights, values[:, : place.stop]), place)
                if _is_kept(keys):
                    kept.append(weights)
        ctx.layout, ctx.scale = layout, scale
        ctx.save_for_backward(q, k, v, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *d_outs: torch.Tensor) -> tuple[Any, ...]:
        q, k, v, *kept = ctx.saved_tensors
        layout: Layout = ctx.layout
        d_out = d_outs[0]
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for row in reversed(list(layout.rows())):
            keys, values = k[row].transpose(0, 1), v[row].transpose(0, 1)
            d_keys, d_values = dk[row].transpose(0, 1), dv[row].transpose(0, 1)
            blocks = zip(_blocks(q[row], len(keys)), _blocks(d_out[row], len(keys)), strict=True)
            for (place, queries), (_, d_block) in reversed(list(blocks)):
                weights = kept.pop() if _is_kept(keys) else _weights(queries, keys, place, layout)
                seen = slice(0, place.stop)
                d_weights = torch.bmm(d_block, values[:, seen].transpose(1, 2))
                d_scores = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)
                dq[row][place] = _ungrouped(torch.bmm(d_scores, keys[:, seen]), place)
                _collect(d_keys, torch.bmm(d_scores.transpose(1, 2), queries))
                _collect(d_values, torch.bmm(weights.transpose(1, 2), d_block))
        # the transpose of a rotation is the rotation back
        dq = rotated(dq, layout.cos * ctx.scale, -layout.sin * ctx.scale)
        dk = rotated(dk, layout.cos, -layout.sin)
        return dq, dk, dv, None, None


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """The two halves of each head turned against each other: Su et al. 2021, arXiv 2104.09864, as Llama lays it out.

    Args:
        x: (tokens, heads, head).
        cos: (tokens, 1, half a head).
        sin: As cos.
    """
    first, second = x.chunk(2, dim=-1)
    out = torch.empty_like(x)
    new_first, new_second = out.chunk(2, dim=-1)
    torch.mul(first, cos, out=new_first)
    torch.mul(second, cos, out=new_second)
    new_first.addcmul_(second, sin, value=-1)
    new_second.addcmul_(first, sin)
    return out


def _blocks(x: torch.Tensor, key_heads: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """(length, heads, head) in blocks of queries: (key heads, heads of each * queries, head)."""
    length, heads, head = x.shape
    grouped = x.view(length, key_heads, heads // key_heads, head).permute(1, 2, 0, 3)
    for start in range(0, length, BLOCK):
        place = slice(start, min(start + BLOCK, length))
        yield place, grouped[:, :, place].reshape(key_heads, -1, head)


def _is_kept(keys: torch.Tensor) -> bool:
    return keys.shape[1] <= KEPT_LENGTH


def _collect(total: torch.Tensor, part: torch.Tensor) -> None:
    """Add what a block of queries gives to the keys that it sees; the last one sees all, and comes first."""
    seen = part.shape[1]
    if seen == total.shape[1]:
        total.copy_(part)
    else:
        total[:, :seen] += part


def _ungrouped(block: torch.Tensor, place: slice) -> torch.Tensor:
    """The opposite of `_blocks`: (queries, heads, head)."""
    size = place.stop - place.start
    return block.view(-1, size, block.shape[-1]).transpose(0, 1)


def _weights(queries: torch.Tensor, keys: torch.Tensor, place: slice, layout: Layout) -> torch.Tensor:
    """Softmax of the scores: (key heads, heads of each * queries, keys up to the block's end)."""
    scores = torch.bmm(queries, keys[:, : place.stop].transpose(1, 2))
    size = place.stop - place.start
    scores[..., place] += layout.mask(size, queries.shape[1] // size, scores)
    return torch.softmax(scores, -1)
