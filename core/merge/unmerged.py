"""What a merged model has to equal: the base with adapters beside it, put together by peft and transformers alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..models.load import attach_adapter, load_base
from ..settings import Settings
from .checkpoint import Checkpoint
from .mix import SUMS, Mix, combine
from .names import Names
from .offloaded import Offloaded
from .plan import Plan, Weighted
from .quantised import compute_as_in_training

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How models are computed that are compared."""

    dtype: str
    from_disk: bool = False
    """Whether the weights stay on disk: for models that do not fit into memory."""

    def __str__(self) -> str:
        return f"{self.dtype}, a layer at a time from disk" if self.from_disk else self.dtype


@dataclass(frozen=True)
class Unmerged:
    """Base and adapters, or models, and how they are to be combined."""

    base: Checkpoint
    adapters: Sequence[Weighted]
    mix: Mix
    names: Names
    plan: Plan
    vocabulary: int | None = None
    """Embedding rows where adapters bring some for added tokens."""
    nf4: bool = False
    """Whether the base is the 4-bit one of a QLoRA training."""

    def load(self, arithmetic: Arithmetic, settings: Settings) -> Any:
        """The base with its adapters active, a PeftModel; a plain model where peft cannot have them active together."""
        if arithmetic.from_disk:
            weights = [entry.weight for entry in self.adapters]
            return Offloaded(self.base.folder, arithmetic.dtype, settings).attach(self.plan, weights, self.names)
        model: Any = load_base(self.base.folder, dtype=arithmetic.dtype, nf4=self.nf4, settings=settings)
        if self.vocabulary:
            model.resize_token_embeddings(self.vocabulary, mean_resizing=False)
        adds_up = self.mix.strategy in SUMS and self.mix.strategy != "svd" and not any(map(_is_own, self.adapters))
        if self.mix.strategy != "lora" and not adds_up:
            return self._combined(model, arithmetic, settings)
        model = attach(model, self.adapters)
        if self.nf4:
            compute_as_in_training(model)
        return model

    def alone(self, entry: Weighted, arithmetic: Arithmetic, settings: Settings) -> Any:
        """The base with one adapter merged by peft, or the one model itself."""
        if entry.adapter.is_model:
            return load_base(entry.adapter.folder, dtype=arithmetic.dtype, settings=settings)
        base = load_base(self.base.folder, dtype=arithmetic.dtype, settings=settings)
        model: Any = attach_adapter(base, entry.adapter.folder)
        return model.merge_and_unload()

    def _combined(self, model: Any, arithmetic: Arithmetic, settings: Settings) -> Any:
        """The base's weights, each with the whole changes of all combined; as many models are in memory at once."""
        start = model.state_dict()
        alone = [self.alone(entry, arithmetic, settings).state_dict() for entry in self.adapters]
        weights = [entry.weight for entry in self.adapters]
        done = set()
        for name, weight in start.items():
            if weight.data_ptr() in done:  # tied to one before it
                continue
            done.add(weight.data_ptr())
            deltas = [one[name].float() - weight.float() for one in alone]
            if any(bool(delta.any()) for delta in deltas):
                stored = name if name in self.base.tensors else self.names(name) or name
                weight.copy_(self._combine(stored, weight.float(), deltas, weights))
        return model

    def _combine(
        self, name: str, start: "torch.Tensor", deltas: "list[torch.Tensor]", weights: list[float]
    ) -> "torch.Tensor":
        import torch

        merged = combine(self.mix, name, start, deltas, weights)
        if self.mix.strategy != "svd" or start.dim() != 2:
            return merged
        rank = max(int(entry.adapter.config["r"]) for entry in self.adapters)
        u, s, v = torch.linalg.svd(merged - start, full_matrices=False)
        return start + (u[:, :rank] * s[:rank]) @ v[:rank]


def _is_own(entry: Weighted) -> bool:
    config = entry.adapter.config
    return entry.adapter.is_model or bool(config.get("modules_to_save") or config.get("trainable_token_indices"))


def attach(model: Any, adapters: Sequence[Weighted]) -> Any:
    """The base with every adapter active, each at its weight."""
    if len(adapters) == 1 and adapters[0].weight == 1:
        return attach_adapter(model, adapters[0].adapter.folder)
    from peft.tuners.lora import LoraLayer

    attached: Any = attach_adapter(model, adapters[0].adapter.folder)
    names = ["default", *(f"adapter_{number}" for number in range(1, len(adapters)))]
    for name, entry in list(zip(names, adapters, strict=True))[1:]:
        attached.load_adapter(str(entry.adapter.folder), adapter_name=name)
    attached.base_model.set_adapter(names)  # all of them active at once: their changes add up
    for module in attached.modules():
        if isinstance(module, LoraLayer):
            for name, entry in zip(names, adapters, strict=True):
                if name in module.scaling:
                    module.set_scale(name, entry.weight)
    return attached.eval()
