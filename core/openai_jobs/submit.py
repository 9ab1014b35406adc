"""The creation of a job: exactly once, whatever happens to the request."""

from typing import Any

from ..errors import RemoteError
from ..models.hosted.faults import Busy, Unanswered
from ..models.hosted.service import TRIES, Service
from ..runs.active import ActiveRun
from .answers import read_job, read_known_job
from .memory import Memory
from .request import OpenAIRequest
from .result import Job

LOOKS = 3  # for a job whose creation was not answered: lists may lag behind

MOST_LISTED = 500  # of the newest jobs, when one is looked for
MADE_BY = "faion-finetuner"


def submit(request: OpenAIRequest, service: Service, memory: Memory, run: ActiveRun) -> str:
    """The id of this run's job, which is created unless it is there already.

    Nothing in the interface keeps a repeated request from making a second job. So it is sent without retries, and
    before it is sent again the job is looked for by the run's id in its metadata, or by its training file.

    Raises:
        RemoteError: The provider refused the job or could not be reached.
    """
    if memory.hosted.job_id is not None:
        return memory.hosted.job_id
    run.stage("creating the job")
    asked = _arguments(request, memory) | _optional_arguments(request, memory, service.provider.lacks)
    for attempt in range(1, TRIES + 1):
        run.raise_if_stopped()
        if memory.hosted.creating and (found := _look_for(service, memory)) is not None:
            memory.note(job_id=found.id)
            return found.id
        try:
            memory.note(creating=True)
            job = service.once(lambda client: client.fine_tuning.jobs.create(**asked), read_job)
        except (Unanswered, Busy) as fault:
            if attempt == TRIES:
                raise
            service.pause(attempt, fault)
        except RemoteError:
            memory.note(creating=False)  # refused: there is no job to look for
            raise
        else:
            memory.note(job_id=job.id)
            return job.id
    raise AssertionError("unreachable")


def _arguments(request: OpenAIRequest, memory: Memory) -> dict[str, Any]:
    """What the request for a job holds; settings left to the provider are not sent."""
    given = request.hyperparameters
    named = {
        "n_epochs": given.epochs,
        "batch_size": given.batch_size,
        "learning_rate_multiplier": given.learning_rate_multiplier,
        "beta": given.beta,
    }
    extra = dict(given.extra or {})
    beside = {name: extra.pop(name) for name in ("grader", "response_format") if name in extra}
    settings = {name: value for name, value in named.items() if value is not None} | extra
    files = memory.hosted.files
    made: dict[str, Any] = {
        "model": request.model,
        "training_file": files["train"].file_id,
        "method": {"type": request.method, request.method: beside | {"hyperparameters": settings}},
        "seed": request.seed,
    }
    if "valid" in files:
        made["validation_file"] = files["valid"].file_id
    if request.suffix:
        made["suffix"] = request.suffix
    return made


def _optional_arguments(request: OpenAIRequest, memory: Memory, lacks: tuple[str, ...]) -> dict[str, Any]:
    """Those that not every provider takes."""
    made: dict[str, Any] = {}
    if "metadata" not in lacks:
        made["metadata"] = {"request_id": memory.hosted.request_id, "made_by": MADE_BY}
    if request.wandb_project and "wandb" not in lacks:
        made["integrations"] = [{"type": "wandb", "wandb": {"project": request.wandb_project}}]
    return made


def _look_for(service: Service, memory: Memory) -> Job | None:
    """The job that an unanswered request made, if it made one."""
    for look in range(1, LOOKS + 1):
        job = service.ask(lambda client: _among(client.fine_tuning.jobs.list(limit=100), memory), lambda found: found)
        if job is not None or look == LOOKS:
            return job
        service.pause(look, Unanswered("", ""))
    return None


def _among(listed: Any, memory: Memory) -> Job | None:
    file_id = memory.hosted.files["train"].file_id
    for number, answer in enumerate(listed):
        known = read_known_job(answer)
        ours = memory.hosted.request_id
        if known.request_id == ours or (known.request_id is None and known.training_file == file_id):
            return known.job
        if number >= MOST_LISTED:
            break
    return None
