"""Several fine-tuned models side by side, through `runs` and action compare."""

import json
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError
from faion_finetuner.core.evaluate.comparison import SHARE, compare, rows_of
from faion_finetuner.core.evaluate.items import ITEMS, Items, ScoreItems
from faion_finetuner.core.evaluate.result import EvaluateResult
from faion_finetuner.core.evaluate.scoring.scores import SCORES
from faion_finetuner.core.evaluate.versus import compare_runs
from faion_finetuner.core.runs.record import RunFolder

from tests.evaluate.conftest import save_adapter, write_rows
from tests.evaluate.finished import Evaluations
from tests.tiny import tiny_rows

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


@pytest.fixture
def arguments(base_folder: Path, prepared: Path) -> dict[str, Any]:
    return {"model_name": str(base_folder), "data_path": prepared, "metrics": ("perplexity", "exact_match", "chrf")}


async def test_two_tuned_models_on_the_same_items_stand_in_one_table(
    evaluations: Evaluations, arguments: dict[str, Any], base_folder: Path, adapter_folder: Path
):
    same = save_adapter(base_folder, base_folder.parent / "untrained", random=False)
    one = evaluations.finish("one", finetuned_path=adapter_folder, **arguments)
    two = evaluations.finish("two", finetuned_path=same, **arguments)
    reply = await evaluations.runs(action="compare", run_ids=[one.run_id, two.run_id])
    rows = {row["metric"]: row for row in reply.result.scores}
    assert rows.keys() == {"perplexity", "exact_match", "chrf"}
    for folder, place in ((one, 0), (two, 1)):
        own = EvaluateResult.model_validate_json(folder.result_path.read_bytes())
        assert own.perplexity is not None
        assert rows["perplexity"]["finetuned"][place] == pytest.approx(own.perplexity.finetuned)
        assert rows["perplexity"]["base"] == pytest.approx(own.perplexity.base)
        for score in own.scores:
            assert rows[score.metric]["finetuned"][place] == pytest.approx(score.finetuned)
    assert rows["perplexity"]["best"] == two.run_id  # the untrained adapter is the base itself
    assert rows["perplexity"]["proven"] is True
    assert {row["n"] for row in rows.values()} == {24}
    assert f"{two.run_id} is better" in reply.report_markdown
    assert [run.run_id for run in reply.result.comparison] == [one.run_id, two.run_id]


async def test_runs_over_other_rows_are_compared_on_their_common_items_and_say_so(
    evaluations: Evaluations, arguments: dict[str, Any], adapter_folder: Path
):
    one = evaluations.finish("one", finetuned_path=adapter_folder, **arguments)
    two = evaluations.finish("two", finetuned_path=adapter_folder, limit=10, **arguments)
    reply = await evaluations.runs(action="compare", run_ids=[one.run_id, two.run_id])
    assert {row["n"] for row in reply.result.scores} == {10}
    assert {row["delta"] for row in reply.result.scores} == {0}
    assert "on the 10 items that all runs have; each measured 10 to 24" in reply.report_markdown
    assert reply.report_markdown.count("| alike |") == 3  # no run is called the best of equals


async def test_runs_without_a_common_item_stand_side_by_side_with_the_reason(
    evaluations: Evaluations, arguments: dict[str, Any], adapter_folder: Path
):
    one = evaluations.finish("one", finetuned_path=adapter_folder, **arguments)
    rows = json.loads(json.dumps(tiny_rows(12, seed=9)).replace("What", "Which"))
    for number, row in enumerate(rows):
        row["messages"][0]["content"] += f" Number {number}."
    other = write_rows(evaluations.settings.roots[0] / "other.jsonl", rows)
    two = evaluations.finish("two", finetuned_path=adapter_folder, **arguments | {"data_path": other})
    reply = await evaluations.runs(action="compare", run_ids=[one.run_id, two.run_id])
    assert reply.result.scores is None
    assert "no item in common" in reply.report_markdown
    assert len(reply.result.comparison) == 2


async def test_a_base_alone_has_nothing_to_compare(
    evaluations: Evaluations, arguments: dict[str, Any], adapter_folder: Path
):
    one = evaluations.finish("one", finetuned_path=adapter_folder, **arguments)
    two = evaluations.finish("two", **arguments)
    reply = await evaluations.runs(action="compare", run_ids=[one.run_id, two.run_id])
    assert reply.result.scores is None
    assert "kept no items" in reply.report_markdown


def kept(path: Path, *scores: ScoreItems) -> RunFolder:
    """A finished run with these items and nothing else."""
    folder = RunFolder(path=path)
    folder.path.mkdir()
    (folder.path / ITEMS).write_text(Items(scores=scores).model_dump_json())
    return folder


def quiz(right: int, items: int, name: str = "quiz") -> ScoreItems:
    """A benchmark whose first items are right."""
    return ScoreItems(
        name=name, metric="acc", kind="benchmark", higher_is_better=True, keys=tuple(f"k{n}" for n in range(items)),
        base=((0.0, 1.0),) * items, finetuned=tuple((float(n < right), 1.0) for n in range(items)),
    )  # fmt: skip


def test_too_few_items_prove_nothing_and_do_not_weigh_on_the_others(tmp_path: Path):
    one = kept(tmp_path / "one", quiz(2, 20), quiz(0, 9, "short quiz"))
    two = kept(tmp_path / "two", quiz(9, 20), quiz(9, 9, "short quiz"))
    found = compare_runs([one, two])
    long, short = found.scores
    assert (long.best, long.p_value, long.proven) == ("two", pytest.approx(2 / 2**7), True)  # as if it stood alone
    assert (short.best, short.p_value, short.proven) == ("two", None, False)
    (line,) = (line for line in found.markdown.splitlines() if "short quiz" in line)
    assert line.endswith("| n/a | too few items |")


def test_macro_f1_over_other_labels_is_not_compared(tmp_path: Path):
    folders = []
    for name, references in (("one", ["b", "b", "a", "a"]), ("two", ["b", "b", "c", "c"])):
        rows = tuple(map(tuple, SCORES["f1"].rows(references, references).tolist()))
        score = ScoreItems(
            name="held-out rows", metric="f1", kind="text", higher_is_better=True, base=rows, finetuned=rows,
            keys=tuple(f"{reference}{n}" for n, reference in enumerate(references)),
        )  # fmt: skip
        folders.append(kept(tmp_path / name, score))
    with pytest.raises(DataError, match="other labels"):
        compare_runs(folders)


def test_the_lead_is_the_paired_comparison_of_best_and_next_best(tmp_path: Path):
    keys = tuple(f"k{n}" for n in range(40))
    right = {"a": 10, "b": 25, "c": 38}  # each right on its first so many items
    folders = []
    for name, count in right.items():
        rows = tuple((float(n < count), 1.0) for n in range(40))
        shuffled = sorted(range(40), key=lambda n: (n * 7 + count) % 40)  # the order of items does not matter
        score = ScoreItems(
            name="quiz", metric="acc", kind="benchmark", higher_is_better=True,
            keys=tuple(keys[n] for n in shuffled), base=tuple((0.0, 1.0) for _ in keys),
            finetuned=tuple(rows[n] for n in shuffled),
        )  # fmt: skip
        folders.append(kept(tmp_path / name, score))
    (row,) = compare_runs(folders).scores
    expected = compare(SHARE, rows_of([n < 25 for n in range(40)]), rows_of([n < 38 for n in range(40)]), 42)
    assert (row.best, row.finetuned, row.base, row.proven) == ("c", (0.25, 0.625, 0.95), 0.0, True)
    assert (row.delta, row.p_value, row.ci95) == (expected.delta, expected.p_value, expected.ci95)
