"""A way to run the mode in this process."""

from pathlib import Path
from typing import Any

from faion_finetuner.core.evaluate import evaluation
from faion_finetuner.core.evaluate.request import EvaluateRequest, resolve
from faion_finetuner.core.evaluate.result import EvaluateResult
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings


class World:
    """Settings whose roots hold the models, and a way to run the mode in this process."""

    def __init__(self, settings: Settings, models: Path) -> None:
        self.settings = settings.model_copy(update={"roots": (*settings.roots, models)})
        self.output_dir = settings.roots[0] / "out"

    def active(self, resume: bool = False) -> ActiveRun:
        folder = RunFolder(path=self.output_dir / ".run" / "evaluate-1")
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_status(RunStatus(status="running", launched_at=now()))
        return ActiveRun(folder, self.output_dir, resume)

    def run(self, **arguments: Any) -> EvaluateResult:
        request = resolve(EvaluateRequest(output_dir=self.output_dir, **arguments), self.settings)
        return evaluation.run(request, self.active())


def statuses(result: EvaluateResult) -> dict[str, str]:
    return {check.name: check.status for check in result.checks}
