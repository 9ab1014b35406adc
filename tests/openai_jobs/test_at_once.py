"""What the provider answers at once, through the tool, without a run."""

from typing import Any

import pytest
from faion_finetuner.core.errors import InputError, RemoteError
from faion_finetuner.core.openai_jobs.request import OpenAIRequest
from faion_finetuner.core.settings import Settings
from faion_finetuner.tools.openai import TOOL
from faion_finetuner.tools.spec import Caller

from tests.openai_jobs.stand_in import KEY, Fault, StandIn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("hurried")]


@pytest.fixture
def job(provider: StandIn) -> str:
    """A job that runs."""
    provider.statuses = ("running",)
    made = {"id": "ftjob-1", "object": "fine_tuning.job", "created_at": 1, "model": "tiny-1", "status": "running"}
    provider.jobs.append(made | {"training_file": "file-1", "estimated_finish": 1_800_000_000})
    return "ftjob-1"


async def ask(settings: Settings, **given: Any) -> Any:
    reply = await TOOL.call(OpenAIRequest.model_validate(given), Caller(settings, given))
    assert (reply.status, reply.run_id, reply.run_dir) == ("succeeded", None, None)
    return reply


async def test_status_tells_of_a_job_and_its_end(settings: Settings, job: str):
    reply = await ask(settings, action="status", job_id=job)
    assert (reply.result.job.status, reply.result.job.finishes_at.year) == ("running", 2027)
    assert "Job ftjob-1 is «running»." in reply.report_markdown
    assert not (settings.roots[0] / "openai").exists()


async def test_events_come_newest_last_and_lists_page_on(settings: Settings, provider: StandIn, job: str):
    provider.looks = 5
    reply = await ask(settings, action="events", job_id=job)
    assert [event.id for event in reply.result.events] == ["e1", "e2"]
    assert [job.id for job in (await ask(settings, action="list")).result.jobs] == ["ftjob-1"]


async def test_a_further_page_is_asked_for_by_the_cursor(settings: Settings, provider: StandIn, job: str):
    provider.always = (200, {"object": "list", "data": provider.jobs, "has_more": True})
    first = (await ask(settings, action="list")).result
    assert first.next_cursor == "ftjob-1"
    assert first.jobs[0].id == "ftjob-1"
    provider.always = (200, {"object": "list", "data": [], "has_more": False})
    assert (await ask(settings, action="list", cursor=first.next_cursor)).result.next_cursor is None


@pytest.mark.parametrize(("action", "status"), [("cancel", "cancelled"), ("pause", "paused"), ("resume", "queued")])
async def test_jobs_are_cancelled_paused_and_resumed(
    settings: Settings, provider: StandIn, job: str, action: str, status: str
):
    unchanged = await ask(settings, action=action, job_id=job, dry_run=True)
    assert unchanged.result.warnings == (f"Dry run: {action} was not sent.",)
    assert provider.counted(r"POST .*") == 0
    assert (await ask(settings, action=action, job_id=job)).result.job.status == status


async def test_an_ended_job_is_not_cancelled(settings: Settings, provider: StandIn, job: str):
    provider.statuses = ("succeeded",)
    reply = await ask(settings, action="cancel", job_id=job)
    assert reply.result.warnings == ("The job has ended already: succeeded.",)
    assert provider.counted(r"POST .*") == 0
    assert [step.tool for step in reply.next_steps] == ["evaluate", "openai"]


async def test_checkpoints_are_models_with_their_metrics(settings: Settings, job: str):
    one = (await ask(settings, action="checkpoints", job_id=job)).result.checkpoints[0]
    assert (one.model, one.step, one.metrics) == ("ft:m:acme::1:ckpt-step-2", 2, {"train_loss": 2.0})


async def test_chat_asks_any_hosted_model_and_fences_its_answer(settings: Settings, provider: StandIn):
    reply = await ask(settings, action="chat", model="ft:tiny-1:acme::1", prompt="Two and two?")
    assert reply.result.reply == "Four."
    assert "```text\nFour.\n```" in reply.report_markdown
    assert provider.bodies[0]["messages"] == [{"role": "user", "content": "Two and two?"}]


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{"message": None}]}, {"choices": "x"}, [1]])
async def test_a_malformed_answer_is_an_error_and_no_crash(settings: Settings, provider: StandIn, answer: Any):
    provider.always = (200, answer)
    with pytest.raises(RemoteError):
        await ask(settings, action="chat", model="m", prompt="?")
    for action in ("list", "status", "events", "checkpoints"):
        with pytest.raises(RemoteError):
            await ask(settings, action=action, job_id="ftjob-1")


async def test_passing_faults_are_tried_once_more_and_then_told(settings: Settings, provider: StandIn, job: str):
    provider.faults.append(Fault("GET .*", 503))
    await ask(settings, action="status", job_id=job)
    provider.faults += [Fault("GET .*", "cut"), Fault("GET .*", "cut")]
    with pytest.raises(RemoteError, match="cannot be reached, or the connection was cut"):
        await ask(settings, action="status", job_id=job)


async def test_an_answer_that_does_not_come_is_waited_for_only_so_long(
    settings: Settings, provider: StandIn, job: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("faion_finetuner.core.openai_jobs.at_once.ANSWER_WITHIN_S", 0.2)
    provider.faults += [Fault("GET .*", "held"), Fault("GET .*", "held")]
    with pytest.raises(RemoteError, match="did not answer in time"):
        await ask(settings, action="status", job_id=job)
    assert provider.counted("GET .*") == 2


async def test_what_is_missing_is_named_with_the_action(settings: Settings, provider: StandIn):
    for given, words in (
        ({"action": "status"}, "status needs job_id"),
        ({"action": "chat", "model": "m"}, "chat needs prompt"),
        ({"action": "chat", "prompt": "?"}, "chat needs model"),
    ):
        with pytest.raises(InputError, match=words):
            await ask(settings, **given)
    assert provider.requests == []


async def test_an_unknown_job_and_a_key_in_the_provider_s_own_words_do_no_harm(settings: Settings, provider: StandIn):
    with pytest.raises(RemoteError, match="does not have this"):
        await ask(settings, action="status", job_id="ftjob-404")
    for shown in (KEY, f"{KEY[:7]}*****{KEY[-4:]}"):
        provider.faults.append(Fault("GET .*", 401, {"message": f"Incorrect API key provided: {shown}"}))
        with pytest.raises(RemoteError) as caught:
            await ask(settings, action="list")
        assert KEY[:7] not in str(caught.value)
        assert "[key]" in caught.value.problem
