"""Fixtures of hosted fine-tuning: a clean environment, and a provider on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.openai_jobs.stand_in import KEY, StandIn, serving

PRICED = {"name": "tiny-1", "training_usd": 10.0, "input_usd": 1.0, "output_usd": 2.0}


@pytest.fixture(autouse=True)
def no_outer_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "FAION_FINETUNER_PROVIDERS", "TIKTOKEN_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test need not sit through."""
    monkeypatch.setattr("faion_finetuner.core.models.hosted.faults.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("faion_finetuner.core.openai_jobs.watch.MIN_WAIT_S", 0.001)
    monkeypatch.setattr("faion_finetuner.core.openai_jobs.watch.MAX_WAIT_S", 0.001)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """A provider whose price and limits are known; files above 1 kB go there in parts."""
    path = tmp_path / "providers.json"
    known = {"name": "Here", "hosts": ["127.0.0.1"], "as_of": "2026-11-22", "source": "a test", "part_mb": 0.001}
    path.write_text(json.dumps({"providers": [known | {"models": [PRICED]}]}))
    with serving() as state:
        monkeypatch.setenv("FAION_FINETUNER_PROVIDERS", str(path))
        monkeypatch.setenv("OPENAI_BASE_URL", state.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield state
