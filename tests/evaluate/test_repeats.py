"""A held-out row that is there several times is one item, not several proofs."""

from pathlib import Path

import pytest

from tests.evaluate.conftest import write_rows
from tests.evaluate.world import World, statuses
from tests.tiny import tiny_rows

# peft 0.21 still reads the old name of activation checkpointing
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def test_copies_of_one_row_do_not_count_as_evidence(world: World, base_folder: Path, adapter_folder: Path):
    data = write_rows(world.settings.roots[0] / "rows.jsonl", tiny_rows(1, seed=1) * 20)
    result = world.run(model_name=str(base_folder), finetuned_path=adapter_folder, data_path=data)
    assert (result.rows, result.verdict) == (1, "too few items")
    assert {row.n for row in result.scores} == {1}
    assert statuses(result)["enough_rows"] == "warn"
    (check,) = (check for check in result.checks if check.name == "rows")
    assert check.details == (
        "1 of 20 rows measured; 19 repeat another word for word and prove nothing more, so each counts once."
    )


def test_rows_that_differ_in_tools_or_an_earlier_turn_are_different_rows(world: World, base_folder: Path):
    (row,) = tiny_rows(1, seed=1)
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    earlier = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "a red stone"}]
    rows = [row, {**row, "tools": [tool]}, {**row, "messages": [*earlier, *row["messages"]]}, {**row, "id": "again"}]
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    result = world.run(model_name=str(base_folder), data_path=data, dry_run=True)
    assert result.rows == 3
