"""What to do about hosted fine-tuning, and the light checks of it."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from .. import paths
from ..errors import FinetunerError, InputError, PathError
from ..problems import Problems
from ..runs.request import RunRequest
from ..schema import Model
from ..settings import Settings
from .prices import load_prices, overriding_file

Action = Literal["check", "estimate"]
Method = Literal["supervised", "dpo", "reinforcement"]


class HostedHyperparameters(Model):
    """Settings of a hosted job; "auto" leaves the choice to the service."""

    epochs: int | Literal["auto"] = Field(default="auto", union_mode="left_to_right")
    """Passes over the data, 1 to 50; auto by the service's rule."""

    batch_size: int | Literal["auto"] = Field(default="auto", union_mode="left_to_right")
    """Examples per step."""

    learning_rate_multiplier: float | Literal["auto"] = Field(default="auto", union_mode="left_to_right")
    """Scale of the service's own rate."""

    beta: float | Literal["auto"] | None = Field(default=None, union_mode="left_to_right")
    """dpo only: weight of staying near the base."""


class OpenAIRequest(RunRequest):
    """Arguments of `openai`."""

    action: Action
    """check: hold the data against the service's rules. estimate: check, then tokens, epochs and price."""

    output_dir: Path = Path("openai")
    """Folder for the report."""

    data_path: Path
    """Training data: a JSONL file, or prepare's output_dir."""

    validation_path: Path | None = None
    """Validation data: a JSONL file. Default: the folder's valid.jsonl."""

    model: str | None = None
    """Hosted base model, as a dated snapshot; needed by estimate."""

    method: Method = "supervised"
    """Learn from answers, from better and worse ones, or from a grader."""

    hyperparameters: HostedHyperparameters = HostedHyperparameters()
    """Settings of the job."""

    max_cost_usd: float | None = Field(default=None, gt=0)
    """US dollars; estimate warns when it expects more."""


def resolve(request: OpenAIRequest, settings: Settings) -> OpenAIRequest:
    """The request with absolute paths, all contradictions found at once.

    Raises:
        InputError: Arguments are missing, wrong or contradictory.
    """
    problems = Problems([*_hyperparameter_problems(request), *_missing(request)])
    output_dir = problems.attempt(lambda: paths.confine(request.output_dir, settings))
    found = problems.attempt(lambda: _files(request, settings))
    problems.attempt(load_prices)
    problems.raise_any()
    return request.model_copy(update={"output_dir": output_dir} | (found or {}))


def _files(request: OpenAIRequest, settings: Settings) -> dict[str, Path | None]:
    """The training file and the validation file; those of a prepared folder when the data is one."""
    data = paths.existing(request.data_path, settings, "data_path")
    validation = request.validation_path and paths.existing(request.validation_path, settings, "validation_path")
    if data.is_dir():
        if not (data / "train.jsonl").is_file():
            raise PathError(f"The folder '{data}' holds no train.jsonl.", "Give a JSONL file, or prepare's output_dir.")
        prepared = data / "valid.jsonl"
        validation = validation or (prepared if prepared.is_file() else None)
        data = data / "train.jsonl"
    if validation is not None and validation.is_dir():
        raise PathError(f"validation_path '{validation}' is a folder.", "Give a JSONL file.")
    if data == validation:
        raise PathError(
            "data_path and validation_path are the same file.", "Give two files, or leave validation_path out."
        )
    return {"data_path": data, "validation_path": validation}


def _missing(request: OpenAIRequest) -> list[FinetunerError]:
    problems: list[FinetunerError] = []
    if request.action == "estimate" and request.model is None:
        problems.append(InputError("estimate needs model.", "Give a snapshot such as gpt-4.1-mini-2025-04-14."))
    return problems


def _hyperparameter_problems(request: OpenAIRequest) -> list[FinetunerError]:
    given = request.hyperparameters
    problems: list[FinetunerError] = []
    if given.epochs != "auto" and not 1 <= given.epochs <= 50:
        problems.append(InputError(f"hyperparameters.epochs is {given.epochs}.", "Use 1 to 50, or auto."))
    if given.batch_size != "auto" and given.batch_size < 1:
        problems.append(InputError(f"hyperparameters.batch_size is {given.batch_size}.", "Use 1 or more, or auto."))
    for name in ("learning_rate_multiplier", "beta"):
        value = getattr(given, name)
        if isinstance(value, float) and value <= 0:
            problems.append(InputError(f"hyperparameters.{name} is {value}.", "Use a number above 0, or auto."))
    if given.beta is not None and request.method != "dpo":
        problems.append(InputError(f"hyperparameters.beta has no meaning for {request.method}.", "Leave it out."))
    return problems


def inputs(request: OpenAIRequest) -> tuple[Path, ...]:
    """The data, and the price file when one takes the place of the built-in table."""
    return tuple(path for path in (request.data_path, request.validation_path, overriding_file()) if path is not None)


def outputs(request: OpenAIRequest) -> tuple[str, ...]:
    """Nothing besides the report: checking leaves the data alone."""
    return ()
