"""Llama-like decoders on a processor: recognised by their parts, proven on a few tokens, then computed row by row."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from .attention import Layout, attention
from .linear import project
from .norm import rms_norm
from .swiglu import swiglu

BACKBONE = {"embed_tokens", "layers", "norm", "rotary_emb"}
LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
HEAD_NORMS = {"q_norm", "k_norm"}
FEED_FORWARD = {"gate_proj", "up_proj", "down_proj", "act_fn"}
TRIED_TOKENS = 12
ROW_STEP, BATCH_STEP = 16, 32  # tokens; larger ones waste more on what is filled up, smaller ones make more sizes
TOLERANCE = 0.05  # of what a layer adds, beside rounding; another architecture is off by far more

PLAIN_LOGITS = "gives_plain_logits"


def install(model: PreTrainedModel) -> bool:
    """Let the model compute without padding and with few passes over memory, when it is one that this can be done for.

    The numbers stay the same, up to rounding: each layer is tried both ways on a few tokens, and unless all agree
    nothing is changed. A model without numbers (device meta) is known by its parts alone. Returns whether it was.
    """
    backbone: Any = model.base_model
    head = model.get_output_embeddings()
    if model.device.type not in ("cpu", "meta") or not _is_known(backbone) or type(head) is not nn.Linear:
        return False
    decoder = Decoder(backbone, backbone.forward)
    if model.device.type == "meta":
        backbone.forward = decoder
        setattr(head, PLAIN_LOGITS, head.bias is None)
        return True
    ids = torch.arange(min(TRIED_TOKENS, decoder.window or TRIED_TOKENS)).remainder(
        model.config.get_text_config().vocab_size
    )
    with torch.no_grad(), _watched([*backbone.layers, backbone.norm, head]) as seen:
        model(ids[None], use_cache=False)
        if not _agrees(decoder, ids, seen):
            return False
        backbone.forward = decoder
        states, logits = seen[-1]
        plain = head.bias is None and _close(nn.functional.linear(states, head.weight), logits, logits)
        setattr(head, PLAIN_LOGITS, plain)
    return True


@contextlib.contextmanager
def _watched(modules: Sequence[nn.Module]) -> Iterator[list[Any]]:
    """What each module reads and makes of it, in the order of the calls."""
    seen: list[Any] = []
    hooks = [m.register_forward_hook(lambda _, given, made: seen.append((given[0], made))) for m in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _agrees(decoder: "Decoder", ids: torch.Tensor, seen: Sequence[Any]) -> bool:
    """Whether the embedding, each layer and the last norm make the same of what the model's own ones were given."""
    backbone = decoder.backbone
    *layers, (last, normalised), _ = seen
    first = layers[0][0][0]
    layout = decoder.layout(first, [len(ids)])
    return (
        torch.equal(backbone.embed_tokens(ids), first)
        and all(
            _close(_layer(layer, read[0], layout), made[0], made[0] - read[0])
            for layer, (read, made) in zip(backbone.layers, layers, strict=True)
        )
        and _close(_normalised(backbone.norm, last[0]), normalised[0], normalised[0])
    )


def _close(one: torch.Tensor, other: torch.Tensor, change: torch.Tensor) -> bool:
    def size(x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)

    return bool((size(one - other) <= TOLERANCE * size(change) + torch.finfo(other.dtype).eps * size(other)).all())


def has_plain_logits(head: nn.Module) -> bool:
    """Whether the model's logits are its last states times this layer's weights, and nothing more."""
    return getattr(head, PLAIN_LOGITS, False)


def _is_known(backbone: Any) -> bool:
    if _children(backbone) != BACKBONE or not all(map(_is_known_layer, backbone.layers)):
        return False
    frequencies = getattr(backbone.rotary_emb, "inv_freq", None)
    return frequencies is not None and 2 * len(frequencies) == backbone.layers[0].self_attn.head_dim


def _is_known_layer(layer: Any) -> bool:
    if _children(layer) != LAYER:
        return False
    inner, feed_forward = layer.self_attn, layer.mlp
    return (
        _children(inner) in (ATTENTION, ATTENTION | HEAD_NORMS)
        and _children(feed_forward) == FEED_FORWARD
        and type(feed_forward.act_fn).__name__ in ("SiLU", "SiLUActivation")
        and all(hasattr(norm, "variance_epsilon") for norm in (layer.input_layernorm, layer.post_attention_layernorm))
        and isinstance(getattr(inner, "head_dim", None), int)
        and isinstance(getattr(inner, "scaling", None), float)
    )


def _children(module: Any) -> set[str]:
    return {name for name, _ in module.named_children()}


class Decoder:
    """Takes the place of a backbone's forward."""

    def __init__(self, backbone: Any, plain: Callable[..., Any]) -> None:
        self.backbone = backbone
        self.plain = plain
        self.layer_class = type(backbone.layers[0])
        self.window = getattr(backbone.config, "sliding_window", None)

    def __call__(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        use_cache: bool | None = None,  # None stands for the model's default
        **others: Any,
    ) -> BaseModelOutputWithPast:
        """The last hidden states (batch, length, hidden); zero at padding."""
        real = None if input_ids is None else _real_tokens(input_ids, attention_mask, position_ids)
        asked = any(value is not None and value is not False for value in others.values())
        if input_ids is None or real is None or asked or use_cache is not False or not self._applies(max(real.lengths)):
            given = {"attention_mask": attention_mask, "position_ids": position_ids, "use_cache": use_cache}
            return self.plain(input_ids=input_ids, **given, **others)
        ids = input_ids.flatten()[real.places]
        states = self._in_few_sizes(ids, real.lengths)
        out = states.new_zeros(input_ids.numel(), states.shape[-1]).index_copy(0, real.places, states)
        return BaseModelOutputWithPast(last_hidden_state=out.view(*input_ids.shape, -1))

    def _applies(self, longest: int) -> bool:
        """Whether nothing has changed since the model was tried: sharding puts other layers in place."""
        first = self.backbone.layers[0]
        return type(first) is self.layer_class and (self.window is None or longest <= self.window)

    def _in_few_sizes(self, ids: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """As `states`, with rows and their sum rounded up to steps.

        For each new size of a product of bfloat16 numbers the processor's library keeps a quarter of a megabyte for
        good: rows of all lengths took 150 MB more with every step of a training. What is filled up comes after a row's
        end, where no token of it looks.
        """
        filled = [_rounded(length, ROW_STEP) for length in lengths]
        rest = -sum(filled) % BATCH_STEP
        starts = itertools.accumulate(filled[:-1], initial=0)
        own = [torch.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
        places = torch.cat(own).to(ids.device)
        padded = ids.new_zeros(sum(filled) + rest).index_copy(0, places, ids)
        return self.states(padded, [*filled, rest] if rest else filled)[places]

    def states(self, ids: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """The last hidden states (tokens, hidden) of rows that lie one after another.

        Args:
            ids: (tokens,).
            lengths: Tokens of each row, on any device, also "meta".
        """
        device = ids.device.type
        mixed = torch.is_autocast_enabled(device)
        x = self.backbone.embed_tokens(ids)
        x = x.to(torch.get_autocast_dtype(device)) if mixed else x
        with torch.autocast(device, enabled=False):
            layout = self.layout(x, lengths)
            for layer in self.backbone.layers:
                if layer.training and getattr(layer, "gradient_checkpointing", False):
                    x = checkpoint(_layer, layer, x, layout, use_reentrant=False)
                else:
                    x = _layer(layer, x, layout)
            return _normalised(self.backbone.norm, x)

    def layout(self, x: torch.Tensor, lengths: Sequence[int]) -> Layout:
        """Rows of these lengths one after another, with x's number format."""
        places = torch.cat([torch.arange(length, device=x.device) for length in lengths])
        cos, sin = self.backbone.rotary_emb(x[None], places[None])
        half = cos.shape[-1] // 2  # the other half is the same
        return Layout(lengths, cos[0, :, None, :half].contiguous(), sin[0, :, None, :half].contiguous())


def _rounded(number: int, step: int) -> int:
    return -(-number // step) * step


def _layer(layer: Any, x: torch.Tensor, layout: Layout) -> torch.Tensor:
    inner, feed_forward = layer.self_attn, layer.mlp
    read = _normalised(layer.input_layernorm, x)
    q, k, v = project((inner.q_proj, inner.k_proj, inner.v_proj), read)
    if hasattr(inner, "q_norm"):
        q, k = _by_head(inner.q_norm, q, inner.head_dim), _by_head(inner.k_norm, k, inner.head_dim)
    mixed = attention(q, k, v, layout, inner.head_dim, inner.scaling)
    x = x + project((inner.o_proj,), mixed)[0]
    read = _normalised(layer.post_attention_layernorm, x)
    gate, up = project((feed_forward.gate_proj, feed_forward.up_proj), read)
    return x + project((feed_forward.down_proj,), swiglu(gate, up))[0]


def _normalised(norm: Any, x: torch.Tensor) -> torch.Tensor:
    return rms_norm(x, norm.weight, norm.variance_epsilon)


def _by_head(norm: Any, x: torch.Tensor, head: int) -> torch.Tensor:
    return _normalised(norm, x.view(-1, head)).view_as(x)


@dataclass(frozen=True, slots=True)
class _Real:
    """The tokens of a batch that are no padding."""

    places: torch.Tensor
    """In the flattened batch."""
    lengths: list[int]


def _real_tokens(ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor | None) -> _Real | None:
    """The rows of a batch: padded on the right, or packed with positions that start anew; None when neither."""
    size, length = ids.shape
    if mask is not None:
        lengths = mask.sum(1)
        aligned = mask.bool() == (torch.arange(length, device=ids.device) < lengths[:, None])
        if positions is not None or not bool(aligned.all()) or not bool(lengths.all()):
            return None
        return _Real(mask.flatten().nonzero()[:, 0], lengths.tolist())
    places = torch.arange(size * length, device=ids.device)
    if positions is None:
        return _Real(places, [length] * size)
    if positions.shape != ids.shape or bool(positions[:, 0].any()):
        return None
    starts = (positions.flatten() == 0).nonzero()[:, 0].tolist()
    return _Real(places, [end - start for start, end in itertools.pairwise([*starts, size * length])])
