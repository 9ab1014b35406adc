"""Which adapter tensors change which weights of the base: every one of them used exactly once, or not at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import ModelError
from .adapter import PREFIX, Adapter
from .checkpoint import HEAD, Checkpoint

A_ENDINGS = {".lora_A.weight": ".lora_B.weight", ".lora_embedding_A": ".lora_embedding_B"}
B_ENDINGS = tuple(A_ENDINGS.values())


@dataclass(frozen=True, slots=True)
class Update:
    """W += scale * B @ A, or its transpose."""

    adapter: Adapter
    a: str
    b: str
    scale: float
    transposed: bool


@dataclass(frozen=True, slots=True)
class Replacement:
    """W is the adapter's own copy of a whole weight (modules_to_save, a trained bias)."""

    adapter: Adapter
    name: str


@dataclass(slots=True)
class Change:
    """What happens to one weight of the base: it may be replaced first, then updates add up."""

    source: str
    """The base's tensor that it starts from."""
    replacement: Replacement | None = None
    updates: list[Update] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """The changes by name of the merged tensor, or the reason why the adapter is no plain sum."""

    changes: dict[str, Change]
    not_exact: str | None = None

    @property
    def unties(self) -> bool:
        """Whether the output layer gets a weight of its own that it did not have."""
        return HEAD in self.changes and self.changes[HEAD].source != HEAD


@dataclass(frozen=True, slots=True)
class Weighted:
    """An adapter and the factor on its changes."""

    adapter: Adapter
    weight: float


def make_plan(base: Checkpoint, adapters: Sequence[Weighted]) -> Plan:
    """Match every adapter tensor with the base's tensor that it changes.

    Raises:
        ModelError: Shapes differ, a pair is incomplete, or two adapters replace the same weight.
    """
    for adapter in (entry.adapter for entry in adapters):
        if reason := adapter.inexact_because():
            return Plan({}, f"{reason} ({adapter.folder.name})")
    changes: dict[str, Change] = {}
    for entry in adapters:
        for made in _changes_of(entry):
            target = _target(made.a if isinstance(made, Update) else made.name)
            source = base.embedding if target == HEAD and base.is_tied else target
            if source is None or source not in base.tensors:
                return Plan({}, f"its tensor for {target} has no namesake in the base's files")
            _put(changes.setdefault(target, Change(source)), made, base)
    if base.is_tied and base.embedding in changes and HEAD not in changes:
        changes[HEAD] = Change(source=base.embedding)  # only the input side was trained: the output side stays
    return Plan(changes)


def _changes_of(entry: Weighted) -> Iterator[Update | Replacement]:
    """Every tensor of an adapter, exactly once: an A with its B, anything else by itself."""
    names = set(entry.adapter.tensors)
    for name in sorted(names):
        ending = next((ending for ending in A_ENDINGS if name.endswith(ending)), None)
        if ending is not None:
            b = name.removesuffix(ending) + A_ENDINGS[ending]
            if b not in names:
                raise _broken(f"{name} has no partner {b}")
            yield _update(entry, name, b)
        elif name.endswith(B_ENDINGS):
            if not any(name.removesuffix(b) + a in names for a, b in A_ENDINGS.items() if name.endswith(b)):
                raise _broken(f"{name} has no partner")
        else:
            yield Replacement(entry.adapter, name)


def _update(entry: Weighted, a: str, b: str) -> Update:
    adapter, is_embedding = entry.adapter, a.endswith("lora_embedding_A")
    scale = adapter.scale(_module(a)) * entry.weight
    return Update(adapter, a, b, scale, is_embedding or bool(adapter.config.get("fan_in_fan_out")))


def _module(name: str) -> str:
    """The module that an adapter tensor belongs to, as the base model names it."""
    inner = name.removeprefix(PREFIX).replace(".base_layer.", ".")
    ending = next((ending for ending in A_ENDINGS if inner.endswith(ending)), None)
    return inner.removesuffix(ending) if ending else inner.rpartition(".")[0]


def _target(name: str) -> str:
    """The base's tensor that an adapter tensor changes."""
    if name.endswith(tuple(A_ENDINGS)):
        return f"{_module(name)}.weight"
    return name.removeprefix(PREFIX).replace(".base_layer.", ".")


def _put(change: Change, made: Update | Replacement, base: Checkpoint) -> None:
    shape = base.tensors[change.source].shape
    if isinstance(made, Replacement):
        if change.replacement is not None:
            raise ModelError(
                f"Two adapters bring their own {made.name}.", "Merge them one after the other, and evaluate in between."
            )
        change.replacement, found = made, made.adapter.tensors[made.name].shape
    else:
        change.updates.append(made)
        (rank_a, inside), (outside, rank_b) = (made.adapter.tensors[n].shape for n in (made.a, made.b))
        if rank_a != rank_b:
            raise _broken(f"{made.a} has rank {rank_a} and {made.b} rank {rank_b}")
        found = (inside, outside) if made.transposed else (outside, inside)
    if found != shape:
        raise ModelError(
            f"The adapter does not fit the base: {change.source} is {_sides(shape)}, the adapter's is {_sides(found)}.",
            f"Merge it into its own base model{_named(made.adapter)}, with the same vocabulary.",
        )


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _named(adapter: Adapter) -> str:
    return f" ('{adapter.base_name}')" if adapter.base_name else ""


def _broken(problem: str) -> ModelError:
    return ModelError(f"The adapter is incomplete: {problem}.", "Save it again, or use another checkpoint.")
