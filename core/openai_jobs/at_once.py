"""Actions that ask the provider one thing and answer at once, without a run."""

import contextlib
from collections.abc import Callable
from typing import Any

from ..errors import InputError
from ..models.hosted import chat
from ..models.hosted.answers import fields, page
from ..models.hosted.service import Service
from .answers import ENDED, read_event, read_job
from .outcome import checkpoints, tuned_model
from .request import OpenAIRequest
from .result import Job, OpenAIResult

ANSWER_WITHIN_S = 20.0
TRIES = 2
PAGE = 20


def ask(request: OpenAIRequest) -> OpenAIResult:
    """What the provider says to a resolved request whose action is no run.

    A dry run of cancel, pause, resume or chat changes nothing and only looks at the job.

    Raises:
        RemoteError: The provider refused or did not answer.
    """
    with contextlib.closing(Service(ANSWER_WITHIN_S, TRIES)) as service:
        made = OpenAIResult(action=request.action, provider=service.provider.name)
        return made.model_copy(update=ACTIONS[request.action](request, service))


Changes = dict[str, object]


def _status(request: OpenAIRequest, service: Service) -> Changes:
    return _told(service.ask(lambda client: client.fine_tuning.jobs.retrieve(_job_id(request)), read_job), service)


def _told(job: Job, service: Service) -> Changes:
    return {"job": job, "tuned_model": tuned_model(job, service.provider, service.address)}


def _events(request: OpenAIRequest, service: Service) -> Changes:
    after: dict[str, Any] = {"after": request.cursor} if request.cursor else {}
    found = service.ask(
        lambda client: client.fine_tuning.jobs.list_events(_job_id(request), limit=PAGE, **after),
        lambda answer: (page(answer, read_event, "event"), fields(answer, "list").get("has_more")),
    )
    events, more = found
    return {"events": tuple(reversed(events)), "next_cursor": events[-1].id if more and events else None}


def _list(request: OpenAIRequest, service: Service) -> Changes:
    after: dict[str, Any] = {"after": request.cursor} if request.cursor else {}
    found = service.ask(
        lambda client: client.fine_tuning.jobs.list(limit=PAGE, **after),
        lambda answer: (page(answer, read_job, "job"), fields(answer, "list").get("has_more")),
    )
    jobs, more = found
    return {"jobs": tuple(jobs), "next_cursor": jobs[-1].id if more and jobs else None}


def _change(request: OpenAIRequest, service: Service) -> Changes:
    """Cancel, pause or resume: harmless when carried out twice, so it may be sent again."""
    action = request.action
    if action in service.provider.lacks:
        raise InputError(f"{service.provider.name} cannot {action} jobs.", "Let it run, or cancel it.")
    before = service.ask(lambda client: client.fine_tuning.jobs.retrieve(_job_id(request)), read_job)
    if before.status in ENDED:
        return _told(before, service) | {"warnings": (f"The job has ended already: {before.status}.",)}
    if request.dry_run:
        return _told(before, service) | {"warnings": (f"Dry run: {action} was not sent.",)}
    return _told(
        service.ask(lambda client: getattr(client.fine_tuning.jobs, action)(_job_id(request)), read_job), service
    )


def _checkpoints(request: OpenAIRequest, service: Service) -> Changes:
    return {"checkpoints": checkpoints(service, _job_id(request))}


def _chat(request: OpenAIRequest, service: Service) -> Changes:
    if request.dry_run:
        return {"warnings": ("Dry run: the prompt was not sent.",)}
    reply = chat.ask(service, str(request.model), [{"role": "user", "content": str(request.prompt)}])
    warnings = ("The model, or its provider, refused to answer.",) if reply.refused else ()
    warnings += ("The answer was cut by a limit of tokens.",) if reply.cut else ()
    return {"reply": reply.text, "warnings": warnings}


def _job_id(request: OpenAIRequest) -> str:
    assert request.job_id is not None
    return request.job_id


ACTIONS: dict[str, Callable[[OpenAIRequest, Service], Changes]] = {
    "status": _status,
    "events": _events,
    "list": _list,
    "cancel": _change,
    "pause": _change,
    "resume": _change,
    "checkpoints": _checkpoints,
    "chat": _chat,
}
