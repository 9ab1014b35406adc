"""The built-in model: from the GGUF file in a package to a plain folder of 16-bit safetensors, once."""

from pathlib import Path
from typing import Any

from filelock import FileLock

from .. import extras, files
from .gguf.tokenizer import write_tokenizer
from .source import Builtin, gguf_path

LOCK_TIMEOUT_S = 600.0
NOT_CONFIGURATION = ("quantization_config", "_name_or_path", "_model_name_or_path", "dtype", "model_type")


def convert(builtin: Builtin, folder: Path) -> None:
    """Unpack the weights into `folder`; of two workers that want this at once, one does it and the other waits.

    The model read from GGUF refuses to be saved, so its weights move into a plain one.

    Raises:
        ModelError: The package with the weights is not installed.
        MissingExtraError: torch, transformers or gguf is not installed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock"), timeout=LOCK_TIMEOUT_S):
        if (folder / "config.json").is_file():
            return
        source = gguf_path(builtin)
        with files.atomic_folder(folder) as fresh:
            _plain_model(source, builtin).save_pretrained(fresh)
            tokenizer = extras.require("transformers", "The built-in model").AutoTokenizer.from_pretrained(
                source.parent, gguf_file=source.name
            )
            tokenizer.model_max_length = builtin.context_length
            tokenizer.save_pretrained(fresh)
            for file in fresh.iterdir():
                file.chmod(0o644)  # safetensors makes its files private; a cache is for everyone who may enter it


def unpack_tokenizer(builtin: Builtin, folder: Path) -> None:
    """Write the tokenizer alone into `folder`, which needs neither torch nor transformers.

    Raises:
        ModelError: The package with the weights is not installed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock"), timeout=LOCK_TIMEOUT_S):
        if not (folder / "tokenizer.json").is_file():
            with files.atomic_folder(folder) as fresh:
                write_tokenizer(gguf_path(builtin), fresh, builtin.context_length)


def _plain_model(source: Path, builtin: Builtin) -> Any:
    torch = extras.require("torch", "The built-in model")
    extras.require("gguf", "The built-in model")
    from transformers import AutoModelForCausalLM, GgufConfig

    packed = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    kept: dict[str, Any] = {
        key: value for key, value in packed.config.to_dict().items() if key not in NOT_CONFIGURATION
    }
    kept["max_position_embeddings"] = builtin.context_length
    config = type(packed.config)(**kept)
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    plain.load_state_dict(packed.state_dict())
    plain.tie_weights()
    plain.generation_config = packed.generation_config
    return plain
