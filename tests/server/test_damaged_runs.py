"""One damaged run hides no other: what a crash, a full disk or another version left behind is told as what it is."""

import json
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.settings import Settings
from faion_finetuner.server.app import build_server
from mcp import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def runs(settings: Settings) -> tuple[Path, Path]:
    """The folders of two finished runs."""
    rows = "".join(json.dumps({"prompt": f"Count to {n}.", "completion": str(n)}) + "\n" for n in range(20))
    (settings.roots[0] / "raw.jsonl").write_text(rows, encoding="utf-8")
    folders = []
    async with Client(build_server(settings)) as client:
        for output in ("a", "b"):
            reply = await client.call_tool("prepare", {"data_path": "raw.jsonl", "output_dir": output})
            folders.append(Path((reply.structured_content or {})["run_dir"]))
    return folders[0], folders[1]


async def ask(settings: Settings, **arguments: Any) -> dict[str, Any]:
    async with Client(build_server(settings)) as client:
        reply = await client.call_tool("runs", arguments)
    assert not reply.is_error, reply.content
    return (reply.structured_content or {})["result"]


@pytest.mark.parametrize("left", [b"", b'{"run_id": "from another version"}'])
async def test_a_run_that_cannot_be_read_is_listed_as_such(settings: Settings, runs: tuple[Path, Path], left: bytes):
    sound, damaged = runs
    (damaged / "run.json").write_bytes(left)
    found = {line["run_id"]: line for line in (await ask(settings, action="list"))["runs"]}
    assert found[sound.name]["status"] == "succeeded"
    assert found[damaged.name]["status"] == "failed"
    assert "run.json' cannot be read" in found[damaged.name]["headline"]


async def test_a_run_without_readable_status_is_no_end_of_the_resource(settings: Settings, runs: tuple[Path, Path]):
    for name in ("run.json", "status.json"):
        (runs[1] / name).write_bytes(b"")
    async with Client(build_server(settings)) as client:
        contents = (await client.read_resource("finetuner://runs")).contents[0]
    told = {run["run_id"]: run["status"] for run in json.loads(getattr(contents, "text", ""))}
    assert told == {runs[0].name: "succeeded", runs[1].name: "unreadable"}


async def test_a_damaged_note_of_the_process_is_that_of_a_dead_one(settings: Settings, runs: tuple[Path, Path]):
    status = json.loads((runs[1] / "status.json").read_text()) | {"status": "running"}
    (runs[1] / "status.json").write_text(json.dumps(status | {"launched_at": "2026-01-01T00:00:00Z"}))
    (runs[1] / "process.json").write_bytes(b"")
    found = {line["run_id"]: line["status"] for line in (await ask(settings, action="list"))["runs"]}
    assert found == {runs[0].name: "succeeded", runs[1].name: "failed"}  # begun in one second, they have no order


async def test_a_cut_line_of_metrics_costs_that_line_only(settings: Settings, runs: tuple[Path, Path]):
    (runs[0] / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "lo{"step": 3}\n{"step": 4}\n{"st')
    shown = (await ask(settings, action="metrics", run_id=runs[0].name))["metrics"]
    assert [line["step"] for line in shown] == [1, 4]
    compared = (await ask(settings, action="compare", run_ids=[run.name for run in runs]))["comparison"]
    assert compared[0]["last_metrics"] == {"step": 4}


async def test_a_run_of_a_mode_that_this_version_lacks_is_told_as_such(settings: Settings, runs: tuple[Path, Path]):
    path = runs[1] / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mode": "distil"}))
    async with Client(build_server(settings)) as client:
        for action in ("status", "wait", "judge"):
            reply = await client.call_tool("runs", {"action": action, "run_id": runs[1].name})
            assert reply.is_error
            assert "mode «distil», which this version" in str(reply.content), action
    assert len((await ask(settings, action="compare", run_ids=[run.name for run in runs]))["comparison"]) == 2
