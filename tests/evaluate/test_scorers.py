"""Scores of other packages: found by entry point, told with what is known of them, refused early when broken."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import InputError
from faion_finetuner.core.evaluate import scorers
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.request import EvaluateRequest, resolve
from faion_finetuner.core.evaluate.result import EvaluateResult
from faion_finetuner.core.evaluate.scoring import scores
from faion_finetuner.core.settings import Settings

from tests.evaluate.conftest import write_rows
from tests.evaluate.finished import Evaluations
from tests.tiny import tiny_rows

MODULE = """
import json
from faion_finetuner.core.evaluate.scorers import scorer

@scorer("Length", higher_is_better=False)
def length(answer, reference):
    return len(answer)

@scorer("Even", right_or_wrong=True)
def even(answer, reference):
    return len(answer) % 2 == 0

@scorer("Broken")
def broken(answer, reference):
    return 1 / 0

@scorer("First tool", right_or_wrong=True, tool_calls=True)
def first_tool(answer, reference):
    made, expected = json.loads(answer), json.loads(reference)
    return [one.get("name") for one in made[:1]] == [one["name"] for one in expected[:1]]

def plain(answer, reference):
    return 1
"""
NAMES = ("length", "even", "broken", "plain", "first_tool")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package with scorers."""
    folder = tmp_path / "site"
    info = folder / "my_scores-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "my_scores_module.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-scores\nVersion: 1.0\n")
    points = [*(f"{name} = my_scores_module:{name}" for name in NAMES), "gone = no_such_module:gone"]
    (info / "entry_points.txt").write_text("\n".join([f"[{scorers.GROUP}]", *points]))
    monkeypatch.syspath_prepend(folder)
    yield
    for name in NAMES:
        scores.SCORES.pop(name, None)
    sys.modules.pop("my_scores_module", None)


@pytest.fixture
def evaluations(evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch) -> Evaluations:
    evaluations.make_legible(monkeypatch)
    return evaluations


@pytest.mark.usefixtures("package")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_installed_scorer_is_a_metric_like_any_other(
    evaluations: Evaluations, settings: Settings, base_folder: Path, adapter_folder: Path
):
    data = write_rows(settings.roots[0] / "rows.jsonl", tiny_rows(12, seed=4))
    folder = evaluations.finish(
        "out",
        model_name=str(base_folder),
        finetuned_path=adapter_folder,
        data_path=data,
        metrics=("perplexity", "length", "even"),
    )
    result = EvaluateResult.model_validate_json(folder.result_path.read_bytes())
    length, even = result.scores
    assert (length.metric, length.higher_is_better, length.gained) == ("length", False, None)
    assert length.base is not None
    assert length.base > 4
    assert length.delta == pytest.approx((length.finetuned or 0) - length.base)
    assert (even.metric, even.higher_is_better) == ("even", True)
    assert even.gained is not None
    assert "| held-out rows | Length |" in report(result).markdown


@pytest.mark.usefixtures("package")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_scorer_of_tool_calls_gets_them_as_json_and_one_of_texts_the_other_rows(
    evaluations: Evaluations, settings: Settings, base_folder: Path
):
    call = {"type": "function", "function": {"name": "look", "arguments": '{"at": "a stone"}'}}
    rows = tiny_rows(16, seed=4)
    for row in rows[:6]:
        row["messages"][1] |= {"content": "", "tool_calls": [call]}
        row["tools"] = [{"type": "function", "function": {"name": "look"}}]
    for row in rows[6:8]:
        row["tools"] = [{"type": "function", "function": {"name": "look"}}]
    data = write_rows(settings.roots[0] / "rows.jsonl", rows)
    folder = evaluations.finish(
        "out", model_name=str(base_folder), data_path=data, metrics=("length", "first_tool", "tool_calls")
    )
    result = EvaluateResult.model_validate_json(folder.result_path.read_bytes())
    found = {row.metric: (row.n, row.base) for row in result.scores}
    assert found["first_tool"] == (8, 2 / 8)  # two that expect no call, and make none
    assert found["length"][0] == 10
    assert (found["tool_match"], found["tool_overcall"]) == ((6, 0), (2, 0))


@pytest.mark.usefixtures("package")
def test_an_unknown_metric_is_refused_with_the_nearest_name(settings: Settings, base_folder: Path):
    data = write_rows(settings.roots[0] / "rows.jsonl", tiny_rows(3))
    seen = settings.model_copy(update={"roots": (*settings.roots, base_folder.parent)})
    arguments: dict[str, Any] = {"model_name": str(base_folder), "data_path": data, "output_dir": data.parent / "out"}
    assert resolve(EvaluateRequest(metrics=("even", "bleu"), **arguments), seen).metrics == ("even", "bleu")
    with pytest.raises(InputError, match="lenght") as refused:
        resolve(EvaluateRequest(metrics=("lenght",), **arguments), seen)
    assert refused.value.next_step == "Did you mean length?"
    assert scorers.GROUP in refused.value.problem


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "says"),
    [("gone", "cannot be imported: ModuleNotFoundError"), ("plain", "is no scorer"), ("other", "no sc")],
)
def test_a_scorer_that_cannot_be_had_is_said_before_any_model_is_loaded(
    evaluations: Evaluations,
    settings: Settings,
    base_folder: Path,
    name: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("faion_finetuner.core.evaluate.contestants.load_base", None)
    monkeypatch.setattr(scorers, "names", lambda: (name,))
    data = write_rows(settings.roots[0] / "rows.jsonl", tiny_rows(3))
    with pytest.raises(InputError, match=says):
        evaluations.finish("out", model_name=str(base_folder), data_path=data, metrics=(name,))


@pytest.mark.usefixtures("package")
def test_a_scorer_that_fails_or_gives_no_number_is_named():
    with pytest.raises(InputError, match=r"'Broken' fails on an answer with ZeroDivisionError"):
        scores.find("broken").rows(["a"], ["b"])
    half = scorers.scorer("Half", right_or_wrong=True)(lambda *_: 0.5)
    with pytest.raises(InputError, match="0 or 1 was expected"):
        half("a", "b")
    nothing = scorers.scorer("Nothing")(lambda *_: float("nan"))
    with pytest.raises(InputError, match="a finite number"):
        nothing("a", "b")


def test_the_example_in_the_documentation_runs():
    text = (scorers.__doc__ or "").split("\n\n")
    code = "\n".join(line.removeprefix("    ") for part in text[1:3] for line in part.splitlines())
    made: dict[str, Any] = {}
    exec(code, made)
    assert made["polite"]("Yes, please", "") == 1
