"""Adapters for tests, made by peft itself with random weights, and a merge run in this process."""

import json
import sys
from pathlib import Path
from typing import Any

from faion_finetuner.core.merge.merge import run
from faion_finetuner.core.merge.request import MergeRequest, resolve
from faion_finetuner.core.merge.result import MergeResult, Verification
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings

from ..tiny import tiny_model

LLAMA_CPP = Path(__file__).with_name("llama_cpp")
"""A folder with a stand-in for llama.cpp's converter."""


def make_adapter(
    base: Path, folder: Path, *, seed: int = 1, strength: float = 0.3, added_tokens: tuple[str, ...] = (), **config: Any
) -> Path:
    """A LoRA adapter whose every trained weight is random, as peft saves it; with its tokenizer if tokens are added."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if added_tokens:
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.add_tokens(list(added_tokens))
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        tokenizer.save_pretrained(folder)
    options: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]} | config
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, LoraConfig(**options))
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * strength)
    adapted.save_pretrained(str(folder))
    return folder


def merge(settings: Settings, **arguments: Any) -> MergeResult:
    """Resolve and run a merge here."""
    request = resolve(MergeRequest(**arguments), settings)
    return run(request, active_run(request.output_dir))


def folder_of(result: MergeResult) -> Path:
    assert result.merged_path is not None
    return result.merged_path


def proof_of(result: MergeResult) -> Verification:
    assert result.verification is not None
    return result.verification


def active_run(output_dir: Path) -> ActiveRun:
    folder = RunFolder(path=output_dir.with_name(f"{output_dir.name}.run"))
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_status(RunStatus(status="running", launched_at=now()))
    return ActiveRun(folder, output_dir)


def logits(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.inference_mode():
        return model.eval()(torch.tensor([ids])).logits


def peft_logits(base: Path, adapter: Path, ids: list[int], rows: int | None = None) -> Any:
    """What base + adapter say, asked through peft alone; with `rows` the base's vocabulary is made that long first."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if rows:
        model.resize_token_embeddings(rows, mean_resizing=False)
    return logits(PeftModel.from_pretrained(model, adapter), ids)


def merged_logits(folder: Path, ids: list[int]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), ids)


def peft_merged_weights(base: Path, adapter: Path) -> dict[str, Any]:
    """The weights after peft's own merge_and_unload."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
    return model.merge_and_unload().state_dict()


def saved_weights(folder: Path) -> dict[str, Any]:
    """All tensors in a model folder's weight files."""
    from safetensors.torch import load_file

    weights: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    return weights


def tiny_gpt2(folder: Path, *, prefix: str) -> Path:
    """A GPT-2, whose layers store (in, out), with the tiny model's tokenizer; hub files of it lack the prefix."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import GPT2Config, GPT2LMHeadModel

    tiny_model(folder)
    rows = json.loads((folder / "config.json").read_bytes())["vocab_size"]
    shape: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}
    config = GPT2Config(vocab_size=rows, bos_token_id=1, eos_token_id=2, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    named = {prefix + name.removeprefix("transformer."): tensor for name, tensor in weights.items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def program(path: Path, code: str) -> Path:
    """A stand-in for one of llama.cpp's programs."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{code}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
