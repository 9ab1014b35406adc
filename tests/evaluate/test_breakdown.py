"""Loss by length and confusion of labels: the numbers, and where a person sees them."""

from pathlib import Path

import pytest
from faion_finetuner.core.evaluate.findings.breakdown import by_length
from faion_finetuner.core.evaluate.local.likelihood import ItemLikelihood
from faion_finetuner.core.evaluate.reporting.breakdown import by_length as lengths_told
from faion_finetuner.core.evaluate.reporting.breakdown import confusion as told
from faion_finetuner.core.evaluate.reporting.figure import confusion, loss_by_length
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.result import Breakdown, Confusion, EvaluateResult
from faion_finetuner.core.settings import Settings

from tests.evaluate.conftest import write_rows
from tests.evaluate.finished import Evaluations


def item(tokens: int, loss: float) -> ItemLikelihood:
    return ItemLikelihood(answer_nll=tokens * loss, answer_tokens=tokens, all_nll=1.0, all_tokens=tokens + 3)


def test_rows_of_like_length_share_a_bin_and_its_loss_is_weighted_by_tokens():
    base = [item(2, 3.0)] * 8 + [item(10, 1.0)] * 6 + [item(30, 2.0), item(10, 4.0)]
    bins = by_length(base, [item(one.answer_tokens, 0.5) for one in base])
    assert [(one.tokens_from, one.tokens_to, one.n) for one in bins] == [(2, 2, 8), (10, 10, 7), (30, 30, 1)]
    assert [one.base for one in bins] == pytest.approx([3.0, 10 / 7, 2.0])
    assert {one.finetuned for one in bins} == {0.5}


def test_few_rows_and_broken_numbers_give_no_bins():
    assert by_length([item(3, 1.0)] * 3, None) == ()
    assert by_length([item(3, float("nan"))] * 30, None) == ()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_labels_are_counted_and_every_picture_is_in_the_page(
    settings: Settings, base_folder: Path, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    evaluations = Evaluations(settings, base_folder.parent)
    for name, value in evaluations.settings.as_environment().items():
        monkeypatch.setenv(name, value)
    rows = [
        {"messages": [{"role": "user", "content": f"Kind {n}?"}, {"role": "assistant", "content": kind}]}
        for n in range(5)
        for kind in ("Red!", "a rather long $5 <b>")
    ]
    data = write_rows(settings.roots[0] / "rows.jsonl", rows)
    folder = evaluations.finish("out", model_name=str(base_folder), finetuned_path=adapter_folder, data_path=data)
    result = EvaluateResult.model_validate_json(folder.result_path.read_bytes())
    assert result.breakdown is not None
    found = result.breakdown.confusion
    assert found is not None
    assert found.labels == ("a rather long $5 <b>", "Red!")
    assert [sum(row) for row in found.base] == [5, 5]
    assert found.finetuned is not None
    assert [sum(row) for row in found.finetuned] == [5, 5]
    assert sum(one.n for one in result.breakdown.by_length) == 10
    made = report(result)
    assert [one.name for one in made.figures] == ["evaluation.png", "loss-by-length.svg", "confusion.svg"]
    page = (folder.path / "report.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2
    assert {path.name for path in folder.path.parents[1].iterdir()} == {
        "evaluation.png", "report.html", "report.md", "samples.jsonl", ".run",
    }  # fmt: skip


def test_the_most_frequent_mixups_of_the_fine_tuned_model_come_first():
    found = Confusion(labels=("a", "b"), base=((5, 5, 0), (0, 4, 6)), finetuned=((10, 0, 0), (3, 6, 1)))
    _, table = told(Breakdown(confusion=found))
    assert [line.split(" | ")[0:2] for line in table.splitlines()[2:]] == [
        ["| «b»", "«a»"],
        ["| «b»", "none of the labels"],
        ["| «a»", "«b»"],
    ]


def test_a_base_alone_has_no_columns_of_another_model():
    base = [item(2, 3.0)] * 8 + [item(10, 1.0)] * 6 + [item(30, 2.0), item(31, 4.0)]
    (lengths,) = lengths_told(Breakdown(by_length=by_length(base, None)))
    assert lengths.splitlines()[0] == "| Tokens of the answer | Rows | Loss, base |"
    assert "| 2 | 8 | 3.000 |" in lengths
    _, labels = told(Breakdown(confusion=Confusion(labels=("a", "b"), base=((5, 5, 0), (0, 4, 6)))))
    assert labels.splitlines()[0] == "| Reference | Answered | Base |"
    assert "n/a" not in lengths + labels


def test_pictures_are_the_same_bytes_for_the_same_numbers_and_keep_letters_as_letters():
    found = Confusion(labels=tuple(f"label <{n}>" for n in range(12)), base=((1,) * 13,) * 12)
    assert confusion(found) == confusion(found)
    assert b"label &lt;3&gt;" in confusion(found)
    assert b"Loss by length" in loss_by_length(by_length([item(n, 1.0) for n in range(1, 30)], None))
