"""What a technique needs on this machine: sizes of the model, its memory, and whether to compute activations twice."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn

from ..models.machine import Machine
from ..settings import Settings
from . import distributed
from .hyperparameters import Hyperparameters, Method, Technique
from .memory import ADAM_BYTES, GRADIENT_BYTES, NF4_BYTES, UNRUNNABLE, Footprint, Load, footprint, gathered_bytes
from .model import trainable, weights_dtype
from .objectives import objective_of
from .portions import Portion, portion_of
from .sharing import kept_whole
from .weightless import weightless_base

CUDA_CONTEXT_BYTES = 0.6e9
FIRST_STEP_BYTES = 60e6  # code and buffers that the first step loads on a CPU: benchmarks/train/memory.py
MARGIN = 0.85  # share of the memory that may be planned with
BY_FORMULA = "by a formula, since this model's code does not run without numbers"
BY_REHEARSAL = "measured in a rehearsal of the worst batch"
CONTROL_GROUP = Path("/sys/fs/cgroup")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a model that decide memory and time."""

    parameters: int
    linear_parameters: int
    """In layers that NF4 shrinks: all linear ones but the output layer."""

    trainable: int
    adapter: bool
    hidden: int
    intermediate: int
    layers: int
    vocabulary: int
    family: str
    """The configuration's model_type."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one technique needs."""

    technique: Technique
    numbers: Hyperparameters
    """With gradient_checkpointing decided."""

    shape: Shape
    footprint: Footprint
    available: float
    """Bytes that a training may use here, or each process of one."""

    other_way: Footprint | None = None
    """Of each process when the layers are not sharded, or when they are, whichever `footprint` is not; None where
    there is no choice."""

    sharded: bool = False
    """Whether the footprint is that of a process which holds a part of every layer."""

    @property
    def fits(self) -> bool:
        """Whether the peak leaves a margin."""
        return self.footprint.total <= MARGIN * self.available

    def turned(self, sharded: bool) -> "Estimate":
        """The same with the layers sharded, or with a whole copy in each process; where there is that choice."""
        if self.other_way is None or sharded == self.sharded:
            return self
        return replace(self, footprint=self.other_way, other_way=self.footprint, sharded=sharded)


@dataclass(frozen=True, slots=True)
class Estimator:
    """Estimates memory for one model and its rows."""

    folder: Path
    """Of the base model."""

    settings: Settings
    machine: Machine
    method: Method
    fullest: Callable[[Portion, bool], dict[str, Any]]
    """The fullest such portion of the sequences, packed or not, as the collator makes it."""

    process_bytes: float
    """What this process takes before a model is loaded."""

    available: float
    """Bytes that a training may use here, or each process of one, those included."""

    processes: int = 1
    """That train together."""

    def estimate(self, technique: Technique, numbers: Hyperparameters) -> Estimate:
        """The peak with these numbers; gradient checkpointing, when left open, is on only if it does not fit without.

        Several processes have a whole copy of the model each, which is faster, unless that does not fit: then its
        layers are sharded, where this saves memory.

        Raises:
            ModelError: The configuration describes no model that this transformers version knows.
            InputError: No layer has the names in target_modules.
        """
        whole = self._by_checkpointing(technique, numbers, sharded=False)
        if self.processes == 1 or kept_whole(technique, numbers):
            return whole
        parts = self._by_checkpointing(technique, numbers, sharded=True)
        if whole.fits or parts.footprint.total >= whole.footprint.total:
            return replace(whole, other_way=parts.footprint)
        return replace(parts, other_way=whole.footprint)

    def _by_checkpointing(self, technique: Technique, numbers: Hyperparameters, sharded: bool) -> Estimate:
        plain = numbers.model_copy(update={"init_lora_weights": None})  # the weights that it looks at are not here
        base = weightless_base(self.folder, weights_dtype(technique, numbers), technique == "qlora", self.settings)
        shape_of_base = base.config.get_text_config()
        model = trainable(base, technique, plain, self.machine.device, whole=not sharded)
        shape = _shape(model, shape_of_base, technique)
        checkpointing = numbers.gradient_checkpointing

        def found(choice: bool) -> Estimate:
            decided = numbers.model_copy(update={"gradient_checkpointing": choice})
            footprint = self._footprint(model, shape, technique, decided, sharded)
            if sharded:
                footprint = footprint.sharded(self.processes, gathered_bytes(model, self.machine.device))
            return Estimate(technique, decided, shape, footprint, self.available, sharded=sharded)

        if checkpointing is not None:
            return found(checkpointing)
        plainly = found(False)
        return plainly if plainly.fits else found(True)

    def _footprint(
        self, model: nn.Module, shape: Shape, technique: Technique, numbers: Hyperparameters, sharded: bool
    ) -> Footprint:
        objective, device = objective_of(self.method, numbers), self.machine.device
        portion = portion_of(numbers.batch_size or 1, device, objective, sharded)
        inputs = self.fullest(portion, bool(numbers.packing))
        load = Load(technique, numbers, objective, inputs, device, self.process_bytes)
        try:
            return footprint(model, load)
        except UNRUNNABLE as error:
            log.info("memory by formula: %s: %s", type(error).__name__, error)
            return formula(shape, load)


def _shape(model: Any, text: Any, technique: Technique) -> Shape:
    head = model.get_output_embeddings()
    base = [
        m for name, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head and "lora_" not in name
    ]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    return Shape(
        parameters=total if technique == "full" else total - trained,
        linear_parameters=sum(layer.weight.numel() for layer in base),
        trainable=trained,
        adapter=technique != "full",
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        layers=text.num_hidden_layers,
        vocabulary=text.vocab_size,
        family=str(text.model_type),
    )


def formula(shape: Shape, load: Load) -> Footprint:
    """The peak from sizes alone, for a model whose code cannot run without numbers.

    Activations: 16 vectors of the hidden and 8 of the inner size a token and layer, counted in Llama's layer with an
    adapter on each linear one.
    """
    width = 2 if load.numbers.dtype == "bfloat16" else 4
    packed = shape.linear_parameters if load.technique == "qlora" else 0
    tokens = load.inputs["input_ids"].numel()
    trained = int((load.inputs["labels"] >= 0).sum())
    layer = tokens * width * (16 * shape.hidden + 8 * shape.intermediate)
    kept = shape.layers * (tokens * shape.hidden * width if load.numbers.gradient_checkpointing else layer)
    logits = trained * shape.vocabulary * (2 * 4 + 2 * width)  # the logits, their float32 twin, both gradients
    frozen = width * (shape.parameters - packed) + NF4_BYTES * packed
    return Footprint(
        process=load.process_bytes,
        weights=frozen if shape.adapter else 4.0 * shape.parameters,
        adapter=4.0 * shape.trainable if shape.adapter else 0.0,
        gradients=GRADIENT_BYTES * shape.trainable,
        optimizer=ADAM_BYTES * shape.trainable,
        activations=kept + layer + logits,
        basis=BY_FORMULA,
    )


def process_bytes(machine: Machine) -> float:
    """What this process takes before a model is loaded: on a CPU libraries and rows, on a GPU its context."""
    return (
        CUDA_CONTEXT_BYTES if machine.device == "cuda" else float(psutil.Process().memory_info().rss) + FIRST_STEP_BYTES
    )


def available_bytes(machine: Machine, processes: int = 1) -> float:
    """Memory that each of so many processes may use now, what it has already included.

    Every process has a GPU of its own; the host's memory they share. Those that run already are about as large.
    """
    if machine.device == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    taken = distributed.world_size() * psutil.Process().memory_info().rss
    return (min(psutil.virtual_memory().available, _left_in_group(CONTROL_GROUP)) + taken) / processes


def _left_in_group(folder: Path) -> float:
    """What a container may still take; no limit where there is none."""
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return float("inf")
    cache = _inactive_cache(folder)
    return float("inf") if limit == "max" else max(0.0, float(limit) - float(used) + cache)


def _inactive_cache(folder: Path) -> float:
    """Files held in memory that the kernel drops when it needs the room."""
    lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return next((float(value) for name, value in lines if name == "inactive_file"), 0.0)


def with_measured(estimate: Estimate, peak: float | None) -> Estimate:
    """The same, corrected by the peak of a rehearsal."""
    if peak is None:
        return estimate
    return replace(estimate, footprint=estimate.footprint.corrected(peak, BY_REHEARSAL))
