"""A tiny model and a random adapter for it, made once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from faion_finetuner.core.settings import Settings

from tests.evaluate.finished import Evaluations
from tests.evaluate.hosted_pair import PRICES, well
from tests.evaluate.world import World
from tests.openai_jobs.stand_in import KEY, StandIn, serving
from tests.tiny import tiny_model, tiny_rows


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="session")
def adapter_folder(base_folder: Path) -> Path:
    """A LoRA adapter with random weights: it changes every answer."""
    return save_adapter(base_folder, base_folder.parent / "adapter", random=True)


def save_adapter(base_folder: Path, folder: Path, *, random: bool) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=not random)
        get_peft_model(AutoModelForCausalLM.from_pretrained(base_folder), config).save_pretrained(str(folder))
    return folder


@pytest.fixture
def world(settings: Settings, base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(settings, base_folder.parent)
    _announce(made.settings, monkeypatch)
    return made


@pytest.fixture
def evaluations(settings: Settings, base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluations:
    """Finished ones, which `runs` finds."""
    made = Evaluations(settings, base_folder.parent)
    _announce(made.settings, monkeypatch)
    return made


def _announce(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """A provider with prices, whose tuned model knows every answer and whose base only every third."""
    path = tmp_path / "providers.json"
    known = {"name": "Here", "hosts": ["127.0.0.1"], "as_of": "2026-11-22", "source": "a test", "models": [PRICES]}
    path.write_text(json.dumps({"providers": [known]}))
    monkeypatch.setattr("faion_finetuner.core.models.hosted.faults.FIRST_PAUSE_S", 0.001)
    with serving() as state:
        monkeypatch.setenv("FAION_FINETUNER_PROVIDERS", str(path))
        monkeypatch.setenv("OPENAI_BASE_URL", state.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        state.chat = well
        yield state


@pytest.fixture
def prepared(settings: Settings) -> Path:
    """A prepared folder whose held-out rows do not stand in the training rows."""
    folder = settings.roots[0] / "prepared"
    folder.mkdir()
    rows = distinct_rows(400, seed=5)
    write_rows(folder / "train.jsonl", rows[24:])
    write_rows(folder / "valid.jsonl", rows[:24])
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For published benchmark files, on a machine without the hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = tmp_path / "published"
    made.mkdir()
    return made


def distinct_rows(n: int, seed: int) -> list[dict]:
    """`tiny_rows` without those that say what another one does: as many as there are, n at most."""
    return list({row["messages"][0]["content"]: row for row in tiny_rows(max(n, 400), seed)}.values())[:n]


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
