"""The mode `prepare`: raw data in, a checked and split data set out."""

from ..runs.mode import Mode
from .request import PrepareRequest, environment, inputs, outputs, resolve
from .result import PrepareResult

MODE = Mode(
    name="prepare",
    address="faion_finetuner.core.prepare.mode:MODE",
    request=PrepareRequest,
    result=PrepareResult,
    resolve=resolve,
    inputs=inputs,
    outputs=outputs,
    run="faion_finetuner.core.prepare.pipeline:run",
    report="faion_finetuner.core.prepare.report:report",
    uses_accelerator=lambda _: False,
    environment=environment,
)
