"""Train as a mode."""

from ..models.source import hub_environment
from ..runs.mode import Mode
from . import logs
from .request import TrainRequest, inputs, outputs, resolve
from .result import TrainResult

MODE = Mode(
    name="train",
    address="faion_finetuner.core.train.mode:MODE",
    request=TrainRequest,
    result=TrainResult,
    resolve=resolve,
    inputs=inputs,
    outputs=outputs,
    run="faion_finetuner.core.train.job:run",
    report="faion_finetuner.core.train.report:report",
    uses_accelerator=lambda _: True,
    environment=lambda request: (*logs.environment(request.log_to), *hub_environment(request.model_name)),
)
