"""An adapter from a train run is checked on that run's own held-out rows, and what the run tells is passed on."""

import hashlib
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.merge.mode import MODE
from faion_finetuner.core.merge.provenance import find_evaluation, find_training
from faion_finetuner.core.merge.request import MergeRequest, resolve
from faion_finetuner.core.runs import index
from faion_finetuner.core.runs.mode import load
from faion_finetuner.core.runs.record import RunFolder, RunRecord, RunStatus, now
from faion_finetuner.core.settings import Settings

from ..tiny import tiny_model, tiny_rows
from .support import folder_of, make_adapter, merge, proof_of

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft

RUN = "20260101-120000-train-abcdef"


def trained(settings: Settings, technique: str = "lora", status: str = "succeeded") -> Path:
    """The output folder of a train run on a tiny model, with prepared data beside it."""
    root = settings.roots[0]
    data, out = root / "data", root / "trained"
    data.mkdir()
    for name, seed in (("train", 0), ("valid", 1)):
        lines = [json.dumps(row) for row in tiny_rows(20, seed)]
        (data / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    make_adapter(tiny_model(root / "base"), out / "adapter")
    folder = RunFolder(path=out / ".run" / RUN)
    folder.path.mkdir(parents=True)
    record = RunRecord(
        run_id=RUN, mode="train", address="", request_key="", request={}, output_dir=out, slot=None,
        resolved={"technique": technique, "data_path": str(data)}, environment=(), created_at=now(), packages={},
        host={},
    )  # fmt: skip
    folder.record_path.write_text(record.model_dump_json(), encoding="utf-8")
    folder.write_status(RunStatus.model_validate({"status": status, "launched_at": now()}))
    return out


def finished_run(out: Path, run_id: str, resolved: dict[str, Any], result: dict[str, Any]) -> RunFolder:
    """A run folder as its worker leaves it; its time is a moment after now, as that of the files it read is before."""
    folder = RunFolder(path=out / ".run" / run_id)
    folder.path.mkdir(parents=True)
    mode = run_id.split("-")[2]
    record = RunRecord(
        run_id=run_id, mode=mode, address="", request_key="", request={}, output_dir=out, slot=None, resolved=resolved,
        environment=(), created_at=now() + timedelta(seconds=60), packages={}, host={},
    )  # fmt: skip
    folder.record_path.write_text(record.model_dump_json(), encoding="utf-8")
    folder.write_status(RunStatus.model_validate({"status": "succeeded", "launched_at": now()}))
    folder.result_path.write_text(json.dumps(result), encoding="utf-8")
    return folder


def evaluated(settings: Settings, adapter: Path) -> RunFolder:
    """An evaluation of the adapter, known to the index of runs."""
    run_id = "20260102-120000-evaluate-abcdef"
    measured = {"base": 9.5, "finetuned": 3.25, "ci95": [-70.0, -60.0], "n": 20}
    score = {"name": "valid.jsonl", "metric": "exact_match", "base": 0.1, "finetuned": 0.8, "ci95": [0.5, 0.9], "n": 20}
    result = {
        "data_path": "/data/valid.jsonl", "rows": 20, "verdict": "improved", "perplexity": measured, "loss": None,
        "scores": [score], "benchmarks": [],
    }  # fmt: skip
    resolved = {"finetuned_path": str(adapter), "dry_run": False}
    folder = finished_run(settings.roots[0] / "evaluation", run_id, resolved, result)
    index.add(index.Pointer(run_id=run_id, run_dir=folder.path, mode="evaluate", request_key=""), settings)
    return folder


def test_an_adapter_is_not_merged_twice_in_silence(settings):
    root = settings.roots[0]
    adapter, base = trained(settings) / "adapter", root / "base"
    merged = folder_of(merge(settings, model_name=str(base), adapter_path=adapter, output_dir=root / "once"))
    before = {"adapter_path": [str(adapter)], "dry_run": False}
    run = finished_run(root / "once", "20260103-120000-merge-abcdef", before, {})
    again = merge(settings, model_name=str(merged), adapter_path=adapter, output_dir=root / "twice", verify=False)
    check = next(check for check in again.checks if check.name == "adapter_base")
    assert (check.status, f"(run {run.run_id} merged it in)" in check.details) == ("fail", True), check.details
    other = make_adapter(merged, root / "next")
    found = merge(settings, model_name=str(merged), adapter_path=other, output_dir=root / "more", verify=False)
    assert next(check.status for check in found.checks if check.name == "adapter_base") == "pass"


def test_the_card_tells_base_data_training_scores_and_licence(settings):
    out, root = trained(settings), settings.roots[0]
    (root / "base" / "LICENSE").write_text("Apache License\nVersion 2.0", encoding="utf-8")
    configuration = {"effective": {"rank": 4, "learning_rate": 2e-4, "epochs": 3, "max_steps": None}}
    checkpoints = [{"val_loss": 1.5, "is_best": False}, {"val_loss": 1.25, "is_best": True}]
    resolved = {"technique": "lora", "method": "sft", "data_path": str(root / "data")}
    result = {"configuration": configuration, "checkpoints": checkpoints}
    finished_run(out, "20260101-130000-train-fedcba", resolved, result)  # the newest counts
    evaluated(settings, out / "adapter")
    merged = folder_of(merge(settings, model_name="base", adapter_path=out, output_dir="merged"))
    text = (merged / "README.md").read_text(encoding="utf-8")
    digest = hashlib.sha256((root / "data" / "train.jsonl").read_bytes()).hexdigest()
    for part in (
        "base_model: base", "license: apache-2.0", "- Licence: apache-2.0, inherited from the base model.",
        f"`data`, from run 20260101-130000-train-fedcba, SHA-256 of its rows `{digest}`",
        "| learning_rate | 0.0002 |", "| best validation loss | 1.25 |", "| method | sft |",
        "On 20 held-out rows of `valid.jsonl` (run 20260102-120000-evaluate-abcdef), against the base model. "
        "Verdict: improved.",
        "| valid.jsonl | perplexity | 9.5 | 3.25 | -70% to -60% | 20 |",
        "| valid.jsonl | exact_match | 0.1 | 0.8 | +0.5 to +0.9 | 20 |",
        "metric", "value: 0.8",
    ):  # fmt: skip
        assert part in text, part
    assert "max_steps" not in text
    assert (merged / "LICENSE").is_file()
    assert str(root) not in text


def test_the_card_admits_what_is_not_known(settings):
    base = tiny_model(settings.roots[0] / "base")
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    text = (
        folder_of(merge(settings, model_name="base", adapter_path=adapter, output_dir="m")) / "README.md"
    ).read_text(encoding="utf-8")
    assert "Training data: unknown" in text
    assert "Not measured: no evaluation of this adapter is known." in text
    assert "its folder does not name one" in text
    assert "license:" not in text


def test_data_that_changed_since_training_has_no_fingerprint(settings):
    out = trained(settings)
    rows = settings.roots[0] / "data" / "train.jsonl"
    later = rows.stat().st_mtime + 3600
    os.utime(rows, (later, later))
    found = find_training(out / "adapter", settings)
    assert found is not None
    assert found.data_sha256 is None


def test_an_evaluation_of_weights_that_changed_since_does_not_count(settings):
    adapter = trained(settings) / "adapter"
    evaluated(settings, adapter)
    found = find_evaluation(adapter, settings)
    assert found is not None
    assert found.verdict == "improved"
    weights = adapter / "adapter_model.safetensors"
    later = weights.stat().st_mtime + 3600
    os.utime(weights, (later, later))
    assert find_evaluation(adapter, settings) is None


def test_held_out_rows_of_the_training_data_are_the_prompts(settings):
    out = trained(settings)
    result = merge(settings, model_name="base", adapter_path=out, output_dir="merged")
    assert proof_of(result).prompt_source == "rows of valid.jsonl"
    assert f"Training data: `data`, from run {RUN}" in (folder_of(result) / "README.md").read_text(encoding="utf-8")


def test_a_checkpoint_belongs_to_the_same_run(settings):
    out = trained(settings)
    checkpoint = out / "checkpoints" / "checkpoint-5"
    checkpoint.parent.mkdir()
    (out / "adapter").rename(checkpoint)
    found = find_training(checkpoint, settings)
    assert found is not None
    assert found.run_id == RUN


def test_a_qlora_adapter_goes_into_the_base_that_serves_it_better(settings):
    result = merge(settings, model_name="base", adapter_path=trained(settings, "qlora"), output_dir="merged")
    check = next(check for check in result.checks if check.name == "qlora_base")
    assert check.status == "pass"
    assert "4-bit base (QLoRA)" in check.details
    assert len([one for one in result.measured if "-bit base" in one.model]) == 2


def test_the_base_of_a_qlora_adapter_that_was_not_measured_is_told(settings):
    arguments = {"model_name": "base", "adapter_path": trained(settings, "qlora"), "output_dir": "merged"}
    result = merge(settings, **arguments, verify=False)
    check = next(check for check in result.checks if check.name == "qlora_base")
    assert check.status == "warn"
    assert "was not measured" in check.details


def test_data_that_is_gone_leaves_the_built_in_prompts(settings):
    out = trained(settings)
    (settings.roots[0] / "data" / "valid.jsonl").write_text("{oops", encoding="utf-8")
    result = merge(settings, model_name="base", adapter_path=out, output_dir="merged")
    assert "cannot be read any more" in proof_of(result).prompt_source


def test_a_failed_run_tells_nothing(settings):
    assert find_training(trained(settings, status="failed") / "adapter", settings) is None


def test_data_outside_the_roots_is_not_read(settings, tmp_path):
    out = trained(settings)
    record = out / ".run" / RUN / "run.json"
    outside = str(tmp_path / "outside")
    record.write_text(
        json.dumps(json.loads(record.read_bytes()) | {"resolved": {"data_path": outside}}), encoding="utf-8"
    )
    found = find_training(out / "adapter", settings)
    assert found is not None
    assert found.data_path is None


def test_the_mode_names_what_it_makes_and_reads(settings):
    out = trained(settings)
    request = resolve(
        MergeRequest(model_name="base", adapter_path=out, output_dir=Path("m"), gguf=("q8_0", "q8_0")), settings
    )
    assert MODE.outputs(request) == ("merged", "model-q8_0.gguf", "Modelfile")
    assert MODE.inputs(request) == (out / "adapter", settings.roots[0] / "base")
    assert MergeRequest.model_validate(request.model_dump(mode="json")) == request
    assert callable(load(MODE.run))
    assert callable(load(MODE.report))
