"""A run.json that somebody edited, or that came with a copied folder, has no more rights than a request."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from faion_finetuner.core.errors import PathError, RunNotFoundError, RunStateError
from faion_finetuner.core.runs import index, launch, queue, watch
from faion_finetuner.core.runs.record import RunFolder
from faion_finetuner.core.settings import Settings

from tests.probe_mode import MODE, ProbeRequest

pytestmark = pytest.mark.anyio


@pytest.fixture
async def failed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that may be resumed."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    request = MODE.resolve(ProbeRequest(output_dir=Path("out"), act="fail"), settings)
    folder = launch.start(MODE, {}, request, settings)
    assert (await watch.wait(folder, 60)).status == "failed"
    return folder


def edit(folder: RunFolder, **changes: object) -> None:
    record = json.loads(folder.record_path.read_bytes())
    record["resolved"] |= changes.pop("resolved", {})
    folder.record_path.write_text(json.dumps(record | changes))


async def test_a_resume_writes_nowhere_outside_the_roots(settings: Settings, failed: RunFolder, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    edit(failed, output_dir=str(outside), resolved={"output_dir": str(outside), "act": "count"})
    with pytest.raises(PathError, match="outside the folders"):
        launch.resume(failed, settings)
    assert list(outside.iterdir()) == []
    assert failed.status().attempt == 1


async def test_what_the_worker_is_told_follows_from_the_request_alone(
    settings: Settings, failed: RunFolder, tmp_path: Path
):
    edit(
        failed, output_dir=str(tmp_path / "outside"), run_id="../../outside", slot="../../outside",
        environment=["PYTHONPATH", "SECRET"], resolved={"act": "count"},
    )  # fmt: skip
    launch.resume(failed, settings)
    assert (await watch.wait(failed, 60)).status == "succeeded"
    assert (settings.roots[0] / "out" / "report.md").is_file()
    assert not (tmp_path / "outside").exists()
    record = failed.record()
    assert (record.run_id, record.slot, record.environment) == (failed.run_id, queue.slot_name(), ("PYTHONPATH",))


async def test_a_copied_run_is_not_carried_on_in_the_folder_that_it_was_copied_from(
    settings: Settings, failed: RunFolder
):
    original = failed.path.parent.parent
    shutil.copytree(original, original.with_name("copy"))
    copied = RunFolder(path=original.with_name("copy") / index.RUNS / failed.run_id)
    with pytest.raises(RunStateError, match="its folder lies in") as caught:
        launch.resume(copied, settings)
    assert f"output_dir '{original.with_name('copy')}'" in caught.value.next_step


@pytest.mark.parametrize("address", ["os:path", "no_such_module:MODE", "nothing", ":", ".core:MODE"])
async def test_what_is_no_mode_is_not_resumed(settings: Settings, failed: RunFolder, address: str):
    edit(failed, address=address)
    with pytest.raises(RunStateError, match="no run of this version"):
        launch.resume(failed, settings)


async def test_a_run_of_an_edited_address_imports_nothing(settings: Settings, failed: RunFolder):
    sys.modules.pop("this", None)  # a module of Python's own that writes to stdout, where the server speaks
    edit(failed, address="this:MODE")
    with pytest.raises(RunStateError, match="no run of this version"):
        launch.resume(failed, settings)
    assert "this" not in sys.modules


async def test_a_run_s_own_name_for_itself_writes_no_file_outside_the_index(
    settings: Settings, failed: RunFolder, tmp_path: Path
):
    edit(failed, run_id="../../outside")
    (settings.state_dir / "runs" / f"{failed.run_id}.json").unlink()
    with pytest.raises(RunNotFoundError):
        index.find("../../outside", settings)
    assert not (tmp_path / "outside.json").exists()
    assert index.find(failed.run_id, settings).path == failed.path


async def test_an_untouched_record_stays_as_it_is(settings: Settings, failed: RunFolder):
    before = failed.record_path.read_text()
    launch.resume(failed, settings)
    await watch.wait(failed, 60)
    assert failed.record_path.read_text() == before


@pytest.mark.parametrize("name", ["report.md", "log.txt", "status.json", "metrics.jsonl", "result.json"])
async def test_links_in_a_run_s_folder_lead_nowhere_outside_the_roots(
    settings: Settings, failed: RunFolder, tmp_path: Path, name: str
):
    secret, link = tmp_path / "secret.txt", failed.path / name
    secret.write_text("of somebody else")
    link.unlink(missing_ok=True)
    link.symlink_to(secret)
    with pytest.raises(RunNotFoundError, match="links that lead out"):
        index.find(failed.run_id, settings)
    assert list(index.pointers(settings)) == []
    link.unlink()
    inside = settings.roots[0] / "moved"
    inside.write_text("of this user")
    link.symlink_to(inside)
    assert index.find(failed.run_id, settings).path == failed.path
