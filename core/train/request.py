"""What to train, and the light checks of it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from .. import paths
from ..errors import FinetunerError, InputError, PathError
from ..models.source import resolve_model
from ..problems import Problems
from ..runs.request import RunRequest
from ..settings import Settings
from . import logs, variants
from .curve import CURVES
from .hyperparameters import ADAPTER_ONLY, ALL_LINEAR, PREFERENCE, Hyperparameters, Method, Technique

HEAD = "lm_head"
EXPERIMENTS = f"{variants.FOLDER}/*/checkpoints/checkpoint-*"


class TrainRequest(RunRequest):
    """Fine-tune a model on prepared data."""

    data_path: Path
    """prepare's output_dir, or one JSONL file, which has no validation rows."""

    model_name: str
    """Base model: folder, hub id, or built-in name such as smollm2-135m-instruct."""

    technique: Technique = "lora"
    """lora: an adapter on a 16-bit base. qlora: on a 4-bit base, for little memory. full: all weights."""

    method: Method = "sft"
    """sft: learn the answers. dpo, orpo, kto: prefer chosen to rejected answers, on prepare's pairs."""

    hyperparameters: Hyperparameters = Hyperparameters()
    """What is left out takes the technique's default."""

    auto: bool = False
    """Choose what is left out by model, data and memory."""

    experiments: tuple[dict[str, JsonValue], ...] = ()
    """Several trainings over one base, compared: each overrides hyperparameters."""

    num_processes: int = Field(default=1, ge=1, le=64)
    """One a GPU; the effective batch stays."""

    backend: Literal["trl"] = "trl"
    """The training engine."""

    resume: bool = False
    """Go on from the last checkpoint in output_dir."""

    log_to: logs.LogTarget | None = None
    """Also log there; wandb offline unless WANDB_MODE is set."""


def resolve(request: TrainRequest, settings: Settings) -> TrainRequest:
    """The request with absolute paths.

    Raises:
        InputError: Something cannot be; all problems that were found are named.
    """
    problems = Problems()
    found = {
        "data_path": problems.attempt(lambda: _data(request.data_path, settings)),
        "model_name": problems.attempt(lambda: _model(request.model_name, settings)),
        "output_dir": problems.attempt(lambda: _output_dir(request, settings)),
    }
    problems += [*_unsupported(request), *logs.missing(request.log_to), *variants.problems(request)]
    for variant in problems.attempt(lambda: variants.variants(request)) or ():
        problems += [error for error in _unsupported(variant.request) if error.problem not in map(_problem, problems)]
    problems.raise_any()
    return request.model_copy(update=found)


def _problem(error: FinetunerError) -> str:
    return error.problem


def _data(path: Path, settings: Settings) -> Path:
    found = paths.existing(path, settings, "data_path")
    if found.is_dir() and not (found / "train.jsonl").is_file():
        raise PathError(
            f"The folder '{path}' holds no train.jsonl.", "Give prepare's output_dir, or one JSONL file of examples."
        )
    return found


def _model(name: str, settings: Settings) -> str:
    source = resolve_model(name, settings)
    return str(source.path) if source.path else source.name


def _output_dir(request: TrainRequest, settings: Settings) -> Path:
    folder = paths.confine(request.output_dir, settings)
    if request.resume and not any(folder.glob("checkpoints/checkpoint-*")) and not any(folder.glob(EXPERIMENTS)):
        raise PathError(
            f"resume was asked for, but '{folder}' holds no checkpoint.", "Give the output_dir of the earlier run."
        )
    return folder


def _unsupported(request: TrainRequest) -> list[FinetunerError]:
    """What is asked for and cannot be done, each with what can."""
    numbers, prefers = request.hyperparameters, request.method in PREFERENCE
    pissa = numbers.init_lora_weights == "pissa"
    refused = [
        (
            request.technique == "full" and bool(_adapter_numbers(request)),
            f"technique full trains all weights, so {', '.join(_adapter_numbers(request))} mean nothing.",
            "Leave them out, or use technique lora.",
        ),
        (
            prefers and bool(numbers.packing),
            f"method {request.method} reads the answers of a pair side by side, which are not packed with others.",
            "Leave packing out.",
        ),
        (
            not prefers and numbers.beta is not None,
            "beta weighs a preference, and method sft learns none.",
            "Leave it out, or use method dpo, orpo or kto.",
        ),
        (
            any(name.rpartition(".")[2] == HEAD for name in _modules(request)),
            f"An adapter on {HEAD} would never be trained: the loss is computed from that layer's own weights.",
            f"Leave {HEAD} out of target_modules, or use all-linear.",
        ),
        (
            request.technique == "qlora" and pissa,
            "init_lora_weights pissa changes the base's weights, which qlora holds in 4 bits that cannot be changed.",
            "Use technique lora, or leave init_lora_weights out.",
        ),
        (
            bool(numbers.use_dora) and pissa,
            "An adapter of use_dora with init_lora_weights pissa cannot be saved so that it fits the base model.",
            "Use one of the two.",
        ),
    ]
    return [InputError(problem, next_step) for wrong, problem, next_step in refused if wrong]


def _modules(request: TrainRequest) -> tuple[str, ...]:
    """The layers that are named one by one."""
    modules = request.hyperparameters.target_modules
    return () if modules is None or modules == ALL_LINEAR else modules


def _adapter_numbers(request: TrainRequest) -> list[str]:
    return [name for name in ADAPTER_ONLY if getattr(request.hyperparameters, name) is not None]


def inputs(request: TrainRequest) -> tuple[Path, ...]:
    """What decides the result: the data, and the base model when it is a folder."""
    model = Path(request.model_name)
    return (request.data_path, model) if model.is_absolute() else (request.data_path,)


def outputs(request: TrainRequest) -> tuple[str, ...]:
    """The adapter or model, its curves, and what a resumed run takes over: checkpoints, experiments, a further log."""
    made = () if request.experiments else ("model" if request.technique == "full" else "adapter",)
    logged = (request.log_to,) if request.log_to else ()
    taken_over = (variants.FOLDER if request.experiments else "checkpoints", *logged)
    return (*made, *CURVES, *(() if request.resume else taken_over))
