"""What a training would take, found without loading weights where that is possible."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ..checks import Check
from ..errors import ModelError
from ..models.machine import Machine
from ..settings import Settings
from .hyperparameters import Technique
from .model import SHORT_SEQUENCE, with_adapter
from .recipe import Recipe
from .result import Plan
from .rows import Rows

LIBRARIES_BYTES = 1.0e9  # torch, transformers, trl and peft, imported; measured
CUDA_CONTEXT_BYTES = 0.6e9
NF4_BYTES = 0.516  # 4 bits, an 8-bit scale for 64 weights and a 32-bit one for 256 of these
ADAM_BYTES = 8  # two float32 moments
SURELY_TOO_MUCH = 1.3  # times the available memory; the formula is not off by more
MARGIN = 0.85  # share of the memory that may be planned with
EFFICIENCY = 0.35  # of the speed of a lone matrix product that a training step reaches


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
    heads: int
    vocabulary: int


def measure_shape(path: Path, technique: Technique, recipe: Recipe, settings: Settings) -> Shape:
    """The model's sizes, from its configuration alone.

    Raises:
        ModelError: The configuration describes no model that this transformers version knows.
        InputError: No layer has the names in target_modules.
    """
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=settings.trust_remote_code)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=settings.trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The model in '{path}' is of a kind that the installed transformers does not know.",
            "Upgrade transformers, or use another model.",
        ) from error
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    total = _count(model)
    linear_total = sum(layer.weight.numel() for layer in linear)
    trainable = total if technique == "full" else _count(with_adapter(model, recipe.numbers), trainable=True)
    text = config.get_text_config()
    return Shape(
        parameters=total,
        linear_parameters=linear_total,
        trainable=trainable,
        adapter=technique != "full",
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        layers=text.num_hidden_layers,
        heads=text.num_attention_heads,
        vocabulary=text.vocab_size,
    )


def _count(model: torch.nn.Module, trainable: bool = False) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be trained, with what, where."""

    technique: Technique
    shape: Shape
    recipe: Recipe
    rows: Rows
    machine: Machine


def memory_bytes(setup: Setup) -> float:
    """The peak of a training by formula: weights, gradients, moments, activations of the longest batch, logits."""
    shape, recipe, rows = setup.shape, setup.recipe, setup.rows
    width = 2 if recipe.numbers.dtype == "bfloat16" else 4
    weights = {
        "full": 4.0 * shape.parameters,
        "lora": width * shape.parameters + 4.0 * shape.trainable,
        "qlora": NF4_BYTES * shape.linear_parameters
        + width * (shape.parameters - shape.linear_parameters)
        + 2.0 * shape.trainable,
    }[setup.technique]
    state = (4 + ADAM_BYTES) * shape.trainable
    longest = max(len(row.input_ids) for row in rows.train)
    tokens = recipe.batch_size * (rows.max_seq_length if recipe.numbers.packing else longest)
    share = rows.trained_tokens / rows.total_tokens
    logits = tokens * share * shape.vocabulary * (2 * 4 + 2 * width)  # the logits, their float32 twin, both gradients
    base = LIBRARIES_BYTES if setup.machine.device == "cpu" else CUDA_CONTEXT_BYTES
    return base + weights + state + _activation_bytes(shape, recipe, tokens, longest, width) + logits


def _activation_bytes(shape: Shape, recipe: Recipe, tokens: int, longest: int, width: int) -> float:
    """What the backward pass needs of the forward pass: per token and layer about 16 hidden and 8 inner vectors."""
    layer = tokens * width * (16 * shape.hidden + 8 * shape.intermediate)
    if longest <= SHORT_SEQUENCE:  # plain attention keeps its square matrices: scores, softmax, and their cast
        layer += tokens * longest * shape.heads * (2 * width + 4)
    if recipe.numbers.gradient_checkpointing:
        return layer + shape.layers * tokens * shape.hidden * width
    return shape.layers * layer


def available_bytes(machine: Machine) -> float:
    """Memory that a training may use now."""
    if machine.device == "cuda":
        return float(torch.cuda.mem_get_info(0)[0])
    return float(psutil.virtual_memory().available + psutil.Process().memory_info().rss)


def memory_check(setup: Setup) -> Check:
    """Whether the planned peak fits."""
    needed, free = memory_bytes(setup), available_bytes(setup.machine)
    details = f"About {needed / 1e9:.1f} GB are needed (by formula), {free / 1e9:.1f} GB are available."
    fits = needed <= MARGIN * free
    return Check(
        name="Memory",
        status="pass" if fits else "warn" if needed <= SURELY_TOO_MUCH * free else "fail",
        details=details,
        next_step=None if fits else "Use a smaller batch_size (and larger gradient_accumulation), or technique qlora.",
    )


def plan(setup: Setup, folder: Path, time_needed: "Estimate") -> Plan:
    """The estimates side by side; `folder` is where the result would go."""
    shape, recipe, rows = setup.shape, setup.recipe, setup.rows
    saved = shape.trainable * (4 + ADAM_BYTES)
    kept = min((recipe.numbers.save_total_limit or 1) + 1, -(-recipe.steps // recipe.save_steps))
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    return Plan(
        total_parameters=shape.parameters,
        trainable_parameters=shape.trainable,
        train_rows=len(rows.train),
        valid_rows=len(rows.valid),
        steps=recipe.steps,
        time_s=round(time_needed.seconds, 1),
        time_basis=time_needed.basis,
        memory_gb=round(memory_bytes(setup) / 1e9, 2),
        memory_available_gb=round(available_bytes(setup.machine) / 1e9, 2),
        disk_gb=round((kept * saved + shape.trainable * (4 if shape.adapter else 2)) / 1e9, 3),
        disk_available_gb=round(shutil.disk_usage(parent).free / 1e9, 1),
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A time and where it comes from."""

    seconds: float
    basis: str


def tokens_to_compute(recipe: Recipe, rows: Rows) -> float:
    """Tokens of a whole run as if all were trained: an evaluation is forward only, a third of the work."""
    evaluations = 1 + -(-recipe.steps // recipe.save_steps)
    valid = sum(len(row.input_ids) for row in rows.valid)
    return rows.total_tokens * recipe.steps / recipe.steps_per_epoch + valid * evaluations / 3


def time_by_step(step: Callable[[], int], setup: Setup) -> Estimate:
    """From one measured batch, forward and backward; `step` does one and returns its tokens."""
    step()  # the first one pays for allocations
    began = time.perf_counter()
    tokens = step()
    speed = tokens / (time.perf_counter() - began)
    seconds = tokens_to_compute(setup.recipe, setup.rows) / speed
    return Estimate(seconds, f"measured: one batch forward and backward, {speed:,.0f} tokens/s")


def time_by_formula(setup: Setup) -> Estimate:
    """From floating-point operations: 4 a weight and token when the base is frozen, else 6, 2 more when recomputing."""
    shape, recipe, rows = setup.shape, setup.recipe, setup.rows
    speed = _matrix_speed(setup.machine, recipe)
    work = (4 if shape.adapter else 6) + (2 if recipe.numbers.gradient_checkpointing else 0)
    seconds = tokens_to_compute(recipe, rows) * work * shape.parameters / (speed * EFFICIENCY)
    basis = f"formula: {work} operations a weight and token at {EFFICIENCY:.0%} of {speed / 1e12:.1f} TFLOP/s, measured"
    return Estimate(seconds, basis)


def _matrix_speed(machine: Machine, recipe: Recipe) -> float:
    size = 1024
    dtype = getattr(torch, recipe.numbers.dtype or machine.dtype)
    matrix: Any = torch.randn(size, size, device=machine.device).to(dtype)
    best = float("inf")
    for _ in range(4):
        began = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
