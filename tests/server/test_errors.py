"""Wrong calls: each is a tool error that names the argument, the problem and the way out."""

from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.settings import Settings
from faion_finetuner.server.app import build_server
from faion_finetuner.tools.catalog import BY_NAME
from mcp import Client

pytestmark = pytest.mark.anyio


async def refusal(settings: Settings, tool: str, **arguments: Any) -> str:
    """The text of the tool error that this call ends in."""
    async with Client(build_server(settings)) as client:
        reply = await client.call_tool(tool, arguments)
    assert reply.is_error
    text = "".join(getattr(block, "text", "") for block in reply.content)
    assert "Next: " in text
    return text


async def test_an_unknown_argument_is_named_with_the_nearest_known_one(settings: Settings):
    text = await refusal(settings, "prepare", data_path="x", output_dir="o", formt="openai")
    assert "«formt»" in text
    assert "Did you mean format?" in text


async def test_a_wrong_value_is_named_with_the_nearest_right_one(settings: Settings):
    text = await refusal(settings, "prepare", data_path="x", output_dir="o", format="shargpt")
    assert "format: «shargpt» is none of alpaca, sharegpt, openai, completion. Did you mean sharegpt?" in text


async def test_all_mistakes_are_told_at_once(settings: Settings):
    text = await refusal(settings, "train", wait_s=99, technique="lorra")
    for expected in ("wait_s", "technique", "data_path", "model_name", "output_dir"):
        assert f"{expected}: " in text


async def test_so_are_all_mistakes_within_an_argument(settings: Settings):
    wrong = {"rank": 0, "learning_rate": -1, "sheduler": "cosine", "target_modules": 5}
    text = await refusal(settings, "train", data_path="d", model_name="m", output_dir="o", hyperparameters=wrong)
    for expected in ("rank: ", "learning_rate: ", "sheduler»: ", "target_modules."):
        assert text.count(f"hyperparameters.{expected}") == 1


async def test_types_are_told_in_the_words_of_json(settings: Settings):
    given = {"data_path": "d", "model_name": "m", "output_dir": ["o"], "experiments": {"rank": 4}}
    text = await refusal(settings, "train", **given, hyperparameters="rank=8")
    for expected in ("output_dir: should be a path", "experiments: should be a list"):
        assert expected in text
    assert 'hyperparameters: should be an object; given was «"rank=8"»' in text


@pytest.mark.parametrize("tool", ["prepare", "train", "evaluate", "merge", "openai"])
@pytest.mark.parametrize("output", ["", "  "])
async def test_an_empty_output_folder_is_refused_and_nothing_is_written(settings: Settings, tool: str, output: str):
    (settings.roots[0] / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    given = {"data_path": "rows.jsonl", "model_name": "m", "adapter_path": "a", "action": "check"}
    known = {name: value for name, value in given.items() if name in BY_NAME[tool].input.model_fields}
    text = await refusal(settings, tool, **known, output_dir=output)
    assert "output_dir: is empty; name a folder for the results" in text
    assert [path.name for path in settings.roots[0].iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("output", ["rows.jsonl", "rows.jsonl/below"])
async def test_an_output_folder_that_is_a_file_is_refused_in_a_sentence(settings: Settings, output: str):
    (settings.roots[0] / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    text = await refusal(settings, "prepare", data_path="rows.jsonl", output_dir=output)
    assert "cannot be written: Not a directory" in text
    assert "rows.jsonl" in text


async def test_even_a_defect_reaches_the_client_as_a_sentence(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("faion_finetuner.server.app.parse", lambda *_: 1 // 0)
    assert "Unexpected ZeroDivisionError in runs" in await refusal(settings, "runs", action="list")


async def test_an_unknown_hyperparameter_is_named_with_the_nearest_known_one(settings: Settings):
    text = await refusal(
        settings, "train", data_path="d", model_name="m", output_dir="o", hyperparameters={"learning_rat": 1e-4}
    )
    assert "hyperparameters.learning_rat" in text
    assert "Did you mean learning_rate?" in text


async def test_an_object_sent_as_json_text_is_understood(settings: Settings):
    text = await refusal(
        settings, "train", data_path="missing", model_name="m", output_dir="o", hyperparameters='{"rank": 8}'
    )
    assert "hyperparameters" not in text.split("Next: ")[0]  # it was read; what is wrong is the data


async def test_an_unknown_tool_is_named_with_the_nearest_known_one(settings: Settings):
    assert "Did you mean evaluate?" in await refusal(settings, "evaluat")


async def test_a_missing_file_is_named_with_the_nearest_one_in_its_folder(settings: Settings):
    (settings.roots[0] / "rows.jsonl").write_text("{}\n", encoding="utf-8")
    text = await refusal(settings, "prepare", data_path="row.jsonl", output_dir="o")
    assert "does not exist" in text
    assert "rows.jsonl" in text


@pytest.mark.parametrize("path", ["../outside.jsonl", "/etc/passwd"])
async def test_a_path_outside_the_roots_is_refused(settings: Settings, path: str):
    assert "outside the folders" in await refusal(settings, "prepare", data_path=path, output_dir="o")


async def test_a_symlink_does_not_lead_out_of_the_roots(settings: Settings, tmp_path: Path):
    (tmp_path / "secret.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    (settings.roots[0] / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    assert "outside the folders" in await refusal(settings, "prepare", data_path="link.jsonl", output_dir="o")


async def test_without_a_root_every_path_is_refused_with_the_way_to_name_one(settings: Settings):
    rootless = settings.model_copy(update={"roots": ()})
    assert "--root" in await refusal(rootless, "prepare", data_path="x.jsonl", output_dir="o")


async def test_text_from_the_caller_is_quoted_and_cut(settings: Settings):
    text = await refusal(settings, "runs", action="status", run_id="x" * 5000)
    assert len(text) < 400


async def test_runs_says_which_argument_an_action_needs(settings: Settings):
    assert "run_id: needed for action logs" in await refusal(settings, "runs", action="logs")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("x" * 300, "is too long for a path"),
        ('{"question": "What is this?"}\n' * 10_000, "is too long for a path"),
        ("half \ud800.jsonl", "holds half characters"),
        ("~nobody-of-this-name/rows.jsonl", "leads nowhere"),
        ("circle/rows.jsonl", "leads nowhere"),
    ],
)
async def test_what_can_be_no_path_is_refused_in_a_short_sentence(settings: Settings, path: str, said: str):
    (settings.roots[0] / "circle").symlink_to(settings.roots[0] / "circle")
    for arguments in ({"data_path": path, "output_dir": "o"}, {"data_path": ".", "output_dir": path}):
        text = await refusal(settings, "prepare", **arguments)
        assert said in text
        assert len(text) < 1000


async def test_null_and_an_empty_text_leave_an_argument_out(settings: Settings):
    (settings.roots[0] / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 2, encoding="utf-8")
    nothing = {"model_name": "", "columns": None, "benchmarks": None, "seed": None, "stratify_by": " "}
    async with Client(build_server(settings)) as client:
        arguments = {"data_path": "rows.jsonl", "output_dir": "o", "dry_run": True} | nothing
        reply = await client.call_tool("prepare", arguments)
    assert not reply.is_error, reply.content


@pytest.mark.parametrize("name", ["data_path", "model_name"])
async def test_an_empty_text_is_no_name_of_the_root(settings: Settings, name: str):
    given = {"data_path": "d", "model_name": "m", "output_dir": "o"} | {name: ""}
    assert f"{name}: is empty." in await refusal(settings, "train", **given)


async def test_an_argument_of_several_kinds_is_named_as_the_caller_knows_it(settings: Settings):
    text = await refusal(settings, "prepare", data_path=["rows.jsonl", 5], output_dir="o")
    assert "data_path.1: input should be a valid string" in text
    assert "data_path: input should be" in await refusal(settings, "prepare", data_path=5, output_dir="o")
    assert "max_cost_usd: input should be a valid number" in await refusal(
        settings, "openai", action="start", max_cost_usd="much"
    )
