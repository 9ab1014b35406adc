"""What to do about hosted fine-tuning, and the light checks of it."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from .. import paths
from ..errors import FinetunerError, InputError, PathError
from ..models.hosted.environment import BASE_URL, CREDENTIALS, KEY, OFFLINE, base_url, shown
from ..models.hosted.providers import Method, overriding_file, provider_at
from ..problems import Problems
from ..runs.record import now
from ..runs.request import RunRequest
from ..schema import Model
from ..settings import Settings

Action = Literal[
    "check", "estimate", "start", "status", "events", "list", "cancel", "pause", "resume", "checkpoints", "chat"
]
OVER_DATA = ("check", "estimate", "start")
"""Actions that are runs; the others ask the provider and answer at once."""
ABOUT_ONE_JOB = ("status", "events", "cancel", "pause", "resume", "checkpoints")


class HostedHyperparameters(Model):
    """Settings of a hosted job; what is absent, or "auto", is left to the provider."""

    epochs: int | None = Field(default=None, ge=1, le=50)
    """Passes over the data."""

    batch_size: int | None = Field(default=None, ge=1)
    """Rows a step."""

    learning_rate_multiplier: float | None = Field(default=None, gt=0)
    """Of the provider's rate."""

    beta: float | None = Field(default=None, gt=0)
    """For dpo."""

    extra: dict[str, Any] | None = None
    """Passed as they are, e.g. grader."""

    @field_validator("epochs", "batch_size", "learning_rate_multiplier", "beta", mode="before")
    @classmethod
    def _auto_is_absent(cls, value: object) -> object:
        return None if value == "auto" else value


class OpenAIRequest(RunRequest):
    """Arguments of `openai`."""

    action: Action
    """check: data against the rules. estimate: also price. start: upload, create a job, watch it. Others ask."""

    output_dir: Path = Path("openai")
    """Folder for the report."""

    data_path: Path | None = None
    """JSONL, or prepare's output_dir."""

    validation_path: Path | None = None
    """Default: valid.jsonl beside it."""

    model: str | None = None
    """Dated snapshot to train, or model to chat with."""

    method: Method = "supervised"
    """Learn from answers, pairs or a grader."""

    hyperparameters: HostedHyperparameters = HostedHyperparameters()
    """The provider chooses absent ones."""

    max_cost_usd: float | Literal["unlimited"] | None = Field(default=None, union_mode="left_to_right")
    """Limit; an unknown cost needs "unlimited"."""

    suffix: str | None = None
    """In the tuned model's name."""

    wandb_project: str | None = None
    """W&B project to report to."""

    job_id: str | None = None
    """The provider's."""

    prompt: str | None = None
    """For chat."""

    cursor: str | None = None
    """next_cursor of the page before."""


def resolve(request: OpenAIRequest, settings: Settings) -> OpenAIRequest:
    """The request with absolute paths, all contradictions found at once.

    Raises:
        InputError: Arguments are missing, wrong or contradictory.
    """
    problems = Problems([*_hyperparameter_problems(request), *_missing(request)])
    output_dir = problems.attempt(lambda: paths.confine(request.output_dir, settings))
    given = request.action in OVER_DATA and request.data_path is not None
    found = problems.attempt(lambda: _files(request, settings)) if given else None
    problems.attempt(lambda: provider_at(base_url()))
    problems.raise_any()
    return request.model_copy(update={"output_dir": output_dir} | (found or {}))


def _files(request: OpenAIRequest, settings: Settings) -> dict[str, Path | None]:
    """The training file and the validation file; those of a prepared folder when the data is one."""
    assert request.data_path is not None
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
    action = request.action
    wanted = {
        "data_path": (action in OVER_DATA, "Give a JSONL file, or prepare's output_dir."),
        "model": (action in ("estimate", "start", "chat"), "Give a snapshot such as gpt-4.1-mini-2025-04-14."),
        "job_id": (action in ABOUT_ONE_JOB, "Find it with action list."),
        "prompt": (action == "chat", "Give the text that the model should answer."),
    }
    problems: list[FinetunerError] = [
        InputError(f"{action} needs {name}.", step)
        for name, (is_needed, step) in wanted.items()
        if is_needed and not getattr(request, name)
    ]
    if action == "start" and request.max_cost_usd is None and not request.dry_run:
        step = 'Look at the estimate first; then give US dollars, or "unlimited" for any cost, also an unknown one.'
        problems.append(InputError("start needs max_cost_usd.", step))
    if goes_online(request) and not os.environ.get(KEY):
        step = f"Start the server with {KEY} in its environment; {BASE_URL} names another provider than OpenAI."
        problems.append(InputError(f"{action} needs {KEY}, which is not set.", step))
    return problems


def goes_online(request: OpenAIRequest) -> bool:
    """Whether the request talks to the provider: only then is a key needed."""
    return request.action not in ("check", "estimate") and not (request.action == "start" and request.dry_run)


def _hyperparameter_problems(request: OpenAIRequest) -> list[FinetunerError]:
    given = request.hyperparameters
    problems: list[FinetunerError] = []
    if given.beta is not None and request.method != "dpo":
        problems.append(InputError(f"hyperparameters.beta has no meaning for {request.method}.", "Leave it out."))
    if isinstance(request.max_cost_usd, float) and request.max_cost_usd <= 0:
        problems.append(InputError(f"max_cost_usd is {request.max_cost_usd}.", "Use a number above 0, or unlimited."))
    if request.action == "start" and request.method == "reinforcement" and "grader" not in (given.extra or {}):
        step = 'Give hyperparameters {"extra": {"grader": {...}}} as the provider describes it.'
        problems.append(InputError("reinforcement needs a grader.", step))
    return problems


def environment(request: OpenAIRequest) -> tuple[str, ...]:
    """What the worker may see: the key only when it has to talk to the provider."""
    return (*OFFLINE, *(CREDENTIALS if goes_online(request) else ()))


def circumstances(request: OpenAIRequest) -> tuple[str, ...]:
    """The provider; for what only looks ahead also the limit and the day, since offers end.

    A start is the same whatever it may cost and whenever it is asked for again: it must not make a second job.
    """
    limits = () if goes_online(request) else (str(request.max_cost_usd), now().date().isoformat())
    return (shown(base_url()), *limits)


def inputs(request: OpenAIRequest) -> tuple[Path, ...]:
    """The data; for what only looks ahead also the providers file, when one stands before the built-in one."""
    known = None if goes_online(request) else overriding_file()
    return tuple(path for path in (request.data_path, request.validation_path, known) if path is not None)


def outputs(request: OpenAIRequest) -> tuple[str, ...]:
    """The description of the tuned model; checking leaves nothing besides the report."""
    return (TUNED_MODEL,) if request.action == "start" else ()


TUNED_MODEL = "tuned_model.json"
