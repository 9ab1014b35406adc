"""Rows whose answer is no text: a tool call, which is scored as one, or nothing at all."""

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
    assert (result.rows, result.answer_kind) == (12, "tool calls")
    assert [row.metric for row in result.scores] == ["tool_match", "tool_name", "tool_arguments", "tool_missed"]
    assert "answers_with_text" not in statuses(result)
    assert result.perplexity is not None
    assert result.perplexity.n == 12
    assert len(result.samples) == 5
    assert all('"name": "look"' in sample.reference for sample in result.samples)


def test_rows_with_text_are_scored_beside_rows_that_end_in_a_tool_call(world: World, base_folder: Path):
    rows = distinct_rows(16, seed=1)
    data = write_rows(world.settings.roots[0] / "rows.jsonl", [*rows[:12], *calling(rows[12:])])
    result = world.run(model_name=str(base_folder), data_path=data)
    assert result.answer_kind == "tool calls"
    assert result.rows == 16
    sizes = {row.metric: row.n for row in result.scores}
    assert (sizes["json_fields"], sizes["exact_match"], sizes["tool_match"], sizes["tool_arguments"]) == (12, 12, 4, 4)


def test_scores_that_fit_no_row_are_named(world: World, base_folder: Path):
    data = write_rows(world.settings.roots[0] / "rows.jsonl", calling(distinct_rows(12, seed=1)))
    result = world.run(model_name=str(base_folder), data_path=data, metrics=("perplexity", "exact_match"))
    assert (result.scores, statuses(result)["metrics"]) == ((), "warn")
    told = report(result).markdown
    assert "No score was computed. Not computed: exact_match." in told
    assert "12 of 12 reference answers call tools" in told
    assert len(result.samples) == 5  # what both models say can be read all the same


def test_rows_with_an_empty_answer_are_told(world: World, base_folder: Path):
    rows = distinct_rows(16, seed=1)
    for row in rows[12:]:
        row["messages"][1]["content"] = ""
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    result = world.run(model_name=str(base_folder), data_path=data)
    assert result.answer_kind == "json"
    assert {row.n for row in result.scores} == {12}
    (check,) = (check for check in result.checks if check.name == "answers_with_text")
    assert (check.status, check.count) == ("warn", 4)
