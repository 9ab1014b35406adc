"""The demo's way with the built-in model: real weights, real GGUF files, over stdio."""

import json
from pathlib import Path

import pytest
from faion_finetuner.core.settings import CACHE, Settings
from faion_finetuner.server.demo.walk import walk

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(1500)]


async def test_the_demo_goes_the_whole_way_and_leaves_a_summary(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv(CACHE)  # the converted model and the converter that the setup script has fetched
    output = settings.roots[0] / "demo-output"
    few_steps = {"max_steps": 12, "learning_rate": 1e-3, "batch_size": 4, "gradient_accumulation": 1}
    assert await walk(output, rows=120, hyperparameters=few_steps) == 0, capsys.readouterr().out

    assert {path.name for path in output.iterdir()} == {
        "raw.jsonl",
        "data",
        "model",
        "evaluation",
        "export",
        "summary.json",
    }
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    assert summary.keys() == {"prepare", "train", "evaluate", "merge", "planted", "seconds"}
    planted, prepared = summary["planted"], summary["prepare"]
    assert prepared["source"]["rows_read"] == planted["lines"]
    assert prepared["dropped_by_reason"]["invalid_json"] == planted["bad_json"]
    assert prepared["duplicates_removed"] == planted["exact_duplicates"]

    losses = [line["val_loss"] for line in summary["train"]["metrics"] if line["val_loss"] is not None]
    assert losses[-1] < losses[0]
    assert summary["evaluate"]["loss"]["finetuned"] < summary["evaluate"]["loss"]["base"]
    assert summary["merge"]["verification"]["status"] == "pass"
    assert [export["quantization"] for export in summary["merge"]["exports"]] == ["q8_0", "q4_k_m"]
    for export in summary["merge"]["exports"]:
        assert export["verification"]["status"] == "pass", export
        assert Path(export["path"]).stat().st_size == export["bytes"]

    printed = capsys.readouterr().out
    for report in ("Dataset Validation Report", "Training Progress Report", "Model Evaluation Report", "Merge Report"):
        assert f"# {report}" in printed
