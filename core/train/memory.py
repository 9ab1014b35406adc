"""The peak of memory that a training would take, from its own code run on a model without numbers."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..models.load import base_of
from .hyperparameters import Hyperparameters, Technique
from .objectives import Objective
from .weightless import Counter, Nf4Linear, counting, without_numbers

NF4_BYTES = 0.516  # 4 bits, an 8-bit scale for 64 weights and a 32-bit one for 256 of these
GRADIENT_BYTES = 4
ADAM_BYTES = 8  # two float32 moments
FEW_LAYERS, MORE_LAYERS = 2, 4  # two runs over so many equal layers tell what one more takes
TOLERANCE = 0.01
OUTSIDE_COPIES = {"cpu": 4.0}  # gloo copies on the way: 2.28 GB measured, 2.31 estimated with it (110M weights)
FROZEN_COPIES = 3.0  # its weights, and those of the next layer twice: as they came, and each in its place
FROZEN_OUTSIDE_COPIES = {"cpu": 3.0}  # with both: 0.95 GB measured, 0.91 estimated; 2.01 and 1.96 with more vocabulary
BY_RUNNING = "by running the training code without numbers"
# of a model's code
UNRUNNABLE = (RuntimeError, NotImplementedError, TypeError, AttributeError, ValueError, IndexError)


@dataclass(frozen=True, slots=True)
class Footprint:
    """The parts of a training's memory at its peak, in bytes."""

    process: float
    """What the process takes without a model: libraries, rows; on a GPU its context."""

    weights: float
    """Of the base, or of the whole model when all is trained."""

    adapter: float
    gradients: float
    optimizer: float
    activations: float
    """What the backward pass needs of the forward pass, and what both compute on the way."""

    basis: str
    """How the activations were found."""

    gathered: float = 0.0
    """Of a sharded model: layers that are whole while they compute."""

    @property
    def total(self) -> float:
        """The peak."""
        held = self.process + self.weights + self.adapter + self.gradients + self.optimizer
        return held + self.gathered + self.activations

    def sharded(self, processes: int, gathered: float) -> "Footprint":
        """The same for one of several processes that each hold a part of every layer; an adapter they have whole."""
        divided = ("weights",) if self.adapter else ("weights", "gradients", "optimizer")
        parts = {name: getattr(self, name) / processes for name in divided}
        return replace(self, **parts, gathered=gathered)

    def corrected(self, measured: float, basis: str) -> "Footprint":
        """The same with a measured peak; what was misjudged is put down to the activations."""
        activations = max(0.0, self.activations + measured - self.total)
        return replace(self, activations=activations, basis=basis)

    def parts_gb(self) -> dict[str, float]:
        """By name, in GB."""
        names = ("process", "weights", "adapter", "gradients", "optimizer", "gathered", "activations")
        return {name: round(getattr(self, name) / 1e9, 3) for name in names if getattr(self, name)}


@dataclass(frozen=True, slots=True)
class Load:
    """What a training puts on a machine."""

    technique: Technique
    numbers: Hyperparameters
    """With batch, number format and gradient_checkpointing decided."""

    objective: Objective
    inputs: dict[str, Any]
    """The most that is computed at once, as the collator makes it."""

    device: str
    """Its kind: cuda, mps or cpu."""

    process_bytes: float


def footprint(model: nn.Module, load: Load) -> Footprint:
    """The peak of a training step on the fullest portion of a batch.

    Weights, gradients and Adam's moments are counted; activations come from the objective's own forward and backward
    pass over `model`, which must be a meta model made trainable. It stays as it is.
    """
    weights, trained = _weight_bytes(model), _trained(model)
    full = load.technique == "full"
    return Footprint(
        process=load.process_bytes,
        weights=weights + (4.0 * trained if full else 0.0),
        adapter=0.0 if full else 4.0 * trained,
        gradients=GRADIENT_BYTES * trained,
        optimizer=ADAM_BYTES * trained,
        activations=_activations(model, load, GRADIENT_BYTES * trained),
        basis=BY_RUNNING,
    )


def gathered_bytes(model: Any, device: str) -> float:
    """What a sharded model (here a meta one) puts together at its peak.

    A trained layer in its backward pass is there four times: its weights, their gradient, that gradient on its way to
    the processes that own it, and the weights of the next layer, which come early. So is the largest matrix outside of
    the layers, without a next one. A frozen layer has no gradient, and an adapter is not gathered.
    """
    base = base_of(model)
    frozen = base is not model
    parts = {id(p): p.numel() * p.element_size() for p in model.parameters() if p.requires_grad != frozen}
    layers = [[parts.pop(id(p), 0) for p in layer.parameters()] for layer in getattr(base.base_model, "layers", ())]
    layer, outside = max(map(sum, layers), default=0), max(parts.values(), default=0)
    if frozen:
        return FROZEN_COPIES * layer + FROZEN_OUTSIDE_COPIES.get(device, 2.0) * outside
    return 4.0 * layer + OUTSIDE_COPIES.get(device, 3.0) * outside


def _trained(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _weight_bytes(model: nn.Module) -> float:
    """Of the frozen weights and of buffers."""
    packed = {id(m.weight) for m in model.modules() if isinstance(m, Nf4Linear)}
    frozen = [p for p in model.parameters() if not p.requires_grad]
    bytes_of = (p.numel() * (NF4_BYTES if id(p) in packed else p.element_size()) for p in frozen)
    return sum(bytes_of) + sum(b.numel() * b.element_size() for b in model.buffers())


@dataclass(frozen=True, slots=True)
class _Pass:
    """Bytes of one forward and backward pass, weights and their gradients not counted."""

    peak: float
    kept: float
    """Between the two passes."""


def _activations(model: nn.Module, load: Load, gradients: float) -> float:
    """Bytes at the peak beside weights, gradients and moments."""
    found = _by_few_layers(model, load) or _run(copy.deepcopy(model), load)
    if (load.numbers.gradient_accumulation or 1) > 1:
        return found.peak
    # gradients appear while activations go, so only the larger of the two is there at the peak
    return max(found.peak, gradients + found.peak - found.kept) - gradients


def _by_few_layers(model: nn.Module, load: Load) -> _Pass | None:
    """The passes of a model whose layers are alike, from two short ones of it.

    None when the peak does not grow by what each layer keeps: then it lies elsewhere in a model of more layers.
    """
    layers = _equal_layers(model)
    if layers is None:
        return None
    few, more = (_run(_shortened(model, layers, kept), load) for kept in (FEW_LAYERS, MORE_LAYERS))
    added, layers_added = more.kept - few.kept, MORE_LAYERS - FEW_LAYERS
    if abs((more.peak - few.peak) - added) > TOLERANCE * added:
        return None
    rest = (len(layers) - MORE_LAYERS) * added / layers_added
    return _Pass(peak=more.peak + rest, kept=more.kept + rest)


def _equal_layers(model: nn.Module) -> nn.ModuleList | None:
    """The model's repeated block, when all its layers have the same shapes."""
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) > MORE_LAYERS]
    for layers in lists:
        shapes = {tuple((name, p.shape, p.requires_grad) for name, p in layer.named_parameters()) for layer in layers}
        if len(shapes) == 1:
            return layers
    return None


def _shortened(model: nn.Module, layers: nn.ModuleList, kept: int) -> nn.Module:
    """A copy of the model with the first layers alone."""
    left_out = {id(layer): None for layer in layers[kept:]}  # deepcopy takes None for each, instead of a copy
    copied = copy.deepcopy(model, dict(left_out))
    place = next(name for name, module in model.named_modules() if module is layers)
    parent = copied.get_submodule(place.rpartition(".")[0])
    shorter = copied.get_submodule(place)[:kept]  # pyright: ignore[reportIndexIssue] - it is the copied list
    setattr(parent, place.rpartition(".")[2], shorter)
    return copied


def _run(model: Any, load: Load) -> _Pass:
    counter = without_numbers(model, load.device)
    if load.numbers.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        if load.technique != "full":
            model.enable_input_require_grads()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = _like(parameter, counter)
    model.train()
    inputs = {name: value for name, value in load.inputs.items() if name != "rows"}
    with counting(counter, load.numbers.dtype, load.device):
        loss = load.objective.summed(model, inputs)
        kept = float(counter.live)
        loss.backward()
    return _Pass(peak=float(counter.peak), kept=kept)


def _like(parameter: nn.Parameter, counter: Counter) -> torch.Tensor:
    with counter.fake:
        gradient = torch.empty_like(parameter)
    counter.ignore(gradient)
    return gradient
