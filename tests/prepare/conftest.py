"""What the tests of preparing need of the process that they run in."""

import sys

import pytest


@pytest.fixture(autouse=True)
def subnormal_numbers() -> None:
    """Numbers next to zero are what they are: a test that loads a model sets the processor to round them off."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
