"""Prefixes that a benchmark's inputs share, read by the model once, to the same last bit.

A question is asked once for each of its answers, and the same examples stand before all questions. What a causal model
makes of a token depends on what stands before it alone, so a token that several inputs share goes through the layers
once. Attention alone is computed for each input, in its padded length, as the last bits depend on that length; an input
for which it gives other bits than for those it shares with is told, and is to be read by itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ...models.load import base_of

NAME = "shared_prefix"
TOKENS_AT_ONCE = 2_048  # in the layers
COPIES_AT_ONCE = 16_384  # in attention
LANES = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8
"""Numbers that torch adds at once."""


class Input(NamedTuple):
    """What goes through the model."""

    ids: tuple[int, ...]
    width: int
    """Its length with the padding, which is on the right."""
    scored: int
    """How many of its last positions are scored."""
    requests: tuple[int, ...]
    """What is answered from it."""


@dataclass(frozen=True)
class Outputs:
    """What a model says after some inputs.

    Attributes:
        logits: (positions, vocabulary), in the model's number format.
        rows: Of each input the rows of logits for its last `scored` positions; None when it must be read by itself.
    """

    logits: torch.Tensor
    rows: list[list[int] | None]


@dataclass
class Pack:
    """Inputs that are read at once.

    Attributes:
        inputs: Those.
        places: Of each input where its tokens stand among those that go through the layers.
        ids: The tokens that go through the layers.
        positions: Theirs in their inputs.
    """

    inputs: list[Input] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    _known: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """Places by that of the token before, the token, and how attention treats it."""

    def add(self, one: Input) -> None:
        """Share with the inputs before."""
        place, places = -1, []
        for position, (token, treated) in enumerate(zip(one.ids, _treated(one.width), strict=False)):
            key = place, token, treated
            place = self._known.setdefault(key, len(self.ids))
            if place == len(self.ids):
                self.ids.append(token)
                self.positions.append(position)
            places.append(place)
        self.inputs.append(one)
        self.places.append(places)


def packs(inputs: Sequence[Input]) -> Iterator[Pack]:
    """All inputs, those together that share most."""
    pack, copies = Pack(), 0
    for one in sorted(inputs):
        if len(pack.ids) >= TOKENS_AT_ONCE or copies >= COPIES_AT_ONCE:
            yield pack
            pack, copies = Pack(), 0
        pack.add(one)
        copies += one.width
    yield pack


def _treated(width: int) -> list[int]:
    """Of each token of a text: where two texts have the same number, torch's attention gives a token the same bits.

    The last keys, too few to fill a vector, are added by themselves. From 192 tokens on there are larger blocks of
    queries, and each block of 512 keys is added in two halves, which begins anew where the text's own half is. That
    is ATen's FlashAttentionKernel with MKL, found by trial; where it does not hold, `Reader` sees it.
    """
    vectors = width // LANES * LANES
    if width < 192:
        return [-32] * vectors + [width // LANES] * (width - vectors)
    before = (width - 1) // 512 * 512
    same = min(vectors, before + (width - before) // 2)
    return [-64 if width < 768 else -256] * same + [width] * (width - same)


class Reader:
    """Reads packs with a model that attends to all earlier tokens by torch's own function, on a processor."""

    def __init__(self, model: Any) -> None:
        """Take a causal language model, with or without an adapter; `read` is for those of which `can_read` is true."""
        self._model = model
        self._lengths: list[_Length] = []
        self._apart: set[int] = set()

    def can_read(self) -> bool:
        """Whether the model is of that kind, as far as its description tells."""
        model = self._model
        text = model.config.get_text_config()
        return (
            model.device.type == "cpu"
            and not model.config.is_encoder_decoder
            and base_of(model)._supports_attention_backend
            and text._attn_implementation == "sdpa"
            and set(getattr(text, "layer_types", None) or ["full_attention"]) == {"full_attention"}
            and not (getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True))
        )

    @torch.inference_mode()
    def read(self, pack: Pack) -> Outputs:
        """What the model says after each input."""
        self._lengths, self._apart = _by_length(pack), set()
        scored = [own[len(own) - one.scored :] for one, own in zip(pack.inputs, pack.places, strict=True)]
        kept = sorted({place for own in scored for place in own})
        with self._attending():
            logits = self._model(
                input_ids=torch.tensor([pack.ids]),
                position_ids=torch.tensor([pack.positions]),
                use_cache=False,
                logits_to_keep=torch.tensor(kept),
            ).logits[0]
        row = {place: n for n, place in enumerate(kept)}
        rows = [None if n in self._apart else [row[place] for place in own] for n, own in enumerate(scored)]
        return Outputs(logits, rows)

    @contextmanager
    def _attending(self) -> Iterator[None]:
        base = base_of(self._model)
        before = base.config._attn_implementation
        ALL_ATTENTION_FUNCTIONS[NAME] = self._attend
        try:
            base.set_attn_implementation(NAME)
            yield
        finally:
            base.set_attn_implementation(before)
            del ALL_ATTENTION_FUNCTIONS[NAME]

    def _attend(
        self, module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: None, **options: Any
    ) -> tuple[torch.Tensor, None]:
        """Attention of one layer as transformers calls it; (1, heads, tokens, size) each."""
        out = query.new_empty(query.shape[2], query.shape[1], value.shape[3])
        found = []
        for length in self._lengths:
            q, k, v = (x[0][:, length.places].transpose(0, 1) for x in (query, key, value))
            own = sdpa_attention_forward(module, q, k, v, None, **options)[0][length.real]
            out[length.written] = own
            found.append(own[length.shared])
        for length, own in zip(self._lengths, found, strict=True):
            used = out[length.written[length.shared]]
            if not torch.equal(used, own):
                self._apart.update(length.inputs[(used != own).flatten(1).any(1)].tolist())
        return out[None], None


@dataclass(frozen=True)
class _Length:
    """The inputs of a pack that have the same padded length."""

    places: torch.Tensor
    """(inputs, length): where each token stands among those read; of the padding, anywhere."""
    real: torch.Tensor
    """(inputs, length): no padding."""
    written: torch.Tensor
    """(tokens,): the places of what is no padding."""
    shared: torch.Tensor
    """(shared tokens,): where `written` names a place that a token of another input has, too."""
    inputs: torch.Tensor
    """(shared tokens,): whose those are."""


def _by_length(pack: Pack) -> list[_Length]:
    by_width: dict[int, list[int]] = {}
    for n, one in enumerate(pack.inputs):
        by_width.setdefault(one.width, []).append(n)
    uses = torch.bincount(torch.tensor([place for places in pack.places for place in places]))
    found = []
    for width, members in by_width.items():
        lengths = torch.tensor([[len(pack.places[n])] for n in members])
        places = torch.tensor([pack.places[n] + [0] * (width - len(pack.places[n])) for n in members])
        real = torch.arange(width) < lengths
        whose = torch.tensor(members)[:, None].expand_as(real)
        written = places[real]
        shared = torch.nonzero(uses[written] > 1)[:, 0]
        found.append(_Length(places, real, written, shared, whose[real][shared]))
    return found
