"""A preparation that is killed or cancelled on its way leaves nothing half done, and can be resumed."""

import os
import signal

import anyio
import psutil
import pytest
from faion_finetuner.core.prepare.mode import MODE
from faion_finetuner.core.prepare.request import PrepareRequest
from faion_finetuner.core.runs import launch, watch
from faion_finetuner.core.runs.record import RunFolder
from faion_finetuner.core.settings import Settings

from .preparing import pairs, read_lines, write_rows

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
ROWS = 25_000


async def begun(settings: Settings) -> RunFolder:
    """A run in the middle of reading its rows, several processes at work."""
    data = write_rows(settings, "a.jsonl", pairs(ROWS))
    request = MODE.resolve(PrepareRequest(data_path=data, output_dir=settings.roots[0] / "out"), settings)
    folder = launch.start(MODE, {}, request, settings)
    while not ((progress := folder.status().progress) and progress.done > 1_000):
        assert folder.status().status in ("queued", "running")
        await anyio.sleep(0.01)
    return folder


def results(settings: Settings) -> set[str]:
    return {path.name for path in (settings.roots[0] / "out").iterdir()} - {".run"}


async def test_a_killed_preparation_takes_its_processes_along_and_is_whole_once_resumed(settings):
    folder = await begun(settings)
    worker = psutil.Process(folder.status().pid)
    children = worker.children(recursive=True)
    assert len(children) >= 1
    os.kill(worker.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert (await watch.wait(folder, 60)).status == "failed"
    assert results(settings) == set()
    launch.resume(folder, settings)
    assert (await watch.wait(folder, 90)).status == "succeeded"
    assert not (folder.path / "work").exists()
    output = settings.roots[0] / "out"
    assert len(read_lines(output / "train.jsonl")) + len(read_lines(output / "valid.jsonl")) == ROWS


async def test_a_cancelled_preparation_writes_nothing_and_cleans_up(settings):
    folder = await begun(settings)
    await watch.cancel(folder, 0)
    assert (await watch.wait(folder, 60)).status == "cancelled"
    assert results(settings) <= {"report.md", "report.html"}
    assert not (folder.path / "work").exists()


async def test_progress_tells_rows_speed_and_an_end(settings):
    folder = await begun(settings)
    progress = folder.status().progress
    assert progress is not None
    assert progress.unit == "rows"
    assert progress.total == pytest.approx(ROWS, rel=0.1)
    assert "rows/s" in progress.message
    assert (await watch.wait(folder, 90)).status == "succeeded"
