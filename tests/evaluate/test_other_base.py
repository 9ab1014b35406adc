"""An adapter on a base that is not its own: the shapes fit, the numbers mean nothing."""

from pathlib import Path

import pytest

from tests.evaluate.world import World, statuses
from tests.tiny import tiny_model

# peft 0.21 still reads the old name of activation checkpointing
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def test_an_adapter_on_another_base_than_its_own_is_named(
    world: World, prepared: Path, base_folder: Path, adapter_folder: Path
):
    given = {"finetuned_path": adapter_folder, "data_path": prepared, "dry_run": True}
    assert "adapter_base" not in statuses(world.run(model_name=str(base_folder), **given))
    other = tiny_model(world.settings.roots[0] / "another", seed=3)
    result = world.run(model_name=str(other), **given)
    (check,) = (check for check in result.checks if check.name == "adapter_base")
    assert check.status == "warn"
    assert f"names «{base_folder.name}» as its base, not '{other}'" in check.details
