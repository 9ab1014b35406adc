"""Rows that only one model got right: counted by score, shown with their texts."""

import json
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.evaluate.findings import flips
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.result import EvaluateResult, Sample
from faion_finetuner.core.models.generate import Generation
from faion_finetuner.core.settings import Settings

from tests.evaluate.conftest import write_rows
from tests.evaluate.finished import Evaluations

KINDS = ("red", "green", "blue")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_flips_are_counted_and_their_texts_shown_lost_ones_first(
    settings: Settings, base_folder: Path, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    evaluations = Evaluations(settings, base_folder.parent)
    for name, value in evaluations.settings.as_environment().items():
        monkeypatch.setenv(name, value)
    references = [KINDS[n % 3] for n in range(12)]
    rows = [
        {"messages": [{"role": "user", "content": f"Row {n}?"}, {"role": "assistant", "content": kind}]}
        for n, kind in enumerate(references)
    ]
    data = write_rows(settings.roots[0] / "rows.jsonl", rows)
    wrong = iter([{0, 1, 2, 3, 4}, {4, 5}])  # of the base, then of the fine-tuned model

    def answers(*_: Any, **__: Any) -> list[Generation]:
        mistakes = next(wrong)
        return [Generation("no" if n in mistakes else kind, True, 1) for n, kind in enumerate(references)]

    monkeypatch.setattr("faion_finetuner.core.evaluate.contestants.generate", answers)
    folder = evaluations.finish(
        "out", model_name=str(base_folder), finetuned_path=adapter_folder, data_path=data, samples=3
    )
    result = EvaluateResult.model_validate_json(folder.result_path.read_bytes())
    accuracy, f1 = result.scores
    assert (accuracy.metric, accuracy.gained, accuracy.lost) == ("accuracy", 4, 1)
    assert accuracy.detectable is not None
    assert (f1.gained, f1.lost) == (None, None)
    assert [one.flip for one in result.samples] == [None] * 3 + ["lost"] + ["gained"] * 3
    assert (result.samples[3].prompt, result.samples[3].base, result.samples[3].finetuned) == ("Row 5?", "blue", "no")
    lines = [json.loads(line) for line in Path(result.samples_path or "").read_text().splitlines()]
    assert [line["flip"] for line in lines] == ["gained"] * 4 + [None, "lost"] + [None] * 6
    text = report(result).markdown
    assert "**Right by the base, wrong by the fine-tuned model** (accuracy): 1 of 1" in text
    assert "**Wrong by the base, right by the fine-tuned model** (accuracy): 3 of 4" in text
    assert "| +4 -1 |" in text
    assert text.index("### Lost 1") < text.index("### Gained 1")


def test_a_flip_that_is_not_shown_as_drawn_is_shown_rather_than_one_that_is():
    samples = [Sample(prompt=f"Row {n}?", reference="a", base="b", finetuned="a", flip="gained") for n in range(4)]
    assert [one.prompt for one in flips.chosen(samples, 2, (0, 2))] == ["Row 1?", "Row 3?"]
    assert [one.prompt for one in flips.chosen(samples, 3, (0, 2))] == ["Row 1?", "Row 3?", "Row 0?"]
