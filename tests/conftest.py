"""Fixtures that every area uses, and the switches for slow and GPU tests."""

import os
from pathlib import Path

import pytest
from faion_finetuner.core.settings import Settings

# Two test processes and their workers share the processors: more threads than that only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--runslow", action="store_true", help="also run tests that train or load a real model")
    parser.addoption("--update-snapshots", action="store_true", help="write the snapshots anew instead of comparing")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--runslow"):
            item.add_marker(pytest.mark.skip(reason="needs --runslow"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose root, state and cache lie in this test's own folder; workers see the same ones."""
    root = tmp_path / "root"
    root.mkdir()
    made = Settings(roots=(root,), state_dir=tmp_path / "state", cache_dir=tmp_path / "cache")
    for name, value in made.as_environment().items():
        monkeypatch.setenv(name, value)
    return made
