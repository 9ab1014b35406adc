"""A client that waits for a run hears of every stage, in numbers that only grow."""

import os

import pytest
from faion_finetuner.core import files
from faion_finetuner.core.runs import index
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.process import Process
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings
from faion_finetuner.server.app import build_server
from faion_finetuner.tools.catalog import BY_NAME
from mcp import Client

from tests.records import record_of

pytestmark = pytest.mark.anyio
RUN_ID = "20260101-000000-prepare-abcdef"


@pytest.fixture
def running(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> ActiveRun:
    """A run whose worker is this very process, and that tells at once how far it is."""
    monkeypatch.setattr("faion_finetuner.core.runs.active.PROGRESS_EVERY_S", 0)
    folder = RunFolder(path=settings.roots[0] / "out" / index.RUNS / RUN_ID)
    folder.path.mkdir(parents=True)
    mode = BY_NAME["prepare"].mode
    assert mode is not None
    request = mode.request(data_path="rows.jsonl", output_dir=settings.roots[0] / "out")
    files.write_model(folder.record_path, record_of(mode, request, RUN_ID, "key"))
    index.add(index.Pointer(run_id=RUN_ID, run_dir=folder.path, mode="prepare", request_key="key"), settings)
    own = Process.of(os.getpid())
    assert own is not None
    files.write_model(folder.process_path, own)
    folder.write_status(RunStatus(status="running", launched_at=now()))
    return ActiveRun(folder, settings.roots[0] / "out")


async def test_every_stage_is_told_and_every_number_is_larger_than_the_last(settings: Settings, running: ActiveRun):
    def steps():
        yield lambda: running.stage("reading")
        yield lambda: running.progress(50, 100, "rows")
        yield lambda: running.stage("loading the model")
        yield lambda: running.stage("answering")
        yield lambda: running.progress(0, 8, "answers")  # counts anew, and has fewer to count
        yield from (lambda done=done: running.progress(done, 8, "answers") for done in (3, 7))
        yield lambda: running.folder.write_status(
            running.folder.status().model_copy(update={"status": "cancelled", "progress": None})
        )

    told, waiting = [], steps()

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))
        next(waiting)()

    next(waiting)()
    async with Client(build_server(settings)) as client:
        await client.call_tool("runs", {"action": "wait", "run_id": RUN_ID, "wait_s": 25}, progress_callback=heard)
    assert [message for _, _, message in told] == [
        "reading", "reading: 50 of 100 rows", "loading the model", "answering", "answering: 0 of 8 answers",
        "answering: 3 of 8 answers", "answering: 7 of 8 answers",
    ]  # fmt: skip
    numbers = [progress for progress, _, _ in told]
    assert numbers == sorted(set(numbers))
    assert all(total is None or progress <= total for progress, total, _ in told)
