"""An adapter from a train run is checked on that run's own held-out rows, and what the run tells is passed on."""

import json
from pathlib import Path

import pytest
from faion_finetuner.core.merge.mode import MODE
from faion_finetuner.core.merge.provenance import find_training
from faion_finetuner.core.merge.request import MergeRequest, resolve
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
