"""An adapter on a base that is not its own: the shapes fit, the numbers mean nothing."""

from pathlib import Path

import pytest
from faion_finetuner.core.errors import InputError

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


@pytest.mark.parametrize("name", ["rows.csv", "rows.TSV", "rows.parquet"])
def test_a_table_of_held_out_rows_is_sent_to_prepare_before_anything_starts(world: World, base_folder: Path, name: str):
    data = world.settings.roots[0] / name
    data.write_text("question,answer\n1+1,2\n")
    with pytest.raises(InputError, match="evaluate reads JSON Lines") as caught:
        world.run(model_name=str(base_folder), data_path=data)
    assert "prepare on it with valid_fraction 0" in caught.value.next_step
