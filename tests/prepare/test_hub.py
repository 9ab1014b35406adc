"""Data sets and benchmarks of the hub; no test asks the network."""

from pathlib import Path

import huggingface_hub
import pytest
from faion_finetuner.core.errors import DataError, InputError
from huggingface_hub.errors import LocalEntryNotFoundError

from .preparing import pairs, prepare, said, write, write_rows

TEXT = "Natalia sold clips to forty eight of her friends in April and then she sold half as many in May"


@pytest.fixture
def hub(settings, monkeypatch):
    """A stand-in for the download: the folder that it would leave, and what it was asked for."""
    asked = []
    folder = settings.roots[0].parent / "hub"
    folder.mkdir()

    def download(name, **arguments):
        asked.append((name, arguments))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return folder, asked


def put(folder: Path, settings, name, rows):
    made = settings.roots[0] / write_rows(settings, "made.jsonl", rows)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    made.replace(folder / name)


def test_a_data_set_of_the_hub_is_read_with_its_splits(settings, hub):
    folder, asked = hub
    put(folder, settings, "data/train-0.jsonl", pairs(30))
    put(folder, settings, "data/test-0.jsonl", pairs(40)[30:])
    (folder / "data" / "README.md").write_text("# About")
    (folder / "dataset_infos.json").write_text("{}")
    outcome = prepare(settings, "hf://datasets/owner/name@refs%2Fv2/data")
    assert asked[0][0] == "owner/name"
    assert (asked[0][1]["repo_type"], asked[0][1]["revision"]) == ("dataset", "refs/v2")
    assert len(outcome.train) == 30
    assert [said(row)[0] for row in outcome.valid] == [row["question"] for row in pairs(40)[30:]]


def test_a_path_behind_the_name_chooses_files(settings, hub):
    folder, asked = hub
    put(folder, settings, "en/rows.jsonl", pairs(20))
    put(folder, settings, "de/rows.jsonl", pairs(5))
    assert prepare(settings, "hf://datasets/owner/name/en").result.source.rows_read == 20
    assert asked[0][1]["allow_patterns"] == ["en", "en/*"]
    with pytest.raises(DataError, match="has no files like"):
        prepare(settings, "hf://datasets/owner/name/fr/*.jsonl", output_dir="fr")


def test_a_benchmark_by_name_comes_from_the_hub(settings, hub):
    folder, asked = hub
    put(folder, settings, "test.jsonl", [{"question": TEXT, "answer": "72"}])
    rows = [*pairs(20), {"question": f"{TEXT}. How many?", "answer": "She sold 72"}]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), benchmarks=("gsm8k", "no_such"))
    assert asked[0][0] == "openai/gsm8k"
    assert outcome.check("Contamination").count == 1
    assert "no_such" in outcome.check("Contamination (not checked)").details


def test_without_network_a_data_set_is_a_clear_error_and_a_benchmark_is_told(settings, monkeypatch):

    def unreachable(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(DataError, match="hub cannot be reached"):
        prepare(settings, "hf://datasets/owner/name")
    outcome = prepare(settings, write_rows(settings, "a.jsonl", pairs(20)), benchmarks=("mmlu",))
    assert "cannot be reached" in outcome.check("Contamination (not checked)").details


def test_an_entry_without_a_name_is_refused(settings):
    for entry in ("hf://datasets/owner", "hf://datasets/owner/name/../../x"):
        with pytest.raises(InputError, match="names no data set"):
            prepare(settings, entry)


def test_a_local_file_and_a_data_set_go_together(settings, hub):
    folder, _ = hub
    put(folder, settings, "rows.csv", [])
    (folder / "rows.csv").write_text("question,answer\nFrom the hub?,Yes it is from there\n")
    local = write(settings, "b.csv", "question,answer\nFrom here?,This one lies on the disk\n")
    assert prepare(settings, (local, "hf://datasets/owner/name")).result.source.rows_read == 2
