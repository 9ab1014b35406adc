"""Evaluate as a mode."""

from ..models.source import hosted_id
from ..runs.mode import Mode
from .request import EvaluateRequest, circumstances, environment, inputs, outputs, resolve
from .result import EvaluateResult

MODE = Mode(
    name="evaluate",
    address="faion_finetuner.core.evaluate.mode:MODE",
    request=EvaluateRequest,
    result=EvaluateResult,
    resolve=resolve,
    inputs=inputs,
    outputs=outputs,
    run="faion_finetuner.core.evaluate.evaluation:run",
    report="faion_finetuner.core.evaluate.reporting.report:report",
    uses_accelerator=lambda request: hosted_id(request.model_name) is None,
    environment=environment,
    circumstances=circumstances,
    judge="faion_finetuner.core.evaluate.judging.blind:judge",
    compare="faion_finetuner.core.evaluate.versus:compare_runs",
)
