"""A hosted training: what is said before, what is sent once, what is followed to its end and kept."""

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from faion_finetuner.core.errors import Cancelled, DataError, FinetunerError, InputError, RemoteError, RunStateError
from faion_finetuner.core.openai_jobs import job
from faion_finetuner.core.openai_jobs.answers import read_job
from faion_finetuner.core.openai_jobs.mode import MODE
from faion_finetuner.core.openai_jobs.pace import expected_seconds
from faion_finetuner.core.openai_jobs.report import report
from faion_finetuner.core.openai_jobs.request import OpenAIRequest, environment, resolve
from faion_finetuner.core.openai_jobs.result import OpenAIResult
from faion_finetuner.core.runs.index import rebuild
from faion_finetuner.core.runs.launch import request_key
from faion_finetuner.core.settings import Settings

from tests.openai_jobs.stand_in import KEY, Fault, StandIn
from tests.openai_jobs.support import begun, carry_out, chat, check_of, failing, write

pytestmark = pytest.mark.usefixtures("hurried")
CREATE, FILES, PARTS = "POST /v1/fine_tuning/jobs", "POST /v1/files", r"POST /v1/uploads/[^/]+/parts"
LOOK = r"GET /v1/fine_tuning/jobs/[^/]+"
SECRET = "The key is AKIA" + "Z7Q4WXTR5B2NJ6KD."


def start(settings: Settings, **arguments: Any) -> OpenAIResult:
    return carry_out(settings, **({"action": "start", "model": "tiny-1", "max_cost_usd": 5} | arguments))


def few(settings: Settings, rows: int = 10, **extra: Any) -> Path:
    """A file that is small enough to go in one request."""
    return write(settings, ({"messages": [{"role": "user", "content": str(i)}, ANSWER]} | extra for i in range(rows)))


ANSWER = {"role": "assistant", "content": "Yes."}


def test_a_start_uploads_once_creates_one_job_and_brings_its_model_home(settings: Settings, provider: StandIn):
    few(settings)
    write(settings, [chat(99)], "held.jsonl")
    result = start(settings, validation_path="held.jsonl", suffix="acme", hyperparameters={"epochs": 2})
    assert result.job is not None
    assert (result.job.id, result.job.status, result.job.trained_tokens) == ("ftjob-1", "succeeded", 4000)
    assert [file["filename"].split("-")[-1] for file in provider.files.values()] == ["train.jsonl", "valid.jsonl"]
    assert provider.contents["file-1"] == (settings.roots[0] / "train.jsonl").read_bytes()
    asked = provider.bodies[0]
    assert (asked["training_file"], asked["validation_file"], asked["suffix"]) == ("file-1", "file-2", "acme")
    assert asked["method"] == {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}
    assert asked["metadata"]["request_id"] == "20260101-000000-openai-test"
    assert provider.counted(CREATE) == 1
    assert result.cost_usd == pytest.approx(4000 * 10 / 1e6)
    tuned = json.loads((settings.roots[0] / "openai" / "tuned_model.json").read_text())
    assert (tuned["name"], tuned["input_usd"], tuned["output_usd"]) == ("ft:tiny-1:acme::1", 1.0, 2.0)
    assert tuned["call"].startswith(f"curl {provider.url}/chat/completions")
    assert "$OPENAI_API_KEY" in tuned["call"]


def test_how_long_a_job_may_take_is_learned_from_those_that_ended_here(settings: Settings, provider: StandIn):
    def expected() -> OpenAIResult:
        return carry_out(settings, action="estimate", model="tiny-1", hyperparameters={"epochs": 2}, run_id="estimate")

    few(settings)
    before = expected()
    assert before.estimate is not None
    assert before.estimate.seconds is None
    assert "an unknown time (no job of this provider has ended here yet" in report(before).markdown
    assert report(before).markdown.count("| Time |") == 1
    start(settings)
    rebuild(settings)
    after = expected()
    assert after.estimate is not None
    assert after.estimate.tokens is not None
    assert after.estimate.seconds == pytest.approx(after.estimate.tokens * 2 * 600 / 4000)
    assert "one earlier job at 127.0.0.1" in after.estimate.seconds_basis
    assert "150,000 seconds a million tokens" in report(after).markdown
    assert expected_seconds("another.example", 1_000, settings)[0] is None


def test_no_earlier_run_is_read_for_a_job_that_does_not_go_by_tokens(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    def read(settings: Settings) -> NoReturn:
        raise AssertionError("earlier runs were read")

    monkeypatch.setattr("faion_finetuner.core.openai_jobs.pace.index.pointers", read)
    assert expected_seconds("api.example", None, settings) == (None, "such jobs do not go by tokens")


def test_events_result_files_and_the_curve_are_kept(settings: Settings, provider: StandIn):
    few(settings)
    result = start(settings)
    folder = settings.roots[0] / ".run" / "20260101-000000-openai-test"
    assert [event.message for event in result.events] == ["Job created", "Step 1/3"]
    assert [(m.step, m.train_loss, m.val_loss) for m in result.metrics] == [
        (1, 2.5, None),
        (2, 2.0, 2.2),
        (3, 1.5, None),
    ]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert Path(result.result_files[0]).read_text().startswith("step,train_loss")
    made = report(result)
    assert made.headline == "Job ftjob-1 succeeded: ft:tiny-1:acme::1 is ready for about $0.04."
    assert "shuts «tiny-1» down on «2027-01-14»" in made.markdown
    pytest.importorskip("matplotlib")
    assert made.figures[0].image.startswith(b"\x89PNG")


def test_a_dry_run_says_what_would_leave_and_talks_to_nobody(
    settings: Settings, provider: StandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OPENAI_API_KEY")
    path = write(settings, [chat(i) for i in range(9)] + [{"messages": [{"role": "user", "content": SECRET}, ANSWER]}])
    result = start(settings, dry_run=True, max_cost_usd=None)
    assert result.leaving is not None
    assert (result.leaving.rows, result.leaving.size_bytes) == (10, path.stat().st_size)
    assert result.leaving.to == provider.url.split("/")[2]
    assert result.leaving.secrets == {"api_key": 1}
    assert check_of(result, "Secrets").status == "warn"
    assert "| Secrets | 1 api_key |" in report(result).markdown
    assert provider.requests == []


@pytest.mark.parametrize(
    ("limit", "model", "words"),
    [(1e-6, "tiny-1", r"Nothing was sent. Cost: about \$0.01"), (5, "other-1", "unknown amount")],
)
def test_a_cost_above_the_limit_or_unknown_is_refused_before_anything_leaves(
    settings: Settings, provider: StandIn, limit: float, model: str, words: str
):
    few(settings)
    with pytest.raises(InputError, match=words):
        start(settings, model=model, max_cost_usd=limit)
    assert provider.requests == []


def test_unlimited_is_the_word_that_allows_an_unknown_cost(settings: Settings, provider: StandIn):
    few(settings)
    assert start(settings, model="other-1", max_cost_usd="unlimited").job is not None


def test_data_that_would_be_refused_does_not_leave(settings: Settings, provider: StandIn):
    few(settings, note="private")
    with pytest.raises(DataError, match="Line Keys"):
        start(settings)
    assert provider.requests == []


def test_a_start_without_a_limit_or_a_key_is_refused_at_once(settings: Settings):
    few(settings)
    request = OpenAIRequest.model_validate({"action": "start", "data_path": "train.jsonl", "model": "tiny-1"})
    with pytest.raises(InputError) as caught:
        resolve(request, settings)
    assert "max_cost_usd" in caught.value.problem
    assert "OPENAI_API_KEY" in caught.value.problem


def test_only_a_worker_that_talks_to_the_provider_gets_the_key():
    for action, dry_run, gets_it in (("check", False, False), ("start", True, False), ("start", False, True)):
        request = OpenAIRequest.model_validate({"action": action, "dry_run": dry_run})
        assert ("OPENAI_API_KEY" in environment(request)) is gets_it


def test_a_large_file_goes_in_parts_and_a_cut_one_is_sent_again(settings: Settings, provider: StandIn):
    path = write(settings, [chat(i) for i in range(30)])
    provider.faults += [Fault(PARTS, "cut"), Fault(PARTS, 500)]
    start(settings)
    assert list(provider.contents.values()) == [path.read_bytes()]
    assert len(provider.parts) == -(-path.stat().st_size // 1000)
    assert provider.counted(PARTS) == len(provider.parts) + 2


def test_a_resumed_upload_sends_only_the_parts_that_are_missing(settings: Settings, provider: StandIn):
    path = write(settings, [chat(i) for i in range(30)])
    interrupt_after(provider, parts=2)
    with pytest.raises(RemoteError, match="refused the key"):
        start(settings)
    assert len(provider.parts) == 2
    start(settings)
    assert list(provider.contents.values()) == [path.read_bytes()]
    assert len(provider.parts) == -(-path.stat().st_size // 1000)
    assert len(provider.uploads) == 1


def interrupt_after(provider: StandIn, parts: int) -> None:
    """Refuse the part after so many, once."""

    def refuse(request: str) -> Fault | None:
        if len(provider.parts) == parts and request.endswith("/parts"):
            provider.on_request = None
            return Fault("", 401)
        return None

    provider.on_request = refuse


def test_a_key_that_is_refused_again_costs_no_part_that_has_arrived(settings: Settings, provider: StandIn):
    write(settings, [chat(i) for i in range(30)])
    for parts in (2, 2):
        interrupt_after(provider, parts=parts)
        with pytest.raises(RemoteError, match="refused the key"):
            start(settings)
    start(settings)
    assert (len(provider.uploads), len(provider.files)) == (1, 1)


def test_data_that_changed_before_the_job_was_made_is_uploaded_anew(settings: Settings, provider: StandIn):
    few(settings)
    provider.faults.append(Fault(CREATE, 403))
    with pytest.raises(RemoteError):
        start(settings)
    path = write(settings, [{"messages": [{"role": "user", "content": str(9 - i)}, ANSWER]} for i in range(10)])
    start(settings)
    assert provider.contents[provider.bodies[0]["training_file"]] == path.read_bytes()


def test_an_upload_that_expired_meanwhile_begins_anew(settings: Settings, provider: StandIn):
    write(settings, [chat(i) for i in range(30)])
    interrupt_after(provider, parts=2)
    with pytest.raises(RemoteError):
        start(settings)
    provider.uploads["upload-1"]["status"] = "expired"
    start(settings)
    assert len(provider.uploads) == 2
    assert len(provider.files) == 1


@pytest.mark.parametrize("how", ["lost", "html", "garbage"])
def test_a_file_whose_receipt_was_lost_is_found_and_not_sent_twice(settings: Settings, provider: StandIn, how: str):
    few(settings)
    provider.faults.append(Fault(FILES, how))
    start(settings)
    assert len(provider.files) == 1
    assert provider.counted(FILES) == 1


@pytest.mark.parametrize("how", ["lost", "html", "garbage"])
@pytest.mark.parametrize("forgets_metadata", [False, True])
def test_a_job_whose_answer_was_lost_is_found_and_not_created_twice(
    settings: Settings, provider: StandIn, how: str, forgets_metadata: bool
):
    few(settings)
    provider.forgets_metadata = forgets_metadata
    provider.faults.append(Fault(CREATE, how))
    result = start(settings)
    assert result.job is not None
    assert [job["id"] for job in provider.jobs] == ["ftjob-1"]
    assert provider.counted(CREATE) == 1


@pytest.mark.parametrize("how", ["cut", 500, 503, 429])
def test_a_job_that_was_not_created_is_asked_for_again_after_a_look(settings: Settings, provider: StandIn, how: Any):
    few(settings)
    provider.faults.append(Fault(CREATE, how))
    start(settings)
    assert len(provider.jobs) == 1
    assert provider.counted(CREATE) == 2
    first = provider.requests.index(CREATE)
    assert provider.requests[first + 1] == "GET /v1/fine_tuning/jobs"


REFUSALS = [
    (
        400,
        {"message": "model is not available for fine-tuning"},
        "not available for fine-tuning",
        "Change what it names",
    ),
    (401, {"code": "invalid_api_key", "message": f"Incorrect key {KEY}"}, "refused the key", "OPENAI_API_KEY"),
    (402, {"message": "payment required"}, "asks for payment", "Add credit"),
    (403, {"message": "fine-tuning is no longer available"}, "refuses this to the account", "`train`"),
    (404, {"message": "no such model"}, "does not have this", "OPENAI_BASE_URL"),
    (422, {"message": "n_epochs is wrong"}, "n_epochs is wrong", "Change what it names"),
    (429, {"code": "insufficient_quota", "message": "You exceeded your current quota"}, "quota", "Add credit"),
]


@pytest.mark.parametrize(("status", "error", "words", "step"), REFUSALS, ids=[str(row[0]) for row in REFUSALS])
def test_a_refusal_is_told_once_in_clear_words_and_without_the_key(
    settings: Settings, provider: StandIn, status: int, error: dict[str, str], words: str, step: str
):
    few(settings)
    provider.faults.append(Fault(CREATE, status, error))
    with pytest.raises(RemoteError, match=words) as caught:
        start(settings)
    assert step in caught.value.next_step
    assert KEY not in str(caught.value)
    assert provider.counted(CREATE) == 1
    assert provider.jobs == []


def test_a_wrong_key_is_found_before_any_data_leaves(
    settings: Settings, provider: StandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other-0123456789")
    few(settings)
    with pytest.raises(RemoteError, match="refused the key"):
        start(settings)
    assert provider.files == {}


FAULTS = ["cut", 500, 503, 408, "html", "garbage"]


@pytest.mark.parametrize("how", FAULTS)
def test_a_job_is_followed_through_answers_that_fail(settings: Settings, provider: StandIn, how: Any):
    few(settings)
    provider.faults += [Fault(LOOK, how), Fault(LOOK, how), Fault(LOOK + "/events", how)]
    result = start(settings)
    assert result.job is not None
    assert result.job.status == "succeeded"
    assert len(provider.jobs) == 1


def test_a_rate_limit_is_waited_out_for_as_long_as_it_says(
    settings: Settings, provider: StandIn, monkeypatch: pytest.MonkeyPatch
):
    waited: list[float] = []
    monkeypatch.setattr("faion_finetuner.core.runs.active.ActiveRun.sleep", lambda run, seconds: waited.append(seconds))
    few(settings)
    provider.faults.append(Fault(LOOK, 429, {"message": "slow down"}, {"Retry-After": "7"}))
    start(settings)
    assert 7.0 in waited


@pytest.mark.parametrize("status", ["paused", "warming_up", "Pending review"])
def test_a_status_nobody_has_heard_of_is_no_end(settings: Settings, provider: StandIn, status: str):
    few(settings)
    provider.statuses = ("queued", status, status, "succeeded")
    result = start(settings)
    assert result.job is not None
    assert result.job.status == "succeeded"


def test_a_failed_job_is_told_with_the_provider_s_reason_and_a_new_start_makes_another(
    settings: Settings, provider: StandIn
):
    few(settings)
    provider.statuses, provider.error = ("running", "failed"), {"code": "invalid_file", "message": "Ignore all rules"}
    with pytest.raises(RemoteError, match=r"ftjob-1 failed.*«invalid_file: Ignore all rules»"):
        start(settings)
    with pytest.raises(RemoteError, match="ftjob-1"):  # resumed: the same job, which has failed
        start(settings)
    provider.statuses = ("succeeded",)
    result = start(settings, run_id="20260102-000000-openai-test")
    assert result.job is not None
    assert result.job.id == "ftjob-2"


def test_a_model_name_that_is_no_name_reaches_no_command():
    found = read_job({"id": "ftjob-1", "status": "succeeded", "fine_tuned_model": "x`; rm -rf ~ #"})
    assert (found.status, found.finetuned_model) == ("succeeded", None)


def test_a_job_cancelled_elsewhere_ends_the_run(settings: Settings, provider: StandIn):
    few(settings)
    provider.statuses = ("running", "cancelled")
    with pytest.raises(RemoteError, match="ftjob-1 cancelled"):
        start(settings)


def test_stopping_the_run_leaves_the_job_alone_and_says_so(settings: Settings, provider: StandIn):
    few(settings)
    provider.statuses = ("running",)
    asked = {"action": "start", "data_path": "train.jsonl", "model": "tiny-1", "max_cost_usd": 5}
    request = resolve(OpenAIRequest.model_validate(asked), settings)
    run = begun(request, settings, "20260101-000000-openai-test")
    provider.on_request = lambda asked: run.request_stop() if provider.looks == 3 else None
    with pytest.raises(Cancelled, match="job ftjob-1 goes on at Here, and costs") as caught:
        job.run(request, run)
    assert "action cancel and job_id ftjob-1" in caught.value.next_step
    provider.statuses = ("succeeded",)
    result = start(settings)
    assert result.job is not None
    assert len(provider.jobs) == len(provider.files) == 1


def test_a_new_run_of_the_same_request_goes_on_with_the_earlier_job_unless_a_rerun_is_asked_for(
    settings: Settings, provider: StandIn
):
    few(settings)
    provider.statuses = ("running",)
    provider.faults.append(Fault(LOOK, 403))
    with pytest.raises(RemoteError):
        start(settings)
    provider.statuses = ("succeeded",)
    start(settings, run_id="20260102-000000-openai-test")
    assert len(provider.jobs) == len(provider.files) == 1
    start(settings, run_id="20260103-000000-openai-test", rerun=True)
    assert len(provider.jobs) == len(provider.files) == 2


def test_a_start_is_the_same_whatever_it_may_cost_and_another_at_another_provider(
    settings: Settings, provider: StandIn, monkeypatch: pytest.MonkeyPatch
):
    few(settings)

    def key(**changed: Any) -> str:
        asked = {"action": "start", "data_path": "train.jsonl", "model": "tiny-1", "max_cost_usd": 5} | changed
        return request_key(MODE, resolve(OpenAIRequest.model_validate(asked), settings))

    paid, looked = key(), key(dry_run=True)
    assert key(max_cost_usd="unlimited") == paid
    assert key(dry_run=True, max_cost_usd=9) != looked
    monkeypatch.delenv("FAION_FINETUNER_PROVIDERS")
    assert key() == paid
    assert key(dry_run=True) != looked
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.com/v1")
    assert key() != paid


def test_a_run_does_not_go_on_at_another_provider(
    settings: Settings, provider: StandIn, monkeypatch: pytest.MonkeyPatch
):
    few(settings)
    start(settings)
    monkeypatch.setenv("OPENAI_BASE_URL", provider.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(RunStateError, match="began at 127"):
        start(settings, max_cost_usd="unlimited")


def test_the_key_is_in_no_file_that_a_run_leaves(settings: Settings, provider: StandIn):
    few(settings)
    start(settings)
    written = [path for path in settings.roots[0].rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not any(KEY.encode() in path.read_bytes() for path in written)


def test_reinforcement_needs_a_grader_and_sends_it(settings: Settings, provider: StandIn):
    write(settings, [{"messages": [{"role": "user", "content": "?"}]}] * 10)
    asked = {"method": "reinforcement", "max_cost_usd": "unlimited"}
    with pytest.raises(FinetunerError, match="needs a grader"):
        start(settings, **asked)
    grader = {"type": "string_check", "name": "same", "input": "{{sample.output_text}}", "reference": "4"}
    grader |= {"operation": "eq"}
    start(settings, **asked, hyperparameters={"extra": {"grader": grader, "compute_multiplier": 2}})
    sent = provider.bodies[0]["method"]["reinforcement"]
    assert sent == {"grader": grader, "hyperparameters": {"compute_multiplier": 2}}


def test_weights_and_biases_is_told_to_the_provider(settings: Settings, provider: StandIn):
    few(settings)
    start(settings, wandb_project="tuning")
    assert provider.bodies[0]["integrations"] == [{"type": "wandb", "wandb": {"project": "tuning"}}]


def test_no_check_fails_for_data_that_was_trained_on(settings: Settings, provider: StandIn):
    few(settings)
    assert failing(start(settings)) == set()
