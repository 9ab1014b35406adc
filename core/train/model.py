"""The model that is trained: base, technique, adapter; and the result written out."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import PreTrainedModel

from .. import files
from ..errors import InputError, TrainingError
from ..examples.chat import ChatTokenizer
from ..models.load import load_base
from ..models.machine import Machine
from ..models.source import read_config
from ..settings import Settings
from . import distributed
from .hyperparameters import ALL_LINEAR, Hyperparameters, Technique
from .kernels.decoder import install

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
SHORT_SEQUENCE = 512  # up to here plain attention is 15% faster in training on a CPU than the fused kernel's backward


# 16 iterations of a randomised decomposition, where a whole one of an 8B model takes hours; the paper's choice too
PISSA = "pissa_niter_16"  # arXiv 2404.02948
INITIAL = "adapter_at_the_beginning"


def lora_config(numbers: Hyperparameters) -> LoraConfig:
    """The adapter's shape; without bias, never on the output layer."""
    modules = numbers.target_modules
    return LoraConfig(
        r=numbers.rank or 16,
        lora_alpha=numbers.alpha or 16,  # pyright: ignore[reportArgumentType] - peft takes fractions too
        lora_dropout=numbers.dropout or 0.0,
        target_modules=ALL_LINEAR if modules == ALL_LINEAR else list(modules or ()),
        use_rslora=bool(numbers.use_rslora),
        use_dora=bool(numbers.use_dora),
        init_lora_weights=PISSA if numbers.init_lora_weights == "pissa" else True,  # pyright: ignore[reportArgumentType]
        task_type="CAUSAL_LM",
    )


def with_adapter(base: PreTrainedModel, numbers: Hyperparameters) -> PeftModel:
    """The base with a fresh adapter that changes nothing yet.

    With PiSSA the adapter holds the principal part of the weights, and the base loses it; both together are the base.

    Raises:
        InputError: No layer has a name in target_modules.
    """
    _refuse_unknown_modules(base, numbers)
    config = lora_config(numbers)
    if base.device.type == "meta":
        config.init_lora_weights = True  # there are no numbers to decompose
    model: Any = get_peft_model(base, config)
    if numbers.init_lora_weights == "pissa":
        setattr(model, INITIAL, {name: weight.clone() for name, weight in get_peft_model_state_dict(model).items()})
    return model


def _refuse_unknown_modules(base: PreTrainedModel, numbers: Hyperparameters) -> None:
    """peft passes over a name that no layer has as long as another one has a layer."""
    modules = numbers.target_modules
    if modules is None or modules == ALL_LINEAR:
        return
    names = [name for name, _ in base.named_modules()]
    unknown = [module for module in modules if not any(f".{name}".endswith(f".{module}") for name in names)]
    if modules and not unknown:
        return
    linear = sorted({name.rpartition(".")[2] for name, m in base.named_modules() if isinstance(m, torch.nn.Linear)})
    raise InputError(
        f"target_modules {', '.join(unknown) or '[]'} name no layers of this model.",
        f"Use all-linear, or some of: {', '.join(name for name in linear if name != 'lm_head')}.",
    )


def build(
    path: Path, technique: Technique, numbers: Hyperparameters, settings: Settings, shards: int = 1
) -> PreTrainedModel | PeftModel:
    """The model with its trainable weights; with shards, this process's part of the base.

    Full fine-tuning keeps its weights in float32, since small updates vanish in bfloat16; the arithmetic is the same.
    """
    dtype, nf4 = weights_dtype(technique, numbers), technique == "qlora"
    base = load_base(path, dtype=dtype, nf4=nf4, shards=shards, settings=settings)
    if shards > 1 and technique != "full":
        base._tp_size = None  # peft takes a size of 1 for tensor parallelism: to save an adapter it gathers the base
    return trainable(base, technique, numbers, base.device.type, whole=shards == 1)


def weights_dtype(technique: Technique, numbers: Hyperparameters) -> str | None:
    """The number format that the base's weights are kept in."""
    return "float32" if technique == "full" else numbers.dtype


def trainable(
    base: PreTrainedModel, technique: Technique, numbers: Hyperparameters, device: str, whole: bool = True
) -> PreTrainedModel | PeftModel:
    """A loaded base made ready for training on this kind of device; the base itself may hold no numbers yet.

    A sharded one (not `whole`) computes by its own code: that is what puts the parts of a layer together.
    """
    _keep_differentiable(base)
    if device == "cpu" and whole:
        install(base)
    if device == "cpu" and (numbers.max_seq_length or 0) <= SHORT_SEQUENCE:
        base.set_attn_implementation("eager")
    base.config.use_cache = False
    return base if technique == "full" else with_adapter(base, numbers)


def _keep_differentiable(base: PreTrainedModel) -> None:
    """Keep 4-bit layers in the layout that has a gradient.

    On processors with AVX512-BF16, bitsandbytes 0.50 repacks them at the first evaluation for a kernel that gradients
    do not pass through, also in the training that goes on afterwards.
    """
    for module in base.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010 - not a tensor, as the stubs would have it


@dataclass(frozen=True, slots=True)
class Base:
    """A base model: what it is called, and where it lies."""

    name: str
    folder: Path


def trained_parameters(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The weights that training may change."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def save_result(model: Any, folder: Path, base: Base, tokenizer: ChatTokenizer) -> None:
    """Write adapter or model with the base's tokenizer files and the chat template that was trained; whole or absent.

    Of several processes the first one writes; the others give it their parts of a model that is sharded and trained.

    Raises:
        TrainingError: A weight is not a finite number; nothing is written.
    """
    if not all(bool(torch.isfinite(parameter).all()) for parameter in trained_parameters(model)):
        raise TrainingError("The trained weights hold NaN or infinity.", "Lower the learning rate and train again.")
    if distributed.rank() > 0:
        if is_sharded(model) and not isinstance(model, PeftModel):
            _give_part(model, base.folder)
        return
    with files.atomic_folder(folder) as fresh:
        if isinstance(model, PeftModel):
            # only now: as long as the name is a folder, peft looks there for the vocabulary, and not on the hub
            model.peft_config["default"].base_model_name_or_path = base.name
            _save_adapter(model, fresh)
            (fresh / "README.md").unlink(missing_ok=True)  # an empty form
        else:
            _save_full(model, fresh, base.folder)
        copy_tokenizer(base.folder, fresh, tokenizer)
        for file in fresh.iterdir():
            file.chmod(0o644)  # safetensors makes its files private


def _save_adapter(model: PeftModel, folder: Path) -> None:
    """Save it so that it fits the base as it was before training.

    With PiSSA that is the difference to the adapter at the beginning: a plain LoRA of twice the rank.
    """
    initial: dict[str, torch.Tensor] | None = getattr(model, INITIAL, None)
    if initial is None:
        model.save_pretrained(str(folder), save_embedding_layers=False)
        return
    with tempfile.TemporaryDirectory() as scratch:
        before = Path(scratch) / "initial"
        before.mkdir()
        save_file(initial, before / "adapter_model.safetensors")
        model.save_pretrained(
            str(folder), save_embedding_layers=False, path_initial_model_for_weight_conversion=str(before)
        )


def is_sharded(model: Any) -> bool:
    """Whether each process holds a part of every layer."""
    return bool(getattr(model, "is_distributed_loading_by_transformers", False))


def _give_part(model: PreTrainedModel, base: Path) -> None:
    with tempfile.TemporaryDirectory() as unused:
        _save_full(model, Path(unused), base)


def _save_full(model: PreTrainedModel, folder: Path, base: Path) -> None:
    config = read_config(base)
    model.to(getattr(torch, str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")))
    model.config.use_cache = True
    model.save_pretrained(folder, is_main_process=distributed.rank() == 0)
    if (base / "generation_config.json").is_file():
        shutil.copyfile(base / "generation_config.json", folder / "generation_config.json")


def copy_tokenizer(base: Path, folder: Path, tokenizer: ChatTokenizer) -> None:
    """The base's tokenizer files, byte for byte, and a chat template in any case."""
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    if tokenizer.template_is_default:
        files.write_text(folder / "chat_template.jinja", tokenizer.template)


def probe(model: Any, ids: list[int]) -> torch.Tensor:
    """The logits after these tokens, in float32; two of them show whether training changed anything."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1].float().cpu()
    model.train(was_training)
    return logits


def autocast_dtype(machine: Machine, numbers: Hyperparameters) -> bool:
    """Whether the arithmetic is bfloat16."""
    return (numbers.dtype or machine.dtype) == "bfloat16"
