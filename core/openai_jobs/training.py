"""A hosted training from the upload to the tuned model."""

import contextlib

from .. import files
from ..errors import RemoteError
from ..models.hosted.answers import fields
from ..models.hosted.providers import Provider
from ..models.hosted.service import Service
from ..runs.active import ActiveRun
from ..untrusted import quote
from .memory import Memory, remembered
from .outcome import checkpoints, cost_usd, tuned_model
from .request import TUNED_MODEL, OpenAIRequest
from .result import HostedCheckpoint, Job, OpenAIResult
from .submit import submit
from .upload import Uploader
from .watch import EVENTS, Watcher

ANSWER_WITHIN_S = 60.0


def train(request: OpenAIRequest, made: OpenAIResult, run: ActiveRun) -> OpenAIResult:
    """Upload the files, create the job, follow it to its end; what an earlier attempt did is not done again.

    Args:
        request: The resolved request, whose checks have passed.
        made: What is known so far.
        run: The run.

    Raises:
        RemoteError: The provider refused, or the job ended without a model.
    """
    with contextlib.closing(Service(ANSWER_WITHIN_S, sleep=run.sleep)) as service:
        return _train(request, made, service, run)


def _train(request: OpenAIRequest, made: OpenAIResult, service: Service, run: ActiveRun) -> OpenAIResult:
    memory = remembered(run, service.host, request.rerun)
    warnings = _at_provider(request, service) if memory.hosted.job_id is None else ()
    job_id = memory.hosted.job_id or _begin(request, service, memory, run)
    watcher = Watcher(service, memory, run)
    known_job = watcher.until_ended(job_id)
    job = known_job.job
    if job.status != "succeeded":
        memory.note(given_up=True)
        raise _ended_without_model(job, service.provider, run)
    memory.note(took_s=known_job.took_s, trained_tokens=job.trained_tokens)
    kept = watcher.take_result_files(known_job)
    tuned = tuned_model(job, service.provider, service.address)
    if tuned is not None:
        files.write_text(run.output_dir / TUNED_MODEL, tuned.model_dump_json(indent=2) + "\n")
    return made.model_copy(
        update={
            "job": job,
            "file_ids": tuple(sent.file_id for sent in memory.hosted.files.values() if sent.file_id),
            "events": tuple(watcher.events),
            "metrics": tuple(watcher.metrics[step] for step in sorted(watcher.metrics)),
            "checkpoints": _checkpoints(service, job.id, watcher.warnings),
            "tuned_model": tuned,
            "cost_usd": cost_usd(job, service.provider, request.model),
            "result_files": tuple(kept),
            "warnings": (*made.warnings, *warnings, *watcher.warnings),
        }
    )


def _begin(request: OpenAIRequest, service: Service, memory: Memory, run: ActiveRun) -> str:
    uploader = Uploader(service, memory, run)
    for role, path in (("train", request.data_path), ("valid", request.validation_path)):
        if path is not None:
            run.raise_if_stopped()
            uploader.upload(role, path)
    return submit(request, service, memory, run)


def _at_provider(request: OpenAIRequest, service: Service) -> tuple[str, ...]:
    """Ask for the job list and the model before any data leaves: a refused key or account shows here.

    Returns:
        What the provider says of the model's end.
    """
    service.ask(lambda client: client.fine_tuning.jobs.list(limit=1), lambda answer: fields(answer, "list of jobs"))
    try:
        model = service.ask(
            lambda client: client.models.retrieve(str(request.model)), lambda answer: fields(answer, "model")
        )
    except RemoteError:
        return ()  # models that can only be trained are not in every provider's list
    end = model.get("shutdown_date")
    return (f"{service.provider.name} shuts {quote(str(request.model))} down on {quote(str(end))}.",) if end else ()


def _checkpoints(service: Service, job_id: str, warnings: list[str]) -> tuple[HostedCheckpoint, ...]:
    """The job's checkpoints; the tuned model is no less ready where they cannot be read."""
    try:
        return checkpoints(service, job_id)
    except RemoteError as error:
        warnings.append(f"Checkpoints could not be read: {error.problem}")
        return ()


def _ended_without_model(job: Job, provider: Provider, run: ActiveRun) -> RemoteError:
    why = f": {quote(job.error, 400)}" if job.error else ", without a reason"
    problem = f"Job {job.id} {job.status} at {provider.name}{why}. Its events are in {run.folder.path / EVENTS}."
    step = "Mend what it names, then call start again: it uploads anew and creates a new job."
    return RemoteError(problem, step)
