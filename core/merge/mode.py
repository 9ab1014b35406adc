"""The merge mode: addresses only, nothing heavy."""

from ..runs.mode import Mode
from . import request
from .request import MergeRequest
from .result import MergeResult

MODE = Mode(
    name="merge",
    address="faion_finetuner.core.merge.mode:MODE",
    request=MergeRequest,
    result=MergeResult,
    resolve=request.resolve,
    inputs=request.inputs,
    outputs=request.outputs,
    run="faion_finetuner.core.merge.merge:run",
    report="faion_finetuner.core.merge.report:report",
    uses_accelerator=lambda _: True,
    environment=request.environment,
)
