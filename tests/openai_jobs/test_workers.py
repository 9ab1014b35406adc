"""Real workers, killed while they upload, create and watch: the next one goes on, and nothing is done twice."""

import os
import signal

import anyio
import pytest
from faion_finetuner.core.openai_jobs.mode import MODE
from faion_finetuner.core.openai_jobs.request import OpenAIRequest
from faion_finetuner.core.runs import launch, watch
from faion_finetuner.core.runs.record import RunFolder
from faion_finetuner.core.settings import Settings

from tests.openai_jobs.stand_in import KEY, Fault, StandIn
from tests.openai_jobs.support import chat, write

pytestmark = pytest.mark.anyio
LOOK = r"GET /v1/fine_tuning/jobs/[^/]+"


def start(settings: Settings) -> RunFolder:
    given = {"action": "start", "data_path": "train.jsonl", "model": "tiny-1", "max_cost_usd": 5}
    request = MODE.resolve(OpenAIRequest.model_validate(given), settings)
    return launch.start(MODE, given, request, settings)


async def kill_when_held(provider: StandIn, folder: RunFolder) -> None:
    """Wait until the provider holds a request, and kill the worker that sent it."""
    assert await anyio.to_thread.run_sync(provider.held.wait, 60)
    os.kill(folder.status().pid or 0, signal.SIGKILL)
    assert (await watch.wait(folder, 30)).status == "failed"
    provider.let_go()


async def test_a_run_whose_workers_are_killed_again_and_again_uploads_and_creates_once(
    settings: Settings, provider: StandIn
):
    path = write(settings, [chat(i) for i in range(30)])
    parts = -(-path.stat().st_size // 1000)
    provider.on_request = lambda request: (
        Fault("", "held") if len(provider.parts) == 3 and request.endswith("/parts") else None
    )
    folder = start(settings)
    await kill_when_held(provider, folder)  # in the fourth part

    provider.on_request = None
    provider.faults.append(Fault("POST /v1/fine_tuning/jobs", "held after"))
    launch.resume(folder, settings)
    await kill_when_held(provider, folder)  # the job is there, but nobody has told the worker

    provider.statuses = ("running", "succeeded")
    provider.faults.append(Fault(LOOK, "held"))
    launch.resume(folder, settings)
    await kill_when_held(provider, folder)  # while it watches

    again = start(settings)  # not resumed: asked for anew
    assert again.run_id != folder.run_id
    status = await watch.wait(again, 60)
    assert status.status == "succeeded", status.error
    assert list(provider.contents.values()) == [path.read_bytes()]
    assert (len(provider.parts), len(provider.uploads)) == (parts, 1)
    assert (len(provider.jobs), provider.counted("POST /v1/fine_tuning/jobs")) == (1, 1)
    assert not any(KEY.encode() in file.read_bytes() for file in settings.roots[0].rglob("*") if file.is_file())
