"""Runs: one request is one run, the folder tells the truth, workers survive, stop and go on."""

import errno
import json
import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from faion_finetuner.core import files
from faion_finetuner.core.errors import OutputExistsError, PathError, RunNotFoundError, RunStateError
from faion_finetuner.core.runs import index, launch, watch
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings

from tests.probe_mode import MODE, ProbeRequest

pytestmark = pytest.mark.anyio
REPO = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def probe_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPO))


@pytest.fixture
def begun(settings: Settings) -> Path:
    """A named pipe through which a held run tells that it has begun."""
    path = settings.roots[0] / "begun"
    os.mkfifo(path)
    return path


def start(settings: Settings, output: str = "out", **arguments) -> RunFolder:
    request = ProbeRequest(output_dir=Path(output), **arguments)
    return launch.start(MODE, arguments, MODE.resolve(request, settings), settings)


async def end_of(folder: RunFolder) -> RunStatus:
    return await watch.wait(folder, 60)


async def test_a_run_leaves_its_result_and_exactly_these_files(settings: Settings):
    folder = start(settings)
    status = await end_of(folder)
    assert (status.status, status.headline, status.error) == ("succeeded", "counted 3", None)
    output = settings.roots[0] / "out"
    assert {path.name for path in output.iterdir()} == {".run", "counted.txt", "report.md", "report.html"}
    expected = {
        "run.json",
        "status.json",
        "process.json",
        "metrics.jsonl",
        "log.txt",
        "result.json",
        "report.md",
        "report.html",
    }
    assert {path.name for path in folder.path.iterdir()} == expected
    metrics = [json.loads(line) for line in folder.metrics_path.read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in metrics] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert "Counted 3." in (output / "report.md").read_text()


async def test_the_same_request_twice_is_one_run_until_rerun_forces_another(settings: Settings):
    first = start(settings)
    assert start(settings).run_id == first.run_id  # still going
    await end_of(first)
    assert start(settings).run_id == first.run_id  # done
    assert start(settings, rerun=True, overwrite=True).run_id != first.run_id


async def test_changed_input_data_is_another_run(settings: Settings):
    data = settings.roots[0] / "rows.jsonl"
    data.write_text("{}\n", encoding="utf-8")
    first = start(settings, data_path=data)
    await end_of(first)
    data.write_text("{}\n{}\n", encoding="utf-8")
    assert start(settings, data_path=data, overwrite=True).run_id != first.run_id


async def test_nothing_is_overwritten_unless_asked(settings: Settings):
    output = settings.roots[0] / "out"
    output.mkdir()
    (output / "counted.txt").write_text("mine", encoding="utf-8")
    (output / "report.md").write_text("mine too", encoding="utf-8")
    with pytest.raises(OutputExistsError, match=r"counted\.txt"):
        start(settings)
    assert (await end_of(start(settings, overwrite=True))).status == "succeeded"
    assert (output / "counted.txt").read_text() == "3"
    assert (output / "report.md").read_text() == "mine too"  # no run wrote it, so no run replaces it


async def test_a_dry_run_writes_nothing_into_output_dir(settings: Settings):
    folder = start(settings, dry_run=True)
    assert (await end_of(folder)).status == "succeeded"
    assert list(settings.roots[0].iterdir()) == []
    assert index.find(folder.run_id, settings).path == folder.path


async def test_a_deliberate_error_ends_as_failed_with_problem_and_next_step(settings: Settings):
    status = await end_of(start(settings, act="fail"))
    assert status.status == "failed"
    assert status.error is not None
    assert (status.error.code, status.error.problem) == ("invalid_data", "Row 3 has no answer.")


async def test_an_unexpected_error_ends_as_failed_and_its_traceback_is_in_the_log(settings: Settings):
    folder = start(settings, act="crash")
    status = await end_of(folder)
    assert status.error is not None
    assert status.error.code == "internal"
    assert any("ZeroDivisionError" in line for line in folder.log_tail(20))


async def test_a_full_disk_is_no_defect(settings: Settings):
    status = await end_of(start(settings, act="fill"))
    assert status.error is not None
    assert status.error.code == "not_writable"
    assert "rows.jsonl' could not be written: No space left on device" in status.error.problem
    assert "Free some space" in status.error.next_step


async def test_a_worker_that_died_is_reported_even_when_that_cannot_be_written(
    settings: Settings, begun: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = start(settings, act="hold")
    begun.read_text(encoding="utf-8")
    monkeypatch.setattr(RunFolder, "write_status", full)
    os.kill(folder.status().pid or 0, signal.SIGKILL)
    assert (await end_of(folder)).status == "failed"


async def test_a_killed_worker_is_reported_with_its_last_log_lines_and_takes_its_children_along(
    settings: Settings, begun: Path
):
    folder = start(settings, act="hold")
    begun.read_text(encoding="utf-8")
    child = int((folder.path / "child.pid").read_text())
    pid = folder.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    status = await end_of(folder)
    assert status.status == "failed"
    assert status.error is not None
    assert status.error.code == "worker_died"
    assert "holding" in status.error.problem
    assert "resume" in status.error.next_step
    psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=10)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


async def test_a_killed_run_can_be_resumed_in_the_same_folder(settings: Settings, begun: Path):
    folder = start(settings, act="hold")
    begun.read_text(encoding="utf-8")
    os.kill(folder.status().pid or 0, signal.SIGKILL)
    await end_of(folder)
    record = folder.record()  # this time the work can be done
    folder.record_path.write_text(
        record.model_copy(update={"resolved": record.resolved | {"act": "count"}}).model_dump_json(), encoding="utf-8"
    )
    launch.resume(folder, settings)
    status = await end_of(folder)
    assert (status.status, status.attempt) == ("succeeded", 2)
    assert json.loads(folder.result_path.read_text())["resumed"] is True


async def test_a_run_whose_start_was_cut_off_between_its_files_is_reported_and_can_be_resumed(settings: Settings):
    folder = start(settings)
    await end_of(folder)
    record = folder.record()
    for path in (folder.status_path, folder.process_path):
        path.unlink()
    assert watch.observe(folder).status == "queued"  # another server may be about to start it
    files.write_model(folder.record_path, record.model_copy(update={"created_at": now() - timedelta(minutes=1)}))
    status = watch.observe(folder)
    assert (status.status, status.error and status.error.code) == ("failed", "worker_died")
    launch.resume(folder, settings)
    assert (await end_of(folder)).status == "succeeded"


async def test_cancelling_stops_at_a_checkpoint(settings: Settings, begun: Path):
    folder = start(settings, act="work")
    begun.read_text(encoding="utf-8")
    status = await watch.cancel(folder, 15)
    assert status.status == "cancelled"
    assert (folder.path / "checkpoint").read_text() == "saved"
    with pytest.raises(RunStateError, match="ended already"):
        await watch.cancel(folder, 1)


async def test_cancelling_a_run_that_does_not_listen_ends_its_whole_process_tree(settings: Settings, begun: Path):
    folder = start(settings.model_copy(update={"stop_grace_s": 0.2}), act="hold")
    begun.read_text(encoding="utf-8")
    child = psutil.Process(int((folder.path / "child.pid").read_text()))
    status = await watch.cancel(folder, 60)
    assert status.status == "cancelled"
    _, alive = psutil.wait_procs([child], timeout=10)
    assert not alive


async def test_a_running_worker_is_known_again_when_the_clock_was_set(
    settings: Settings, begun: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = start(settings, act="work")
    begun.read_text(encoding="utf-8")
    boot_time = psutil.boot_time()
    with monkeypatch.context() as later:  # another process, which reads another clock
        later.setattr(watch, "_children", [])
        platform = psutil._psplatform  # pyright: ignore[reportAttributeAccessIssue]
        later.setattr(platform, "boot_time", lambda: boot_time + 3600)
        assert watch.observe(folder).status == "running"
    assert (await watch.cancel(folder, 15)).status == "cancelled"


async def test_a_run_is_not_resumed_beside_another_one_in_its_folder(settings: Settings, begun: Path):
    cut_off = start(settings, act="work")
    begun.read_text(encoding="utf-8")
    await watch.cancel(cut_off, 15)
    other = start(settings, act="work", seed=7)
    begun.read_text(encoding="utf-8")
    with pytest.raises(RunStateError, match=other.run_id):
        launch.resume(cut_off, settings)
    await watch.cancel(other, 15)


async def test_on_a_full_disk_a_run_can_be_stopped_and_a_resume_says_what_is_full(
    settings: Settings, begun: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    folder = start(settings, act="work")
    begun.read_text(encoding="utf-8")
    with monkeypatch.context() as disk:
        disk.setattr(files, "write_text", full)
        assert (await watch.cancel(folder, 15)).status == "cancelled"
        with pytest.raises(PathError, match=r"status\.json' cannot be written: No space left"):
            launch.resume(folder, settings)


async def test_a_state_folder_that_cannot_be_written_is_named_with_its_variable(settings: Settings):
    (settings.roots[0] / "file").write_text("", encoding="utf-8")
    lost = settings.model_copy(update={"state_dir": settings.roots[0] / "file" / "state"})
    for ask in (lambda: start(lost), lambda: index.find("any", lost)):
        with pytest.raises(PathError, match=r"file/state.*cannot be written") as told:
            ask()
        assert "FAION_FINETUNER_STATE" in told.value.next_step


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_that_cannot_be_noted_leaves_nothing_and_names_the_full_folder(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, dry_run: bool
):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PathError, match="No space left") as told:
        start(settings, dry_run=dry_run)
    assert ("FAION_FINETUNER_STATE" in told.value.next_step) == dry_run
    left = [*settings.roots[0].rglob("*-probe-*"), *(settings.state_dir / "dry-runs").glob("*")]
    assert left == []


async def test_a_finished_run_cannot_be_resumed(settings: Settings):
    folder = start(settings)
    await end_of(folder)
    with pytest.raises(RunStateError, match="succeeded"):
        launch.resume(folder, settings)


async def test_work_on_the_same_accelerator_queues_in_order(settings: Settings, begun: Path):
    first = start(settings, "first", act="work")
    begun.read_text(encoding="utf-8")
    second = start(settings, "second")
    third = start(settings, "third")
    assert (await watch.wait(second, 1.5)).status == "queued"
    assert (await watch.cancel(third, 15)).status == "cancelled"  # a queued run leaves the queue at once
    await watch.cancel(first, 15)
    assert (await end_of(second)).status == "succeeded"


async def test_two_runs_do_not_write_into_one_folder_at_once(settings: Settings, begun: Path):
    folder = start(settings, act="work")
    begun.read_text(encoding="utf-8")
    with pytest.raises(RunStateError, match=folder.run_id):
        start(settings)
    await watch.cancel(folder, 15)


async def test_the_index_is_rebuilt_from_the_folders(settings: Settings):
    folder = start(settings)
    await end_of(folder)
    for path in (settings.state_dir / "runs").iterdir():
        path.unlink()
    assert index.find(folder.run_id, settings).path == folder.path


def test_an_unknown_run_is_named_as_unknown(settings: Settings):
    with pytest.raises(RunNotFoundError, match="no-such-run"):
        index.find("no-such-run", settings)


async def test_a_worker_sees_only_the_environment_that_it_needs(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PROBE_SECRET", "s3cret")
    folder = start(settings)
    await end_of(folder)
    assert json.loads(folder.result_path.read_text())["seen"] == launch.MODEL_DEFAULTS


async def test_the_user_s_word_on_memory_counts_and_nothing_is_said_to_runs_without_models(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "0")
    asked = start(settings)
    await end_of(asked)
    seen = json.loads(asked.result_path.read_text())["seen"]
    assert seen == launch.MODEL_DEFAULTS | {"MALLOC_TRIM_THRESHOLD_": "0"}
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    mode = replace(MODE, uses_accelerator=lambda _: False)
    request = mode.resolve(ProbeRequest(output_dir=Path("another")), settings)
    without = launch.start(mode, {}, request, settings)
    await end_of(without)
    assert json.loads(without.result_path.read_text())["seen"] == {}
