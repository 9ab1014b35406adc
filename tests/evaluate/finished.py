"""A finished evaluation, made in this process, that the `runs` tool finds."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from faion_finetuner.core import files
from faion_finetuner.core.evaluate import evaluation
from faion_finetuner.core.evaluate.mode import MODE
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.request import EvaluateRequest, resolve
from faion_finetuner.core.models.generate import Generation, generate
from faion_finetuner.core.reports.report import write_report
from faion_finetuner.core.runs import index
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings
from faion_finetuner.tools.arguments import parse
from faion_finetuner.tools.catalog import BY_NAME
from faion_finetuner.tools.spec import Caller

from tests.records import record_of

MEASURED: dict[str, dict[str, bytes]] = {}


class Evaluations:
    """Evaluations below one root, each with a run folder as a worker leaves it."""

    def __init__(self, settings: Settings, models: Path) -> None:
        self._legible = False
        self.settings = settings.model_copy(update={"roots": (*settings.roots, models)})

    def make_legible(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let every answer of the tiny models, which say nothing that can be seen, stand for a word and a number."""
        self._legible = True

        def legible(*given: Any, **options: Any) -> list[Generation]:
            answers = generate(*given, **options)
            return [replace(one, text="word " * (1 + crc32(one.text.encode()) % 97)) for one in answers]

        monkeypatch.setattr("faion_finetuner.core.evaluate.contestants.generate", legible)

    def finish(self, name: str, **arguments: Any) -> RunFolder:
        """Carry one out; its results lie in the folder of this name."""
        output_dir = self.settings.roots[0] / name
        request = resolve(EvaluateRequest(output_dir=output_dir, **arguments), self.settings)
        folder = RunFolder(path=output_dir / index.RUNS / f"evaluate-{name}")
        folder.path.mkdir(parents=True, exist_ok=True)
        files.write_model(folder.record_path, record_of(MODE, request, folder.run_id, folder.run_id))
        index.add(
            index.Pointer(run_id=folder.run_id, run_dir=folder.path, mode=MODE.name, request_key=name), self.settings
        )
        folder.write_status(RunStatus(status="running", launched_at=now(), started_at=now()))
        result = evaluation.run(request, ActiveRun(folder, output_dir, resume=self._recall(request, folder)))
        self._remember(request, folder)
        files.write_model(folder.result_path, result)
        write_report(report(result), folder.path, output_dir)
        folder.write_status(folder.status().model_copy(update={"status": "succeeded", "ended_at": now()}))
        return folder

    def _what(self, request: EvaluateRequest) -> str:
        rows = request.data_path.read_text(encoding="utf-8")
        return f"{request.finetuned_path} {rows} {request.metrics} {request.limit} {self._legible}"

    def _recall(self, request: EvaluateRequest, folder: RunFolder) -> bool:
        """Take what the same models did with the same rows in another test; then the run only goes on from there."""
        found = MEASURED.get(self._what(request), {})
        for name, content in found.items():
            (folder.path / name).write_bytes(content)
        return bool(found)

    def _remember(self, request: EvaluateRequest, folder: RunFolder) -> None:
        MEASURED[self._what(request)] = {path.name: path.read_bytes() for path in folder.path.glob("measured-*.json")}

    async def runs(self, **arguments: Any) -> Any:
        """The reply to one call of the `runs` tool."""
        tool = BY_NAME["runs"]
        return await tool.call(parse(tool.input, arguments), Caller(settings=self.settings, given=arguments))
