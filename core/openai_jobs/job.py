"""Carry out an `openai` action in the worker."""

import os

from ..runs.active import ActiveRun
from ..runs.record import now
from .check import data_checks
from .data import DataFile, Reading, read_data
from .estimate import estimate_job
from .offer import check_model, closing_warnings, context_of
from .prices import load_prices
from .request import OpenAIRequest
from .result import OpenAIResult
from .tokens import token_counter


def run(request: OpenAIRequest, run: ActiveRun) -> OpenAIResult:
    """Check the data, and estimate the cost when asked to; no network, no key, nothing written but the report.

    Raises:
        InputError: The price table cannot be used.
    """
    counter = token_counter()
    context = context_of(request.model)

    def on_line(number: int) -> None:
        run.raise_if_stopped()
        run.progress(number, None, "lines", "checking the data")

    reading = Reading(method=request.method, context=context, count=counter.count, on_line=on_line)
    train = read_data(request.data_path, reading)
    valid = read_data(request.validation_path, reading) if request.validation_path else None
    base_url, today = os.environ.get("OPENAI_BASE_URL"), now().date()
    checks = data_checks(train, valid, request.method, context)
    if request.model is not None:
        checks += (check_model(request.model, request.method, base_url, today),)
    warnings = closing_warnings(base_url, today)
    if counter.estimated_because:
        warnings += (f"Tokens are estimates, one per 4 characters, because {counter.estimated_because}.",)
    warnings += _image_warnings(train, valid)
    if request.action == "check":
        return OpenAIResult(checks=checks, warnings=warnings)
    estimated = estimate_job(request, train.examples, train.tokens, load_prices())
    if any(check.status == "fail" for check in checks):
        warnings += ("Some checks fail: the service would refuse this job as it is, whatever it costs.",)
    return OpenAIResult(checks=checks, estimate=estimated.estimate, warnings=warnings + estimated.warnings)


def _image_warnings(*files: DataFile | None) -> tuple[str, ...]:
    lines = sum(file.lines_with_images for file in files if file is not None)
    return (f"{lines:,} lines hold pictures, whose tokens are not counted.",) if lines else ()
