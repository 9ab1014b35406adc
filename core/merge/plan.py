"""Which tensors of adapters and models change which weights of the base: each of them used exactly once, or not at all.

An adapter names modules, a weight file names tensors, and the two need not be alike; `names` knows when they are not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ModelError
from .adapter import PREFIX, Adapter
from .checkpoint import HEAD, Checkpoint, Tensor

A_ENDINGS = {".lora_A.weight": ".lora_B.weight", ".lora_embedding_A": ".lora_embedding_B"}
B_ENDINGS = tuple(A_ENDINGS.values())
TOKEN_ROWS = ".token_adapter.trainable_tokens_delta"
ORIGINAL = ".original_module."
COPIES = (".modules_to_save.", ORIGINAL)
CONV1D_MODELS = ("gpt2", "openai-gpt", "ctrl", "imagegpt", "decision_transformer", "clvp")
"""Model types whose layers store (in, out) instead of (out, in); a square weight does not show which."""

Rename = Callable[[str], str | None]
"""From the name of a weight in the loaded model to its name in the files; None where it has none of its own."""


@dataclass(frozen=True, slots=True)
class Update:
    """W += scale * B @ A, or its transpose."""

    a: str
    b: str
    scale: float
    transposed: bool


@dataclass(slots=True)
class Part:
    """What one adapter or model does to one weight: it may bring its own, then rows of it, then updates add up."""

    adapter: Adapter
    replacement: str | None = None
    """Tensor that takes the weight's place (modules_to_save, a trained bias, added tokens, a whole model)."""
    token_rows: str | None = None
    """Tensor with new rows for single tokens."""
    token_ids: tuple[int, ...] = ()
    updates: list[Update] = field(default_factory=list)

    @property
    def is_own(self) -> bool:
        """Whether it brings numbers that take the base's place, so that it is no plain sum."""
        return bool(self.replacement or self.token_rows)


@dataclass(slots=True)
class Change:
    """What happens to one weight of the base."""

    source: str
    """The base's tensor that it starts from."""
    shape: tuple[int, ...]
    """Of the merged weight: added tokens make an embedding longer."""
    parts: dict[int, Part] = field(default_factory=dict)
    """By the number of the adapter."""


@dataclass(frozen=True)
class Plan:
    """The changes by name of the merged tensor, or the reason why the adapter is no plain sum."""

    changes: Mapping[str, Change]
    not_exact: str | None = None
    dropped: frozenset[str] = frozenset()
    """Weights of the base that are not written: the copy of a tied embedding that changes."""

    @property
    def unties(self) -> bool:
        """Whether the output layer gets a weight of its own that it did not have."""
        return HEAD in self.changes and self.changes[HEAD].source != HEAD

    def vocabulary(self, base: Checkpoint) -> int | None:
        """Embedding rows of the merged model where they are not the base's."""
        change = self.changes.get(base.embedding or "")
        rows = change.shape[0] if change else None
        return rows if change and rows != base.tensors[change.source].shape[0] else None


@dataclass(frozen=True, slots=True)
class Weighted:
    """An adapter, or a whole model taken as one, and the factor on its changes."""

    adapter: Adapter
    weight: float


def make_plan(base: Checkpoint, adapters: Sequence[Weighted], rename: Rename) -> Plan:
    """Match every adapter tensor with the base's tensor that it changes.

    Raises:
        ModelError: Shapes differ or a pair is incomplete.
    """
    changes: dict[str, Change] = {}
    for number, adapter in enumerate(entry.adapter for entry in adapters):
        if reason := adapter.inexact_because():
            return Plan({}, f"{reason} ({adapter.folder.name})")
        for made in _made_by(adapter):
            target = _in_files(base, made.weight, rename)
            if target is None:
                return Plan({}, f"its tensor for {made.weight} has no namesake in the base's files")
            source = (base.embedding or "") if target == HEAD and base.is_tied else target
            change = changes.setdefault(target, Change(source, base.tensors[source].shape))
            if reason := _put(change, change.parts.setdefault(number, Part(adapter)), made, base):
                return Plan({}, reason)
    _keep_tied(base, changes)
    stale = base.is_tied and base.embedding in changes and HEAD in base.tensors and HEAD not in changes
    return Plan(changes, dropped=frozenset((HEAD,)) if stale else frozenset())


@dataclass(frozen=True, slots=True)
class _Made:
    """One tensor of an adapter, or two that belong together."""

    adapter: Adapter
    weight: str
    """The weight that it changes, as the loaded model names it."""
    tensor: str
    partner: str | None = None
    is_rows: bool = False


def _made_by(adapter: Adapter) -> Iterator[_Made]:
    """Every tensor of an adapter, exactly once: an A with its B, anything else by itself."""
    names = set(adapter.tensors)
    for name in sorted(names):
        plain = name.removeprefix(PREFIX).replace(".base_layer.", ".")
        if copy := next((mark for mark in COPIES if mark in name), None):
            _prove_copy(adapter, name, name.replace(copy, "."))
            continue
        ending = next((ending for ending in A_ENDINGS if name.endswith(ending)), None)
        if ending is not None:
            b = name.removesuffix(ending) + A_ENDINGS[ending]
            if b not in names:
                raise _broken(f"{name} has no partner {b}")
            yield _Made(adapter, f"{plain.removesuffix(ending)}.weight", name, partner=b)
        elif name.endswith(B_ENDINGS):
            if not any(name.removesuffix(b) + a in names for a, b in A_ENDINGS.items() if name.endswith(b)):
                raise _broken(f"{name} has no partner")
        elif name.endswith(TOKEN_ROWS):
            yield _Made(adapter, f"{plain.removesuffix(TOKEN_ROWS)}.weight", name, is_rows=True)
        else:
            yield _Made(adapter, plain, name)


def _prove_copy(adapter: Adapter, name: str, saved: str) -> None:
    """peft saves a grown embedding that it also trains three times: trained, trained again, and as it was."""
    if saved not in adapter.tensors:
        raise _broken(f"{name} has no partner {saved}")
    if ORIGINAL not in name and not adapter.tensors[name].equals(adapter.tensors[saved]):
        raise _broken(f"{name} and {saved} should be the same, and differ")


def _in_files(base: Checkpoint, weight: str, rename: Rename) -> str | None:
    if weight in base.tensors or (weight == HEAD and base.is_tied and base.embedding):
        return weight
    return rename(weight)


def _put(change: Change, part: Part, made: _Made, base: Checkpoint) -> str | None:
    """Add a tensor to a change; or the reason why it does not add up."""
    shape = base.tensors[change.source].shape
    tensor = made.adapter.tensors[made.tensor]
    if made.partner is not None:
        if len(shape) != 2 or len(tensor.shape) != 2:
            return f"it changes {made.weight}, which is no plain matrix"
        part.updates.append(_update(made, shape, tensor, base))
    elif made.is_rows:
        part.token_rows, part.token_ids = made.tensor, made.adapter.token_ids(made.weight.rpartition(".")[0])
        if tensor.shape != (len(part.token_ids), *shape[1:]):
            raise _misfit(made, shape, tensor.shape)
    else:
        is_vocabulary = change.source == base.embedding or made.weight == HEAD
        grows = is_vocabulary and tensor.shape[1:] == shape[1:] and tensor.rows >= shape[0]
        if tensor.shape != shape and not grows:
            raise _misfit(made, shape, tensor.shape)
        part.replacement = made.tensor
        change.shape = tensor.shape
    return None


def _update(made: _Made, shape: tuple[int, ...], a: Tensor, base: Checkpoint) -> Update:
    assert made.partner is not None
    adapter, b = made.adapter, made.adapter.tensors[made.partner]
    (rank_a, inside), (outside, rank_b) = a.shape, b.shape
    if rank_a != rank_b:
        raise _broken(f"{made.tensor} has rank {rank_a} and {made.partner} rank {rank_b}")
    if shape not in ((outside, inside), (inside, outside)):
        turned = bool(adapter.config.get("fan_in_fan_out"))
        raise _misfit(made, shape, (inside, outside) if turned else (outside, inside))
    transposed = shape == (inside, outside)
    if inside == outside:
        is_embedding = made.tensor.endswith("lora_embedding_A")
        is_conv1d = base.config.get("model_type") in CONV1D_MODELS and made.weight != HEAD
        transposed = is_embedding or is_conv1d
    return Update(made.tensor, made.partner, adapter.scale(made.weight.rpartition(".")[0]), transposed)


def _keep_tied(base: Checkpoint, changes: dict[str, Change]) -> None:
    """Decide whether input embedding and output layer, one weight in the base, stay one."""
    if not base.is_tied or base.embedding not in changes:
        return
    embedding, head = changes[base.embedding], changes.get(HEAD)
    if head is None:
        if any(_stands_alone(part) for part in embedding.parts.values()):
            changes[HEAD] = Change(base.embedding, base.tensors[base.embedding].shape)
    elif head.shape == embedding.shape and _same_parts(head, embedding):
        del changes[HEAD]  # one weight saved under both names


def _stands_alone(part: Part) -> bool:
    """Whether only the input side was trained: peft copies a module to save and wraps a LoRA one, which parts the two.

    Trained tokens are shared by both sides, and so is an embedding that was saved only because it had grown.
    """
    name = (part.replacement or "").removeprefix(PREFIX)
    own = any(module in name for module in part.adapter.config.get("modules_to_save") or ())
    return bool(part.updates) or own


def _same_parts(head: Change, embedding: Change) -> bool:
    if head.parts.keys() != embedding.parts.keys():
        return False
    return all(_same(part, embedding.parts[number]) for number, part in head.parts.items())


def _same(one: Part, other: Part) -> bool:
    if one.updates or other.updates or _stands_alone(one) or _stands_alone(other):
        return False
    if bool(one.replacement) != bool(other.replacement) or one.token_ids != other.token_ids:
        return False
    pairs = ((one.replacement, other.replacement), (one.token_rows, other.token_rows))
    return all(one.adapter.tensors[a].equals(other.adapter.tensors[b]) for a, b in pairs if a and b)


def _misfit(made: _Made, shape: tuple[int, ...], found: tuple[int, ...]) -> ModelError:
    named = f" ('{made.adapter.base_name}')" if made.adapter.base_name else ""
    return ModelError(
        f"The adapter does not fit the base: {made.weight} is {_sides(shape)}, the adapter's is {_sides(found)}.",
        f"Merge it into its own base model{named}, with the same vocabulary.",
    )


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _broken(problem: str) -> ModelError:
    return ModelError(f"The adapter is incomplete: {problem}.", "Save it again, or use another checkpoint.")
