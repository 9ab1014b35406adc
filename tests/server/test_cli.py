"""The command line: the same models as the tools, exit code 0 only on success."""

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.settings import ROOTS, Settings
from faion_finetuner.server import options
from faion_finetuner.server.cli import main
from faion_finetuner.tools.catalog import BY_NAME, TOOLS

ROWS = [
    {"instruction": f"Name the number {n}.", "output": f"The number is {n * n}, I am sure of it."} for n in range(40)
]


@pytest.fixture
def rows(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A raw file in the current folder; no root is named, as at a person's terminal."""
    monkeypatch.delenv(ROOTS)
    monkeypatch.chdir(settings.roots[0])
    path = settings.roots[0] / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def test_a_command_waits_to_the_end_and_prints_the_report(rows: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["prepare", "rows.jsonl", "--output-dir", "out"]) == 0
    printed = capsys.readouterr().out
    assert "# Dataset Validation Report" in printed
    assert "Whole report: " in printed
    assert (rows.parent / "out" / "train.jsonl").is_file()


def test_json_prints_the_reply_that_a_client_would_get(rows: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["prepare", "--data-path", str(rows), "--output-dir", "out", "--format", "alpaca", "--json"]) == 0
    reply = json.loads(capsys.readouterr().out)
    assert (reply["status"], reply["result"]["format"]) == ("succeeded", "alpaca")


def test_wrong_input_ends_with_a_sentence_and_exit_code_1(rows: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["prepare", "row.jsonl", "--output-dir", "out"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("Error: ")
    assert "rows.jsonl" in message


def test_a_failed_run_ends_with_exit_code_1(rows: Path, capsys: pytest.CaptureFixture[str]):
    rows.write_text("", encoding="utf-8")
    assert main(["prepare", "rows.jsonl", "--output-dir", "out"]) == 1
    assert "Next: " in capsys.readouterr().out + capsys.readouterr().err


def test_dotted_options_reach_the_nested_model(rows: Path, capsys: pytest.CaptureFixture[str]):
    words = ["train", "rows.jsonl", "--model-name", "no-such-model", "--output-dir", "out"]
    assert main([*words, "--hyperparameters.rnk", "8"]) == 1
    assert "Did you mean rank?" in capsys.readouterr().err
    assert main([*words, "--hyperparameters.rank=8"]) == 1
    assert "no-such-model" in capsys.readouterr().err


def arguments_of(tool: str, *words: str) -> dict[str, Any]:
    """What the tool is called with for these words."""
    parser = argparse.ArgumentParser()
    model = BY_NAME[tool].input
    options.add_options(parser, model)
    rest, nested = options.split_dotted(list(words))
    return options.as_arguments(parser.parse_args(rest), model, nested)


def test_a_list_of_choices_is_given_with_commas_or_by_the_option_again():
    found = arguments_of("merge", "--gguf", "q8_0, q4_k_m", "--gguf=f16", "--adapter-path", "a,b")
    assert found == {"gguf": ["q8_0", "q4_k_m", "f16"], "adapter_path": ["a,b"]}  # a path may have commas


def test_names_are_given_with_commas_and_a_file_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = arguments_of("evaluate", "--benchmarks", "arc_easy,mmlu", "--benchmarks=gsm8k", "--metrics", "f1, own")
    assert found == {"benchmarks": ["arc_easy", "mmlu", "gsm8k"], "metrics": ["f1", "own"]}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one,two.jsonl").write_text("{}")
    assert arguments_of("prepare", "--benchmarks", "one,two.jsonl") == {"benchmarks": ["one,two.jsonl"]}
    assert arguments_of("prepare", "rows,1.jsonl") == {"data_path": "rows,1.jsonl"}


def test_dotted_options_add_to_those_given_as_json():
    found = arguments_of("train", "--hyperparameters", '{"rank": 8}', "--hyperparameters.learning-rate=1e-4")
    assert found["hyperparameters"] == {"rank": 8, "learning_rate": "1e-4"}
    assert arguments_of("train", "--hyperparameters", "8", "--hyperparameters.rank=4") == {
        "hyperparameters": ["8", {"rank": "4"}]  # refused by the model, and nothing of it is lost before
    }


@pytest.mark.parametrize("command", ["serve", "demo", "doctor"])
def test_a_dotted_option_of_a_command_that_has_none_is_refused(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main([command, "--no.such", "3"])
    assert caught.value.code == 2
    assert "unrecognized arguments: --no." in capsys.readouterr().err


def test_the_users_own_names_keep_their_dashes():
    found = arguments_of("prepare", "--columns.user-question", "prompt", "--columns", '{"a": "completion"}')
    assert found["columns"] == {"a": "completion", "user-question": "prompt"}


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS])
def test_every_argument_of_every_tool_is_an_option_with_help(name: str):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "faion_finetuner.server.command", name, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert "Undefined" not in done.stdout
    tool = next(tool for tool in TOOLS if tool.name == name)
    for field in tool.input.model_fields:
        assert field == "wait_s" or f"--{field.replace('_', '-')}" in done.stdout


def test_the_list_of_runs_is_a_command_too(rows: Path, capsys: pytest.CaptureFixture[str]):
    main(["prepare", "rows.jsonl", "--output-dir", "out"])
    capsys.readouterr()
    assert main(["runs", "--action", "list"]) == 0
    assert "-prepare-" in capsys.readouterr().out


def test_a_run_of_another_version_is_told_as_such_and_can_be_made_anew(rows: Path, capsys: pytest.CaptureFixture[str]):
    words = ["prepare", "rows.jsonl", "--output-dir", "out"]
    main(words)
    (path,) = (rows.parent / "out" / ".run").glob("*/result.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"of_old": 1}), encoding="utf-8")
    for again in (words, ["runs", "--action", "status", "--run-id", path.parent.name]):
        assert main(again) == 1
        assert "another version of this program" in capsys.readouterr().err
    assert main([*words, "--rerun", "--overwrite"]) == 0


def test_compared_runs_show_only_the_parts_of_an_argument_in_which_they_differ(
    rows: Path, capsys: pytest.CaptureFixture[str]
):
    ids = []
    for output, role in (("one", "user"), ("two", "prompt")):
        words = ["--columns.output", "assistant", "--columns.instruction", role, "--json"]
        main(["prepare", "rows.jsonl", "--output-dir", output, *words])
        ids += ["--run-ids", json.loads(capsys.readouterr().out)["run_id"]]
    assert main(["runs", "--action", "compare", *ids, "--json"]) == 0
    one, two = json.loads(capsys.readouterr().out)["result"]["comparison"]
    assert set(one["arguments"]) == {"output_dir", "columns.instruction"}
    assert (one["arguments"]["columns.instruction"], two["arguments"]["columns.instruction"]) == ("user", "prompt")


def test_doctor_tells_what_is_here_and_what_mends_the_rest(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for row in ("| Python | PASS |", "| Device | PASS |", f"| Allowed folders | PASS | {settings.roots[0]} |"):
        assert row in printed
    assert "| GGUF export | WARN |" in printed  # this test's cache is empty
    assert "faion_finetuner.core.merge.converter" in printed
    monkeypatch.setattr("faion_finetuner.server.doctor.LOCAL", ("no-such-package",))
    main(["doctor"])
    assert "| Local training | WARN | not installed: no-such-package" in capsys.readouterr().out


def test_a_root_in_the_home_folder_is_found_where_no_shell_has_read_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    served = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(ROOTS, "")
    monkeypatch.setattr("faion_finetuner.server.transports.serve_stdio", served.append)
    (tmp_path / "project").mkdir()
    assert main(["serve", "--root", "~/project"]) == 0
    assert served[0].roots == (tmp_path.resolve() / "project",)


def test_a_root_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["serve", "--root", str(tmp_path / "projet")]) == 1
    assert "projet' is no folder" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(ROOTS, "")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--root", str(tmp_path), "--http", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert f"127.0.0.1:{port} cannot be served on" in error
    assert "Next: Choose another --port" in error
