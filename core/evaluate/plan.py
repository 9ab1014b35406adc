"""What an evaluation would cost, before it is started."""

import math
import time
from pathlib import Path

from .. import extras
from ..models.machine import Machine, multiplies_float32_well
from ..models.packed import MOST_BYTES
from ..models.source import read_config
from .benchmarks.harness import Benchmarks
from .local import windows
from .local.float32 import KEPT
from .local.predictor import MOST_LOGITS
from .local.subject import LocalSubject
from .probes import questions
from .request import EvaluateRequest
from .result import Plan

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
OVERHEAD = 2.0  # attention, norms and Python beside the large matrix products; seen on SmolLM2-135M on two cores
DECODE_PENALTY = 4.0  # one token at a time uses the arithmetic that much worse
PROBE_TOKENS = 45  # a built-in question and its answer under a chat template


def expect(local: LocalSubject, request: EvaluateRequest, machine: Machine, benchmarks: Benchmarks | None) -> Plan:
    """Tokens, memory and a rough time for both models; benchmarks cost extra and leave the time unknown."""
    subject = local.subject
    models = 1 if request.finetuned_path is None else 2
    config = read_config(local.base_path)
    size = windows.size(config.get("max_position_embeddings"))
    items = enumerate((*local.tokenized, *local.training))
    read = [len(piece.ids) for number, item in items for piece in windows.pieces_of(number, item, size)]
    prompts = local.tokenizer.count_many([subject.prompts[i] for i in subject.asked])
    scored = sum(read) + questions.count() * PROBE_TOKENS
    generated = len(subject.asked) * subject.max_new_tokens
    parameters = _parameters(local.base_path)
    work = OVERHEAD * 2 * parameters * (scored + sum(prompts) + DECODE_PENALTY * generated)
    seconds = work / _arithmetic_per_second(machine) + _attention_seconds(config, [*read, *prompts], machine)
    return Plan(
        rows=len(subject.examples),
        scored_tokens=models * scored,
        generated_tokens=models * generated,
        memory_bytes=parameters * BYTES[machine.dtype] + 4 * MOST_LOGITS + _copies(parameters, machine),
        seconds=None if benchmarks else round(models * seconds, 1),
    )


def _attention_seconds(config: dict[str, object], lengths: list[int], machine: Machine) -> float:
    """What grows with the square of a text's length: each token looks at all before it, in every layer.

    Timed for itself, since a processor does it three to six times as slowly as other products.
    """
    layers, width = config.get("num_hidden_layers"), config.get("hidden_size")
    each = layers * width if isinstance(layers, int) and isinstance(width, int) else 0
    return each * sum(length**2 for length in lengths) * _seconds_for_a_pair(machine)


def _seconds_for_a_pair(machine: Machine) -> float:
    """Of attention: for one number of the width of two tokens, timed here for a moment."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention as attend

    heads, tokens, size = 4, 1024, 64
    states = torch.ones(1, heads, tokens, size, dtype=getattr(torch, machine.dtype), device=machine.device)
    attend(states, states, states, is_causal=True).sum().item()  # warm up
    began = time.perf_counter()
    attend(states, states, states, is_causal=True).sum().item()  # waits for the device
    return (time.perf_counter() - began) / (tokens**2 * heads * size)


def _copies(parameters: int, machine: Machine) -> int:
    """Bytes of second copies of weights: widened for likelihoods, later packed for answers."""
    if machine.device != "cpu" or machine.dtype == "float32":
        return 0
    return 4 * min(parameters, KEPT) if multiplies_float32_well() else min(2 * parameters, MOST_BYTES)


def _parameters(folder: Path) -> int:
    safetensors = extras.require("safetensors", "Reading a model's size")
    total = 0
    for path in folder.glob("*.safetensors"):
        with safetensors.safe_open(path, framework="numpy") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.offset_keys())
    return total


def _arithmetic_per_second(machine: Machine) -> float:
    """Multiplications and additions per second of a matrix product, timed here for a moment."""
    import torch

    dtype = getattr(torch, machine.dtype)
    left = torch.ones(256, 1024, dtype=dtype, device=machine.device)
    right = torch.ones(1024, 1024, dtype=dtype, device=machine.device)
    (left @ right).sum().item()  # warm up
    began, rounds = time.perf_counter(), 20
    total = sum((left @ right)[0, 0] for _ in range(rounds))
    float(total)  # waits for the device
    return rounds * 2 * left.numel() * right.shape[1] / (time.perf_counter() - began)
