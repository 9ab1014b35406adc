"""The K-quants know which weights matter, also where none of llama.cpp's programs is."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faion_finetuner.core.checks import Check
from faion_finetuner.core.merge import importance, quantizers
from faion_finetuner.core.models.gguf import imatrix
from faion_finetuner.core.settings import Settings

from ..tiny import write_tiny_rows
from .support import active_run, merge, program


@pytest.fixture
def base(base: Path) -> Path:
    """A tiny model some of whose columns get far larger inputs than others, as those of trained models do."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(base / "model.safetensors")
    for name in weights:
        if "layernorm" in name:
            weights[name] = torch.logspace(-1.5, 1.5, len(weights[name]))
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    return base


def export(settings: Settings, base: Path, rows: Path, name: str) -> tuple[Path, Check]:
    """The q4_k_m file, and what is said of its importance matrix."""
    arguments: dict[str, Any] = {"model_name": str(base), "data_path": rows, "gguf": ("q4_k_m",), "verify": False}
    result = merge(settings, output_dir=settings.roots[0] / name, **arguments)
    return result.exports[0].path, next(check for check in result.checks if check.name == "importance_matrix")


def inputs_of_layers(base: Path, rows: Path) -> dict[str, np.ndarray]:
    """The mean square of what comes into q_proj and gate_proj of each layer, by the file's names for them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    records = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    texts = "\n".join(tokenizer.apply_chat_template(record["messages"], tokenize=False) for record in records)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    seen: dict[str, np.ndarray] = {}
    for number, layer in enumerate(model.model.layers):
        for name, module in (("attn_q", layer.self_attn.q_proj), ("ffn_gate", layer.mlp.gate_proj)):
            key = f"blk.{number}.{name}.weight"
            module.register_forward_hook(
                lambda _, given, out, key=key: seen.update({key: given[0][0].square().mean(0).numpy()})
            )
    with torch.inference_mode():
        model(torch.tensor([tokenizer(texts)["input_ids"][:512]]))
    return seen


def error(file: Path, original: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> float:
    """The mean squared error that the rounded weights make in what their layers give."""
    import gguf

    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    rounded = {n: gguf.quants.dequantize(tensors[n].data, tensors[n].tensor_type) for n in inputs}
    return sum(float(((rounded[n] - original[n]) ** 2 * inputs[n]).sum()) for n in inputs)


def test_the_weights_that_matter_are_rounded_less(settings, base, monkeypatch):
    import gguf

    rows = write_tiny_rows(settings.roots[0] / "rows.jsonl", 120)
    weighed, told = export(settings, base, rows, "weighed")
    monkeypatch.setattr(quantizers, "find_spec", lambda _: None)
    plain, not_told = export(settings, base, rows, "plain")
    assert told.details.startswith("The K-quants keep those weights finer that matter most for ")
    assert told.details.endswith(" tokens of training rows.")
    assert "have no layer" not in told.details
    assert "the package xllamacpp, or llama-quantize on the PATH, does" in not_told.details
    merge(settings, model_name=str(base), output_dir=settings.roots[0] / "f16", gguf=("f16",), verify=False)
    source = gguf.GGUFReader(settings.roots[0] / "f16" / "model-f16.gguf")
    original = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in source.tensors}
    inputs = inputs_of_layers(base, rows)
    assert error(weighed, original, inputs) < 0.8 * error(plain, original, inputs)
    assert weighed.stat().st_size == plain.stat().st_size


def test_the_matrix_is_what_comes_into_the_layers(settings, base, monkeypatch):
    kept: dict[str, np.ndarray] = {}
    write = imatrix.write

    def keep(file: Path, inputs: dict[str, np.ndarray], *told: Any) -> None:
        write(file, inputs, *told)
        kept.update(imatrix.read(file))

    monkeypatch.setattr(imatrix, "write", keep)
    rows = write_tiny_rows(settings.roots[0] / "rows.jsonl", 120)
    export(settings, base, rows, "out")
    assert len(kept) == 14  # seven matrices in each of two layers
    for name, means in inputs_of_layers(base, rows).items():
        assert np.corrcoef(kept[name], means)[0, 1] > 0.99  # other rows of the same kind


def test_columns_in_another_order_get_no_weights(settings, base):
    from safetensors.torch import load_file

    merge(settings, model_name=str(base), output_dir=settings.roots[0] / "out", gguf=("f16",), verify=False)
    file = settings.roots[0] / "out" / "model-f16.gguf"
    weights = load_file(base / "model.safetensors")
    module = "model.layers.0.mlp.down_proj"
    norms = weights[f"{module}.weight"].norm(dim=0).numpy()
    assert imatrix.tensors_of(file, {module: norms}) == {module: "blk.0.ffn_down.weight"}
    assert imatrix.tensors_of(file, {module: np.sort(norms)}) == {}


def test_a_layer_that_nothing_comes_into_stays_without(settings, base, monkeypatch):
    """As an expert that no token of the text was sent to."""
    load = importance.load_base

    def load_unused(*given: Any, **options: Any) -> Any:
        model: Any = load(*given, **options)
        model.model.layers[1].mlp.forward = lambda hidden: hidden  # past its three matrices
        return model

    monkeypatch.setattr(importance, "load_base", load_unused)
    file, told = export(settings, base, write_tiny_rows(settings.roots[0] / "rows.jsonl", 120), "out")
    assert file.is_file()
    assert "The K-quants keep those weights finer" in told.details
    assert "3 matrices of the file have no layer of their own here, or one that nothing came into" in told.details


def test_a_wheel_that_cannot_quantise_is_told_and_costs_nothing_else(settings, base, tmp_path, monkeypatch):
    rows = write_tiny_rows(settings.roots[0] / "rows.jsonl", 120)
    broken = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]
    monkeypatch.setattr(quantizers, "_requantise", lambda *_: broken)
    file, told = export(settings, base, rows, "out")
    assert file.is_file()
    assert "without an importance matrix: xllamacpp cannot use one here: it crashed with SIGSEGV" in told.details


def test_llama_imatrix_comes_first(settings, base, tmp_path, monkeypatch):
    """A stand-in for it copies a matrix that was made before; llama-quantize's stand-in tells what it was given."""
    made, seen = tmp_path / "made.gguf", tmp_path / "seen.txt"
    imatrix.write(made, {"blk.0.attn_q.weight": np.ones(64)}, "test", 1, 512)
    copy = f"import shutil, sys; shutil.copy({str(made)!r}, sys.argv[sys.argv.index('-o') + 1])"
    quantise = f"import shutil, sys; open({str(seen)!r}, 'w').write(' '.join(sys.argv)); shutil.copy(*sys.argv[3:5])"
    program(tmp_path / "bin" / "llama-imatrix", copy)
    monkeypatch.setenv("PATH", str(program(tmp_path / "bin" / "llama-quantize", quantise).parent))
    _, told = export(settings, base, write_tiny_rows(settings.roots[0] / "rows.jsonl", 120), "out")
    assert "--imatrix" in seen.read_text(encoding="utf-8")
    assert "tokens of training rows" in told.details


def test_the_probe_of_the_wheel_passes_here(settings):
    assert quantizers.CyllamaQuantizer().no_importance(active_run(settings.roots[0] / "out")) is None
