"""Rows that end in a tool call: no text to score, and no reason to cut or to blame the models' answers."""

from pathlib import Path

import pytest
from faion_finetuner.core.evaluate.reporting.report import report

from tests.evaluate.conftest import distinct_rows, write_rows
from tests.evaluate.world import World, statuses

# peft 0.21 still reads the old name of activation checkpointing
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def calling(rows: list[dict]) -> list[dict]:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": "a red stone"}'}}
    answer = {"role": "assistant", "content": "", "tool_calls": [call]}
    return [{**row, "messages": [row["messages"][0], answer]} for row in rows]


def test_tool_calls_are_not_scored_against_an_empty_text(world: World, base_folder: Path, adapter_folder: Path):
    data = write_rows(world.settings.roots[0] / "rows.jsonl", calling(distinct_rows(12, seed=1)))
    result = world.run(model_name=str(base_folder), finetuned_path=adapter_folder, data_path=data)
    assert (result.rows, result.scores) == (12, ())
    assert statuses(result)["answers_with_text"] == "warn"
    assert result.perplexity is not None
    assert result.perplexity.n == 12
    told = report(result).markdown
    assert "No text score was computed. 12 rows end in a tool call" in told
    assert "asked for" not in told.split("## Task-Specific Evaluation")[1].split("## Sample")[0]
    assert len(result.samples) == 5  # what both models say instead can be read


def test_rows_with_text_are_scored_beside_rows_that_end_in_a_tool_call(world: World, base_folder: Path):
    rows = distinct_rows(16, seed=1)
    data = write_rows(world.settings.roots[0] / "rows.jsonl", [*rows[:12], *calling(rows[12:])])
    result = world.run(model_name=str(base_folder), data_path=data)
    assert result.answer_kind == "json"
    assert result.rows == 16
    assert {row.n for row in result.scores} == {12}
    (check,) = (check for check in result.checks if check.name == "answers_with_text")
    assert check.count == 4
