"""The server as a client starts it: a process on stdio, that may be killed at any time, and so may its workers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from faion_finetuner.core.runs.record import RunFolder
from faion_finetuner.core.settings import Settings
from mcp import Client, StdioServerParameters

from tests.tiny import tiny_model, tiny_rows

pytestmark = pytest.mark.anyio
SERVE = ["-P", "-m", "faion_finetuner.server.command", "serve"]
STEPS, SAVE_EVERY = 60, 10


def server(settings: Settings) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=SERVE, env=dict(os.environ), cwd=str(settings.roots[0]))


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    reply = await client.call_tool(tool, arguments)
    assert not reply.is_error, reply.content
    assert reply.structured_content is not None
    return reply.structured_content


async def ended(client: Client, run_id: str) -> dict[str, Any]:
    while (reply := await call(client, "runs", action="wait", run_id=run_id))["status"] in ("queued", "running"):
        pass
    return reply


@pytest.fixture
def training(settings: Settings) -> dict[str, Any]:
    """Arguments of a training on a tiny model that takes long enough to be interrupted."""
    data = settings.roots[0] / "data"
    data.mkdir()
    for name, count, seed in (("train", 64, 0), ("valid", 8, 1)):
        lines = [json.dumps(row) + "\n" for row in tiny_rows(count, seed)]
        (data / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    numbers = {"max_steps": STEPS, "batch_size": 4, "gradient_accumulation": 1, "save_steps": SAVE_EVERY}
    return {
        "data_path": "data",
        "model_name": str(tiny_model(settings.roots[0] / "tiny")),
        "output_dir": "tuned",
        "wait_s": 0,
        "hyperparameters": numbers | {"logging_steps": 1, "early_stopping_patience": 0},
    }


async def test_both_contents_of_a_reply_carry_the_facts(settings: Settings):
    rows = [{"question": f"What is {n} plus {n}?", "answer": f"It is {2 * n}."} for n in range(30)]
    (settings.roots[0] / "raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    async with Client(server(settings)) as client:
        reply = await client.call_tool("prepare", {"data_path": "raw.jsonl", "output_dir": "out", "dedup": "exact"})
    text = getattr(reply.content[0], "text", "")
    structured = reply.structured_content or {}
    assert structured["result"]["total_examples"] == 30
    assert "| Total Examples | 30 |" in text
    assert '"total_examples": 30' in text
    assert "| Total Examples | 30 |" in structured["report_markdown"]
    assert structured["run_id"] in text


async def test_a_killed_server_leaves_its_training_to_the_next_server(settings: Settings, training: dict[str, Any]):
    async with Client(server(settings)) as client:
        started = await call(client, "train", **training)
        living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
        servers = [child for child in living if "serve" in child.cmdline()]
        assert len(servers) == 1
        servers[0].send_signal(signal.SIGKILL)
        psutil.wait_procs(servers, timeout=10)
    async with Client(server(settings)) as client:
        listed = await call(client, "runs", action="list")
        assert [run["run_id"] for run in listed["result"]["runs"]] == [started["run_id"]]
        reply = await ended(client, started["run_id"])
    assert reply["status"] == "succeeded"
    assert (settings.roots[0] / "tuned" / "adapter" / "adapter_model.safetensors").is_file()


async def test_a_killed_training_is_reported_and_resumes_from_its_last_checkpoint(
    settings: Settings, training: dict[str, Any]
):
    async with Client(server(settings)) as client:
        run_id = (await call(client, "train", **training))["run_id"]
        folder = RunFolder(path=settings.roots[0] / "tuned" / ".run" / run_id)
        checkpoints = settings.roots[0] / "tuned" / "checkpoints"
        while not any((path / "trainer_state.json").is_file() for path in checkpoints.glob("checkpoint-*")):
            reply = await call(client, "runs", action="wait", run_id=run_id, wait_s=0.2)
            assert reply["status"] in ("queued", "running"), reply
        os.kill(folder.status().pid or 0, signal.SIGKILL)
        reply = await ended(client, run_id)
        assert (reply["status"], reply["error"]["code"]) == ("failed", "worker_died")
        assert "Last lines of its log" in reply["error"]["problem"]
        await call(client, "runs", action="resume", run_id=run_id, wait_s=0)
        reply = await ended(client, run_id)
    assert reply["status"] == "succeeded"
    resumed = next(check for check in reply["result"]["checks"] if check["name"] == "Resumed")
    assert "checkpoint-" in resumed["details"]
    assert max(line["step"] for line in reply["result"]["metrics"]) == STEPS


async def test_a_cancelled_training_is_gone_and_leaves_a_checkpoint(settings: Settings, training: dict[str, Any]):
    async with Client(server(settings)) as client:
        run_id = (await call(client, "train", **training))["run_id"]
        folder = RunFolder(path=settings.roots[0] / "tuned" / ".run" / run_id)
        while not folder.metrics_path.exists():
            await call(client, "runs", action="wait", run_id=run_id, wait_s=0.2)
        reply = await call(client, "runs", action="cancel", run_id=run_id, wait_s=25)
    assert reply["status"] == "cancelled"
    assert not psutil.pid_exists(folder.status().pid or 0)
    assert any((settings.roots[0] / "tuned" / "checkpoints").glob("checkpoint-*/adapter_model.safetensors"))
    assert reply["next_steps"][0]["arguments"] == {"action": "resume", "run_id": run_id}


def test_the_server_ends_when_its_client_closes_the_input(settings: Settings):
    command = [sys.executable, *SERVE]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=settings.roots[0],
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout == b""


def test_the_command_ends_with_the_code_and_the_words_of_what_it_carried_out(settings: Settings):
    command = [Path(sys.executable).with_name("faion-finetuner"), "runs", "--action", "report", "--run-id", "none"]
    done = subprocess.run(command, cwd=settings.roots[0], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")


def test_a_file_of_the_user_does_not_shadow_a_library(settings: Settings):
    (settings.roots[0] / "pydantic.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    done = subprocess.run(
        [Path(sys.executable).with_name("faion-finetuner"), "--version"],
        cwd=settings.roots[0],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0.1.0"
