"""What a merge is asked to do, and the checks that need no model in memory."""

import json
import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import Field

from .. import paths
from ..errors import InputError, MissingExtraError
from ..models.source import HUB_ID, HUB_TOKEN, hub_environment, resolve_model
from ..problems import Problems
from ..runs.request import RunRequest
from ..settings import Settings
from ..untrusted import quote

Strategy = Literal[
    "lora", "linear", "svd", "task_arithmetic", "ties", "dare_linear", "dare_ties", "slerp",
    "breadcrumbs", "breadcrumbs_ties", "della", "della_linear", "karcher", "model_stock", "nuslerp", "sce",
]  # fmt: skip
QuantizedBase = Literal["auto", "original", "dequantized"]
Quantization = Literal["f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m"]
DtypeName = Literal["auto", "float32", "float16", "bfloat16"]

BY_MERGEKIT: tuple[Strategy, ...] = (
    *("breadcrumbs", "breadcrumbs_ties", "della", "della_linear", "karcher", "model_stock", "nuslerp", "sce"),
)
"""Strategies that the package mergekit brings."""

ARCS = ("slerp", "nuslerp")
OWN_SHARES = ("karcher", "model_stock", "sce")
"""Strategies that find the shares themselves."""

UNMERGEABLE = frozenset(("PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT"))
MERGED = "merged"
MODELFILE = "Modelfile"
CARD = "README.md"


class MergeRequest(RunRequest):
    """What to merge and to export."""

    model_name: str
    """Base model: folder, built-in name or hub id. Without adapter_path: a whole model to export."""

    adapter_path: Path | tuple[Path, ...] | None = None
    """Adapter folder or train's output_dir; several, or models of the same base, by other strategies."""

    strategy: Strategy = "lora"
    """lora: one adapter; the others combine several."""

    weights: tuple[float, ...] | None = None
    """Their factors. Default: 1 for task_arithmetic and TIES, else equal shares."""

    density: float = Field(default=0.5, gt=0, le=1)
    """Share of each change that pruning strategies keep."""

    quantized_base: QuantizedBase = "auto"
    """What a QLoRA adapter goes into; auto: the better on held-out rows."""

    data_path: Path | None = None
    """Held-out rows to compare on. Default: the training's."""

    dtype: DtypeName = "auto"
    """Format of the merged weights; auto: the base's."""

    gguf: tuple[Quantization, ...] = ()
    """GGUF files to make."""

    modelfile: bool = True
    """Write an Ollama Modelfile for the smallest GGUF."""

    verify: bool = True
    """Reload the result and compare it with base + adapter."""

    max_shard_gb: float = Field(default=5, gt=0, le=100)
    """Largest weight file in GB."""

    upload_to: str | None = None
    """Private hub repo for the result; dry_run shows what would go."""

    @property
    def adapter_paths(self) -> tuple[Path, ...]:
        """The adapters, however they were given."""
        if self.adapter_path is None:
            return ()
        return (self.adapter_path,) if isinstance(self.adapter_path, Path) else self.adapter_path


def resolve(request: MergeRequest, settings: Settings) -> MergeRequest:
    """The request with absolute paths, every contradiction in it told at once.

    Raises:
        InputError: Something in it cannot be; PathError and ModelError where it is only that.
    """
    problems = Problems()
    name = request.model_name
    model_name = problems.attempt(lambda: str(resolve_model(name, settings).path or name))
    output_dir = problems.attempt(lambda: paths.confine(request.output_dir, settings))
    find = _adapter_folder if request.strategy == "lora" else _adapter_or_model
    adapters = [problems.attempt(partial(find, given, settings)) for given in request.adapter_paths]
    rows = request.data_path
    data_path = problems.attempt(lambda: paths.existing(rows, settings, "data_path")) if rows else None
    problems += [*_contradictions(request), *_strategy_problems(request), *_upload_problems(request)]
    problems.raise_any()
    return request.model_copy(
        update={
            "model_name": model_name,
            "output_dir": output_dir,
            "adapter_path": tuple(adapters) or None,
            "data_path": data_path,
            "gguf": tuple(dict.fromkeys(request.gguf)),
        }
    )


def _adapter_or_model(given: Path, settings: Settings) -> Path:
    """The folder that a path means: a whole model's where it is one, else an adapter's."""
    folder = paths.existing(given, settings, "adapter_path")
    models = (candidate for candidate in (folder, folder / "model") if (candidate / "config.json").is_file())
    return next(models, None) or _adapter_folder(given, settings)


def _adapter_folder(given: Path, settings: Settings) -> Path:
    """The folder with adapter_config.json that a path means: itself, or `adapter` in a train run's output folder."""
    folder = paths.existing(given, settings, "adapter_path")
    for candidate in (folder, folder / "adapter"):
        if (candidate / "adapter_config.json").is_file():
            _refuse_unmergeable(candidate)
            return candidate
    for whole in (folder, folder / "model"):
        if (whole / "config.json").is_file():
            raise InputError(
                f"'{given}' is a whole model, not an adapter: there is nothing to merge.",
                f"To export it, pass model_name '{whole}' without adapter_path and name the gguf files you want.",
            )
    raise InputError(
        f"'{given}' holds no adapter_config.json.", "Give the folder `adapter` that train wrote, or a checkpoint."
    )


def _refuse_unmergeable(folder: Path) -> None:
    try:
        kind = json.loads((folder / "adapter_config.json").read_bytes())["peft_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{folder / 'adapter_config.json'}' does not say what kind of adapter it is.",
            "Save the adapter again with peft's save_pretrained.",
        ) from error
    if str(kind) in UNMERGEABLE:
        raise InputError(
            f"A {kind} adapter lives in the prompt, not in the weights: it cannot be merged.",
            "Serve it with peft beside its base, or train a lora adapter.",
        )


def _contradictions(request: MergeRequest) -> Problems:
    adapters, problems = len(request.adapter_paths), Problems()
    if adapters > 1 and request.strategy == "lora":
        problems.add(f"strategy lora takes one adapter, not {adapters}.", "Use strategy linear to add several up.")
    if request.weights is not None and request.strategy == "lora":
        problems.add("weights belong to a strategy for several.", "Pass strategy linear, or leave weights out.")
    if request.weights is not None and len(request.weights) != adapters:
        problems.add(
            f"{len(request.weights)} weights for {adapters} adapters.", "Give one weight for each adapter_path."
        )
    if request.strategy != "lora" and adapters == 0:
        problems.add(f"strategy {request.strategy} needs adapter_path.", "Name the adapters or models to combine.")
    if adapters == 0 and not request.gguf and not request.upload_to:
        problems.add(
            "Nothing to do: no adapter_path to merge and no gguf to export.", "Pass adapter_path, gguf, or both."
        )
    return problems


def _strategy_problems(request: MergeRequest) -> Problems:
    """What one strategy asks for and another does not."""
    strategy, weights, adapters, problems = request.strategy, request.weights, len(request.adapter_paths), Problems()
    if strategy in ARCS and adapters != 2:
        problems.add(
            f"strategy {strategy} goes from one to another: two of them, not {adapters}.", "Use linear or ties."
        )
    if strategy in ARCS and weights is not None and min((*weights, sum(weights))) <= 0:
        problems.add(f"{strategy}'s weights must be above zero.", "Give the shares of the two, e.g. [0.3, 0.7].")
    if strategy == "model_stock" and adapters < 2:
        problems.add("strategy model_stock compares the changes of several, not of one.", "Name two or more.")
    if strategy in OWN_SHARES and weights is not None:
        problems.add(f"strategy {strategy} finds the shares itself.", "Leave weights out.")
    if strategy in BY_MERGEKIT and find_spec("mergekit") is None:
        problem = f"strategy {strategy} needs the package 'mergekit', which is not installed."
        step = "Run: pip install 'faion-finetuner[mergekit]', or use linear, ties or another that needs no package."
        problems.append(MissingExtraError(problem, step))
    return problems


def _upload_problems(request: MergeRequest) -> Problems:
    problems = Problems()
    if request.upload_to is None:
        return problems
    if not HUB_ID.fullmatch(request.upload_to):
        problems.add(f"upload_to is no repository id: {quote(request.upload_to)}.", "Give one such as 'you/my-model'.")
    if not request.dry_run and not os.environ.get(HUB_TOKEN):
        problems.add(
            f"upload_to needs {HUB_TOKEN} in the server's environment.",
            "Start the server with a token that may write there, or leave upload_to out.",
        )
    return problems


def environment(request: MergeRequest) -> tuple[str, ...]:
    """The hub's login, for a worker that fetches from it or uploads to it."""
    return hub_environment(request.model_name, None if request.dry_run else request.upload_to)


def inputs(request: MergeRequest) -> tuple[Path, ...]:
    """The folders whose content decides the result."""
    model = Path(request.model_name)
    rows = (request.data_path,) if request.data_path else ()
    return request.adapter_paths + rows + ((model,) if model.is_absolute() and model.is_dir() else ())


def outputs(request: MergeRequest) -> tuple[str, ...]:
    """What will lie in output_dir."""
    names = [MERGED] if request.adapter_paths else []
    names += [gguf_name(quantization) for quantization in request.gguf]
    if request.gguf and request.modelfile:
        names.append(MODELFILE)
    return tuple(names)


def gguf_name(quantization: Quantization) -> str:
    """File name of an export."""
    return f"model-{quantization}.gguf"


def is_k_quant(quantization: Quantization) -> bool:
    """Whether it is one of the K-quants, which can use an importance matrix."""
    return "_k" in quantization
