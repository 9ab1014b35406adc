"""Hosted fine-tuning as a mode."""

from ..runs.mode import Mode
from .request import OpenAIRequest, circumstances, environment, inputs, outputs, resolve
from .result import OpenAIResult

MODE = Mode(
    name="openai",
    address="faion_finetuner.core.openai_jobs.mode:MODE",
    request=OpenAIRequest,
    result=OpenAIResult,
    resolve=resolve,
    inputs=inputs,
    outputs=outputs,
    run="faion_finetuner.core.openai_jobs.job:run",
    report="faion_finetuner.core.openai_jobs.report:report",
    uses_accelerator=lambda _: False,
    environment=environment,
    circumstances=circumstances,
)
