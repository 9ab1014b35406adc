"""The record of a run as `launch` writes it, for tests that carry a run out in their own process."""

from typing import Any

from faion_finetuner.core.runs.mode import Mode
from faion_finetuner.core.runs.record import RunRecord, now
from faion_finetuner.core.runs.request import RunRequest


def record_of(mode: Mode[Any, Any], request: RunRequest, run_id: str, request_key: str) -> RunRecord:
    """Of a resolved request; what no mode looks at is empty."""
    return RunRecord(
        run_id=run_id,
        mode=mode.name,
        address=mode.address,
        request_key=request_key,
        request={},
        resolved=request.model_dump(mode="json"),
        output_dir=request.output_dir,
        slot=None,
        environment=(),
        created_at=now(),
        packages={},
        host={},
    )
