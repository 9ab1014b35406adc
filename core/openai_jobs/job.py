"""Carry out an `openai` action in the worker: check, estimate, or start a job and follow it to its end."""

import math
from dataclasses import dataclass

from ..checks import Check
from ..errors import DataError, InputError
from ..models.hosted.environment import base_url, host_of
from ..models.hosted.providers import Provider, provider_at
from ..models.hosted.tokens import token_counter
from ..personal.leaving import leaving_checks
from ..runs.active import ActiveRun
from ..runs.record import now
from .check import data_checks
from .data import DataFile, Reading, read_data
from .estimate import Estimated, estimate_job
from .grader import fields_of_rows, grader_check
from .leaving import what_leaves
from .offer import check_model, check_provider, warnings_about
from .request import OpenAIRequest
from .result import OpenAIResult
from .training import train


@dataclass(frozen=True)
class Found:
    """What the data and the providers file say."""

    train: DataFile
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]


def run(request: OpenAIRequest, run: ActiveRun) -> OpenAIResult:
    """Check the data; estimate the cost and start the job when asked to. Only a start that is no dry run goes online.

    Raises:
        DataError: The provider would refuse the data.
        InputError: The cost is above the limit, or unknown.
        RemoteError: The provider refused, or the job failed there.
    """
    provider = provider_at(base_url())
    found = _look_at_data(request, provider, run)
    made = OpenAIResult(action=request.action, provider=provider.name, checks=found.checks, warnings=found.warnings)
    if request.action == "check":
        return made
    estimated = estimate_job(request, found.train.examples, found.train.tokens, provider)
    warnings = found.warnings + estimated.warnings
    if any(check.status == "fail" for check in found.checks):
        warnings += ("Some checks fail: the service would refuse this job as it is, whatever it costs.",)
    made = made.model_copy(update={"estimate": estimated.estimate, "warnings": warnings})
    return made if request.action == "estimate" else _start(request, made, estimated, run)


def _look_at_data(request: OpenAIRequest, provider: Provider, run: ActiveRun) -> Found:
    assert request.data_path is not None
    counter = token_counter()
    context = provider.context(request.model)

    def on_line(number: int) -> None:
        run.raise_if_stopped()
        run.progress(number, None, "lines", "checking the data")

    grader = (request.hyperparameters.extra or {}).get("grader")
    wanted = fields_of_rows(grader)
    reading = Reading(method=request.method, context=context, count=counter.count, on_line=on_line, wanted=wanted)
    train = read_data(request.data_path, reading)
    valid = read_data(request.validation_path, reading) if request.validation_path else None
    today = now().date()
    checks = (check_provider(provider, request.method, today),)
    if request.method == "reinforcement":
        checks += (grader_check(grader),)
    if request.model is not None:
        checks += (check_model(request.model, request.method, provider, today),)
    warnings = warnings_about(provider, base_url(), today)
    if counter.estimated_because:
        warnings += (f"Tokens are estimates, one per 4 characters, because {counter.estimated_because}.",)
    warnings += _image_warnings(train, valid)
    if request.wandb_project and "wandb" in provider.lacks:
        warnings += (f"{provider.name} reports to no W&B project of yours by this way: wandb_project is left out.",)
    return Found(train, data_checks(train, valid, request.method, provider, context) + checks, warnings)


def _image_warnings(*files: DataFile | None) -> tuple[str, ...]:
    lines = sum(file.lines_with_images for file in files if file is not None)
    return (f"{lines:,} lines hold pictures, whose tokens are not counted.",) if lines else ()


def _start(request: OpenAIRequest, made: OpenAIResult, estimated: Estimated, run: ActiveRun) -> OpenAIResult:
    def on_row(number: int) -> None:
        run.raise_if_stopped()
        run.progress(number, None, "rows", "looking for what should not leave")

    sent = [path for path in (request.data_path, request.validation_path) if path is not None]
    leaving = what_leaves(sent, host_of(base_url()), on_row)
    checks = (
        *made.checks,
        *leaving_checks(leaving.personal_data, leaving.secrets, leaving.to),
        cost_check(request, estimated.estimate.usd),
    )
    made = made.model_copy(update={"leaving": leaving, "checks": checks})
    if request.dry_run:
        return made
    _refuse(checks)
    return train(request, made, run)


def cost_check(request: OpenAIRequest, usd: float | None) -> Check:
    """Whether the job may cost what it is expected to cost."""
    limit = request.max_cost_usd
    expected = "an unknown amount" if usd is None else f"about ${usd:,.2f}"
    if limit == "unlimited":
        return Check(name="Cost", status="pass", details=f"{expected}; any cost is allowed")
    if limit is None:
        least = "unlimited" if usd is None else f"of at least {math.ceil(usd * 100) / 100:.2f}"
        step = f"Start with max_cost_usd {least}."
        return Check(name="Cost", status="warn", details=f"{expected}; no limit is given", next_step=step)
    if usd is None:
        step = 'Add the price to a providers file, or allow any cost with max_cost_usd "unlimited".'
        return Check(name="Cost", status="fail", details=f"{expected}; ${limit:,g} is allowed", next_step=step)
    status = "fail" if usd > limit else "pass"
    step = "Use fewer epochs or examples or a cheaper model, or allow more." if usd > limit else None
    return Check(name="Cost", status=status, details=f"{expected}; ${limit:,g} is allowed", next_step=step)


def _refuse(checks: tuple[Check, ...]) -> None:
    """Stop before anything leaves when a check fails."""
    failed = [check for check in checks if check.status == "fail"]
    if not failed:
        return
    problem = "Nothing was sent. " + " ".join(f"{check.name}: {check.details}." for check in failed)
    step = " ".join(check.next_step for check in failed if check.next_step)
    kind = InputError if {check.name for check in failed} <= {"Cost", "Grader", "Model", "Provider"} else DataError
    raise kind(problem, step)
