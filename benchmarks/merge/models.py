"""Models and adapters of a wanted size with random weights, written in pieces so that making one needs no memory."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from faion_finetuner.core.merge.tensor_file import Entry, TensorFile

VOCABULARY = 32_000
RANK = 16
LINEAR = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
          "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")  # fmt: skip
PART = 1 << 20  # numbers made at a time


def make_model(folder: Path, gigabytes: float) -> Path:
    """A Llama in bfloat16 of about this size, in one file; as wide as models of that size are."""
    hidden = 768 if gigabytes < 0.3 else 1536 if gigabytes < 0.8 else 2048
    embedding = VOCABULARY * hidden
    layers = max(1, round((gigabytes * 1e9 / 2 - embedding) / _layer_numbers(hidden)))
    folder.mkdir(parents=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", "hidden_size": hidden,
        "intermediate_size": 4 * hidden, "num_hidden_layers": layers, "num_attention_heads": hidden // 64,
        "num_key_value_heads": hidden // 64, "vocab_size": VOCABULARY, "tie_word_embeddings": True,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    entries = [Entry(name, "BF16", shape, 2 * _count(shape)) for name, shape in _shapes(hidden, layers)]
    _write(folder / "model.safetensors", entries, torch.bfloat16)
    return folder


def make_adapter(base: Path, folder: Path) -> Path:
    """A LoRA adapter of rank 16 on every linear layer of a model from `make_model`."""
    config = json.loads((base / "config.json").read_bytes())
    folder.mkdir(parents=True)
    adapter = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": RANK, "lora_dropout": 0.0,
        "target_modules": [name.rpartition(".")[2] for name in LINEAR], "bias": "none",
        "base_model_name_or_path": str(base),
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(adapter), encoding="utf-8")
    entries = []
    for name, shape in _shapes(config["hidden_size"], config["num_hidden_layers"]):
        if name.endswith("_proj.weight"):
            outside, inside = shape
            module = f"base_model.model.{name.removesuffix('.weight')}"
            entries.append(Entry(f"{module}.lora_A.weight", "F32", (RANK, inside), 4 * RANK * inside))
            entries.append(Entry(f"{module}.lora_B.weight", "F32", (outside, RANK), 4 * RANK * outside))
    _write(folder / "adapter_model.safetensors", entries, torch.float32)
    return folder


def _shapes(hidden: int, layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (VOCABULARY, hidden)
    for layer in range(layers):
        for name in LINEAR:
            wide_in, wide_out = name.endswith("down_proj"), name.endswith(("gate_proj", "up_proj"))
            shape = (4 * hidden if wide_out else hidden, 4 * hidden if wide_in else hidden)
            yield f"model.layers.{layer}.{name}.weight", shape
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{layer}.{name}.weight", (hidden,)
    yield "model.norm.weight", (hidden,)


def _layer_numbers(hidden: int) -> int:
    return 16 * hidden * hidden


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _write(path: Path, entries: list[Entry], dtype: torch.dtype) -> None:
    """Random numbers of the size of real weights; the same ones over and over, since making them takes the time."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(PART, generator=generator).mul_(0.02).to(dtype)
    with TensorFile(path, entries) as file:
        for entry in entries:
            row = max(1, _count(entry.shape[1:]))
            step = max(1, PART // row)
            for first in range(0, entry.shape[0], step):
                rows = min(step, entry.shape[0] - first)
                file.write(entry.name, first, numbers[: rows * row].reshape(rows, *entry.shape[1:]))
