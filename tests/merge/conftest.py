"""A tiny model to export, on a machine with a stand-in converter and nothing else of llama.cpp."""

from pathlib import Path

import pytest
from faion_finetuner.core.merge import shipping
from faion_finetuner.core.settings import Settings

from ..tiny import tiny_model
from .support import LLAMA_CPP


@pytest.fixture
def base(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model, with the stand-in converter and no llama.cpp programs; test_serving serves what is exported."""
    monkeypatch.setenv("LLAMA_CPP_DIR", str(LLAMA_CPP))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(shipping, "find_server", lambda: None)
    return tiny_model(settings.roots[0] / "base")
