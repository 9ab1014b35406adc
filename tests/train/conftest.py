"""The bench that every training test uses."""

import pytest
from faion_finetuner.core.settings import Settings

from .bench import Bench, make_bench


@pytest.fixture
def bench(settings: Settings) -> Bench:
    return make_bench(settings)
