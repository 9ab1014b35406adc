"""What is sent has the shapes of the interface: Prism holds every request against a strict description of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from faion_finetuner.core.openai_jobs.at_once import ask
from faion_finetuner.core.openai_jobs.request import OpenAIRequest, resolve
from faion_finetuner.core.settings import Settings

from tests.openai_jobs.npm import program
from tests.openai_jobs.support import carry_out, chat, pair, write

pytestmark = pytest.mark.usefixtures("hurried")
INTERFACE = Path(__file__).with_name("interface.json")


@pytest.fixture(scope="module")
def prism() -> Iterator[str]:
    """The interface, answered with its examples; what does not fit it is refused with 422."""
    with program("prism", lambda port: ["mock", "--errors", "-p", port, str(INTERFACE)], {}) as address:
        yield address


@pytest.fixture(autouse=True)
def named(prism: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "providers.json"
    path.write_text(json.dumps({"providers": [{"name": "Prism", "hosts": ["127.0.0.1"], "part_mb": 0.001}]}))
    monkeypatch.setenv("FAION_FINETUNER_PROVIDERS", str(path))
    monkeypatch.setenv("OPENAI_BASE_URL", prism)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")


def test_a_request_that_does_not_fit_is_refused_at_all(prism: str):
    with (
        openai.OpenAI(api_key="sk-0123456789", base_url=prism, max_retries=0) as client,
        pytest.raises(openai.UnprocessableEntityError),
    ):
        client.fine_tuning.jobs.create(model="m", training_file="f", suffix="x" * 65)


@pytest.mark.parametrize("rows", [8, 40])
def test_files_in_one_piece_and_in_parts_and_jobs_with_every_setting_fit(settings: Settings, rows: int):
    write(settings, [{"messages": chat(i)["messages"][1:]} for i in range(rows)])
    write(settings, [chat(99)], "held.jsonl")
    numbers = {"epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.5}
    result = carry_out(
        settings,
        action="start",
        model="m",
        validation_path="held.jsonl",
        max_cost_usd="unlimited",
        hyperparameters=numbers,
        suffix="tone",
        wandb_project="tuning",
    )
    assert result.job is not None
    assert (result.job.status, result.job.finetuned_model) == ("succeeded", "ft:m:a::1")
    assert result.checkpoints[0].metrics["train_loss"] == 1.5


def test_preference_jobs_fit(settings: Settings):
    write(settings, [pair(i) for i in range(3)])
    numbers = {"beta": 0.1, "epochs": "auto"}
    result = carry_out(
        settings, action="start", model="m", method="dpo", max_cost_usd="unlimited", hyperparameters=numbers
    )
    assert result.job is not None


@pytest.mark.parametrize("action", ["status", "events", "list", "cancel", "checkpoints"])
def test_what_is_asked_at_once_fits(settings: Settings, action: str):
    request = resolve(OpenAIRequest.model_validate({"action": action, "job_id": "ftjob-1", "cursor": "e0"}), settings)
    assert ask(request).provider == "Prism"
