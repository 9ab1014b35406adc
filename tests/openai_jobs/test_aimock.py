"""The whole way against aimock, a stand-in that nobody here wrote, through a real server as a client starts it."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.settings import Settings
from mcp import Client, StdioServerParameters

from tests.openai_jobs.npm import program
from tests.openai_jobs.support import carry_out, chat, write

pytestmark = pytest.mark.anyio
KEY = "sk-aimock-0123456789abcdef"
ANSWERS = {"Two and two?": "Four.", "one word": "ready", "What follows": "7", "the right answer": "B"}
FIXTURES = [{"match": {"userMessage": asked}, "response": {"content": said}} for asked, said in ANSWERS.items()]
MODEL = "gpt-4.1-mini-2025-04-14"


@contextmanager
def aimock(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Iterator[None]:
    fixtures = folder / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    words = ["-h", "127.0.0.1", "-f", str(fixtures), *options]
    with program("llmock", lambda port: ["-p", port, *words], {"AIMOCK_API_KEYS": KEY}) as address:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield


async def call(client: Client, tool: str = "openai", **arguments: Any) -> dict[str, Any]:
    reply = await client.call_tool(tool, arguments)
    assert not reply.is_error, reply.content
    assert reply.structured_content is not None
    assert KEY not in json.dumps(reply.structured_content)
    return reply.structured_content


async def test_a_client_trains_a_hosted_model_talks_to_it_and_measures_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    write(settings, [chat(i) for i in range(12)])
    serve = ["-P", "-m", "faion_finetuner.server.command", "serve"]
    with aimock(tmp_path, monkeypatch):
        process = StdioServerParameters(
            command=sys.executable, args=serve, env=dict(os.environ), cwd=str(settings.roots[0])
        )
        async with Client(process) as client:
            asked = {"data_path": "train.jsonl", "model": MODEL, "suffix": "tone", "max_cost_usd": "unlimited"}
            done = await call(client, action="start", wait_s=25, **asked)
            assert done["status"] == "succeeded", done
            job = done["result"]["job"]
            assert job["finetuned_model"].startswith(f"ft:{MODEL}:aimock:tone:")
            assert next(event["message"] for event in done["result"]["events"]).startswith("Job created")
            again = await call(client, action="start", wait_s=25, **asked)
            assert again["run_id"] == done["run_id"]
            jobs = (await call(client, action="list"))["result"]["jobs"]
            assert [one["id"] for one in jobs] == [job["id"]]
            ended = await call(client, action="cancel", job_id=job["id"])
            assert "ended already" in ended["result"]["warnings"][0]
            reply = await call(client, action="chat", model=job["finetuned_model"], prompt="Two and two?")
            assert reply["result"]["reply"] == "Four."
            write(settings, [chat(i) for i in range(20, 30)], "held.jsonl")
            pair = {"model_name": f"openai:{MODEL}", "finetuned_path": f"openai:{job['finetuned_model']}"}
            found = await call(client, "evaluate", **pair, data_path="held.jsonl", output_dir="measured", wait_s=25)
            while found["status"] in ("queued", "running"):
                found = await call(client, "runs", action="wait", run_id=found["run_id"], wait_s=25)
            assert found["result"]["rows"] == 10
            assert found["result"]["perplexity"] is None
            assert found["result"]["generation_finetuned"]["answers"] == 10


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("fault", ["--chaos-drop", "--chaos-malformed", "--chaos-disconnect", "--chaos-ratelimit"])
async def test_one_job_comes_through_a_provider_that_fails_at_random(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
):
    write(settings, [chat(i) for i in range(12)])
    monkeypatch.setattr("faion_finetuner.core.models.hosted.faults.LONGEST_PAUSE_S", 0.01)
    with aimock(tmp_path, monkeypatch, fault, "0.15"):
        result = carry_out(settings, action="start", model=MODEL, max_cost_usd="unlimited")
    assert result.job is not None
    assert result.job.status == "succeeded"
