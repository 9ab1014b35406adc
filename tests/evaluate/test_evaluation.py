"""The whole mode on a tiny model with a random adapter."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import Cancelled, DataError, FinetunerError, InputError
from faion_finetuner.core.evaluate import evaluation
from faion_finetuner.core.evaluate.mode import MODE
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.request import EvaluateRequest, resolve
from faion_finetuner.core.evaluate.result import EvaluateResult
from faion_finetuner.core.reports.report import write_report
from faion_finetuner.core.runs.active import ActiveRun
from faion_finetuner.core.runs.record import RunFolder, RunStatus, now
from faion_finetuner.core.settings import Settings
from safetensors.torch import load_file, save_file

from tests.evaluate.conftest import distinct_rows, save_adapter, write_rows
from tests.evaluate.world import World, statuses
from tests.tiny import tiny_model, tiny_rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft 0.21 asks transformers 5 by the old name
)

COLOURS = """task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: items.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_target: right
doc_to_choice: c
metric_list: [{metric: acc}]
metadata: {version: 1.0}
"""
SECTIONS = [
    "## Perplexity Comparison",
    "## Benchmark Results",
    "## Task-Specific Evaluation",
    "## Sample Outputs",
    "## Regression Check",
    "## Recommendations",
]


def test_base_and_adapter_are_measured_on_the_same_rows(
    world: World, prepared: Path, base_folder: Path, adapter_folder: Path
):
    result = world.run(model_name=str(base_folder), finetuned_path=adapter_folder, data_path=prepared, samples=2)
    assert result.data_path == str(prepared / "valid.jsonl")
    assert (result.rows, result.answer_kind) == (24, "json")
    assert result.perplexity is not None
    assert result.loss is not None
    assert result.perplexity.base is not None
    assert result.perplexity.base != result.perplexity.finetuned
    assert result.perplexity.ci95 is not None
    assert result.perplexity.ci95.low <= (result.perplexity.change_percent or 0) <= result.perplexity.ci95.high
    assert [row.metric for row in result.scores] == ["exact_match", "json_valid", "json_fields"]
    assert {row.n for row in result.scores} == {24}
    assert len(result.samples) == 2
    assert statuses(result) == {
        "rows": "pass", "held_out": "pass", "finite": "pass", "has_effect": "pass", "answers_end": "warn",
        "copied_answers": "pass", "overfitting": "pass",
    }  # fmt: skip
    lines = [json.loads(line) for line in (world.output_dir / "samples.jsonl").read_text().splitlines()]
    assert len(lines) == 24
    assert set(lines[0]) == {"prompt", "reference", "base", "finetuned", "flip"}
    assert any(line["base"] != line["finetuned"] for line in lines)


def test_bits_per_byte_share_the_loss_of_the_answers_out_over_their_utf_8_bytes(
    world: World, base_folder: Path, adapter_folder: Path
):
    answers = ["a red stone", "grün", "a", "die blaue Wolke am Fenster"] * 3
    rows = [
        {"messages": [{"role": "user", "content": f"Row {n}?"}, {"role": "assistant", "content": answer}]}
        for n, answer in enumerate(answers)
    ]
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    result = world.run(model_name=str(base_folder), finetuned_path=adapter_folder, data_path=data)
    assert result.loss is not None
    assert result.loss.base is not None
    assert result.bits_per_byte is not None
    bits = result.loss.base * result.loss.tokens / math.log(2)
    assert result.bits_per_byte.base == pytest.approx(bits / sum(len(answer.encode()) for answer in answers))
    assert result.bits_per_byte.ci95 is not None
    assert result.bits_per_byte.change_percent == pytest.approx(result.loss.change_percent)
    table = report(result).markdown.split("## Benchmark Results")[0]
    assert "| Model | Perplexity | Loss | Bits per byte | Perplexity, prompts included |" in table
    interval = next(line for line in table.splitlines() if line.startswith("| 95% interval |"))
    assert interval.count("%") == 5


def test_rows_longer_than_the_window_count_in_the_loss_and_are_not_asked_where_no_answer_fits(
    world: World, base_folder: Path, adapter_folder: Path
):
    rows = distinct_rows(12, seed=6)
    rows[3]["messages"][0]["content"] = "I see a red apple. " * 120
    rows[4]["messages"][1]["content"] = "A blue stone. " * 20
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    result = world.run(model_name=str(base_folder), finetuned_path=adapter_folder, data_path=data)
    assert result.rows == 12
    assert result.perplexity_all_tokens is not None
    assert result.perplexity_all_tokens.n == 12
    assert {row.n for row in result.scores} == {11}
    (fit,) = (check for check in result.checks if check.name == "prompts_fit")
    assert (fit.status, fit.count) == ("warn", 1)
    assert "their rows are not answered" in fit.details
    assert "1 are longer than the window itself, the longest by " in fit.details
    assert statuses(result)["rows"] == "pass"


def test_the_run_leaves_exactly_these_files(world: World, prepared: Path, base_folder: Path, adapter_folder: Path):
    arguments = {"model_name": str(base_folder), "finetuned_path": adapter_folder, "data_path": prepared}
    result = world.run(**arguments)
    run_dir = world.output_dir / ".run" / "evaluate-1"
    write_report(report(result), run_dir, world.output_dir)
    expected = {"samples.jsonl", "evaluation.png", "report.md", "report.html", ".run"}
    assert {path.name for path in world.output_dir.iterdir()} == expected
    request = EvaluateRequest(output_dir=world.output_dir, **arguments)
    assert set(MODE.outputs(request)) == {"samples.jsonl", "evaluation.png"}


def test_the_report_has_the_sections_in_order_and_survives_a_round_trip(
    world: World, prepared: Path, base_folder: Path, adapter_folder: Path
):
    result = world.run(model_name=str(base_folder), finetuned_path=adapter_folder, data_path=prepared)
    again = EvaluateResult.model_validate_json(result.model_dump_json())
    assert again == result
    made = report(again)
    assert made.title == "Model Evaluation Report"
    headings = [line for line in made.markdown.splitlines() if line.startswith("## ")]
    assert headings == SECTIONS
    assert f"**{made.headline}**" in made.markdown.split("## ")[0]
    assert made.figures[0].image.startswith(b"\x89PNG")


def test_text_from_data_cannot_break_out_of_its_box(world: World, base_folder: Path):
    row = {"messages": [{"role": "user", "content": "``` \n# Heading\n"}, {"role": "assistant", "content": "ok"}]}
    data = write_rows(world.settings.roots[0] / "rows.jsonl", [row])
    made = report(world.run(model_name=str(base_folder), data_path=data))
    assert "````text\n```" in made.markdown


def test_the_base_alone_is_measured_and_the_other_fields_are_null(world: World, prepared: Path, base_folder: Path):
    result = world.run(model_name=str(base_folder), data_path=prepared / "train.jsonl", limit=7, samples=1)
    assert result.rows == 7
    assert result.verdict == "base only"
    assert result.perplexity is not None
    assert (result.perplexity.finetuned, result.perplexity.ci95, result.perplexity.verdict) == (None, None, None)
    assert {(row.finetuned, row.delta, row.ci95, row.p_value, row.verdict) for row in result.scores} == {(None,) * 5}
    for alone in (result.perplexity, result.perplexity_all_tokens, result.loss, result.bits_per_byte, *result.scores):
        assert alone is not None
        assert alone.base is not None
        assert alone.base_ci95 is None or alone.base_ci95.low <= alone.base <= alone.base_ci95.high
    assert result.perplexity.base_ci95 is not None
    assert result.scores[0].base_ci95 is not None  # exact match: a share has one even where every row is wrong
    assert result.samples[0].finetuned is None
    assert {row.status for row in result.regression} == {None}
    assert result.generation_finetuned is None
    assert set(statuses(result)) == {"rows", "finite", "answers_end"}
    assert {path.name for path in world.output_dir.iterdir()} == {"samples.jsonl", ".run"}
    text = report(result).markdown
    low, high = result.perplexity.base_ci95
    assert f"| 95% interval | {low:,.2f} to {high:,.2f} |" in text
    assert "| held-out rows | Exact match | 0.0% | 0.0% to " in text
    assert "| Delta |" not in text


def test_an_adapter_gives_the_same_numbers_as_the_model_it_is_merged_into(
    world: World, prepared: Path, base_folder: Path, adapter_folder: Path
):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    merged = base_folder.parent / "merged"
    whole: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder), str(adapter_folder))
    whole.merge_and_unload().save_pretrained(merged)
    arguments = {"model_name": str(base_folder), "data_path": prepared, "metrics": ("perplexity",), "samples": 0}
    by_adapter = world.run(finetuned_path=adapter_folder, **arguments).perplexity
    by_merged = world.run(finetuned_path=merged, **arguments).perplexity
    assert by_adapter is not None
    assert by_merged is not None
    assert by_merged.base == by_adapter.base
    assert by_merged.finetuned == pytest.approx(by_adapter.finetuned, rel=2e-2)  # bfloat16 rounds the merged weights


def test_an_adapter_without_effect_is_not_trusted(world: World, prepared: Path, base_folder: Path):
    adapter = save_adapter(base_folder, base_folder.parent / "no-effect", random=False)
    result = world.run(model_name=str(base_folder), finetuned_path=adapter, data_path=prepared)
    assert statuses(result)["has_effect"] == "fail"
    assert result.verdict == "not trustworthy"
    assert "exactly as the base does" in report(result).headline


def test_held_out_rows_that_were_trained_on_are_found(
    world: World, prepared: Path, base_folder: Path, adapter_folder: Path
):
    train = (prepared / "train.jsonl").read_text().splitlines()
    (prepared / "valid.jsonl").write_text("\n".join(train[:12]).upper().replace("MESSAGES", "messages").lower())
    result = world.run(model_name=str(base_folder), finetuned_path=adapter_folder, data_path=prepared, samples=0)
    (leak,) = (check for check in result.checks if check.name == "held_out")
    assert (leak.status, leak.count) == ("fail", 12)
    assert result.verdict == "not trustworthy"


def test_measuring_on_the_training_file_itself_is_not_trusted(
    world: World, prepared: Path, base_folder: Path, adapter_folder: Path
):
    result = world.run(
        model_name=str(base_folder), finetuned_path=adapter_folder, data_path=prepared / "train.jsonl", limit=12
    )
    assert statuses(result)["held_out"] == "fail"


def test_only_the_named_metrics_are_computed(world: World, prepared: Path, base_folder: Path):
    result = world.run(
        model_name=str(base_folder), data_path=prepared, metrics=("loss", "exact_match", "accuracy"), samples=1
    )
    assert result.perplexity is None
    assert result.loss is not None
    assert [row.metric for row in result.scores] == ["exact_match"]
    (unfit,) = (check for check in result.checks if check.name == "metrics")
    assert "accuracy" in unfit.details


def test_without_text_scores_only_the_shown_rows_are_answered(world: World, prepared: Path, base_folder: Path):
    result = world.run(model_name=str(base_folder), data_path=prepared, metrics=("perplexity",), samples=3)
    assert result.generation_base is not None
    assert result.generation_base.answers == 3
    assert len(result.samples) == 3


def test_a_dry_run_writes_nothing_and_says_what_would_be_done(
    world: World, prepared: Path, base_folder: Path, adapter_folder: Path, settings: Settings
):
    request = resolve(
        EvaluateRequest(
            model_name=str(base_folder),
            finetuned_path=adapter_folder,
            data_path=prepared,
            output_dir=world.output_dir,
            dry_run=True,
        ),
        world.settings,
    )
    folder = RunFolder(path=settings.state_dir / "dry")
    folder.path.mkdir(parents=True)
    folder.write_status(RunStatus(status="running", launched_at=now()))
    result = evaluation.run(request, ActiveRun(folder, world.output_dir))
    assert result.plan is not None
    assert result.plan.rows == 24
    assert (result.verdict, result.perplexity) == (None, None)
    assert not world.output_dir.exists()
    assert "## Plan" in report(result).markdown


def test_a_resumed_run_takes_what_the_first_attempt_had_measured(
    world: World, prepared: Path, base_folder: Path, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    request = resolve(
        EvaluateRequest(
            model_name=str(base_folder), finetuned_path=adapter_folder, data_path=prepared, output_dir=world.output_dir
        ),
        world.settings,
    )
    first = evaluation.run(request, world.active())

    def must_not_run(*_: Any) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("faion_finetuner.core.evaluate.local.likelihood.measure", must_not_run)
    again = evaluation.run(request, world.active(resume=True))
    same = {"evaluated_at", "seconds"}
    assert again.model_dump(exclude=same) == first.model_dump(exclude=same)


def test_a_resumed_run_measures_again_what_has_changed_since(world: World, base_folder: Path, adapter_folder: Path):
    adapter = shutil.copytree(adapter_folder, world.settings.roots[0] / "copied")
    data = write_rows(world.settings.roots[0] / "rows.jsonl", tiny_rows(12, seed=1))
    request = resolve(
        EvaluateRequest(
            model_name=str(base_folder), finetuned_path=adapter, data_path=data, output_dir=world.output_dir
        ),
        world.settings,
    )

    def losses(*, resume: bool) -> tuple[float | None, float | None]:
        found = evaluation.run(request, world.active(resume=resume)).loss
        assert found is not None
        return found.base, found.finetuned

    first = losses(resume=False)
    assert losses(resume=True) == first
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: 3 * weight for name, weight in weights.items()}, adapter / "adapter_model.safetensors")
    retrained = losses(resume=True)
    assert retrained[0] == first[0]
    assert retrained[1] != first[1]
    write_rows(data, tiny_rows(12, seed=2))
    assert losses(resume=True)[0] != first[0]


def test_a_stop_ends_the_work_between_batches(world: World, prepared: Path, base_folder: Path):
    request = resolve(
        EvaluateRequest(model_name=str(base_folder), data_path=prepared, output_dir=world.output_dir), world.settings
    )
    run = world.active()
    run.request_stop()
    with pytest.raises(Cancelled):
        evaluation.run(request, run)
    assert {path.name for path in world.output_dir.iterdir()} == {".run"}


def test_rows_without_an_answer_are_left_out_and_counted(world: World, base_folder: Path):
    rows = [*distinct_rows(11, seed=1), {"messages": [{"role": "user", "content": "Hello?"}]}]
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    result = world.run(model_name=str(base_folder), data_path=data)
    assert result.rows == 11
    (check,) = (check for check in result.checks if check.name == "rows")
    assert (check.status, check.count) == ("warn", 1)


def test_data_without_any_answer_is_refused(world: World, base_folder: Path):
    data = write_rows(world.settings.roots[0] / "rows.jsonl", [{"messages": [{"role": "user", "content": "Hello?"}]}])
    with pytest.raises(DataError, match="answer"):
        world.run(model_name=str(base_folder), data_path=data)


def test_another_chat_template_in_the_fine_tuned_folder_is_told(world: World, prepared: Path, base_folder: Path):
    other = tiny_model(base_folder.parent / "other-template", seed=1)
    template = (other / "chat_template.jinja").read_text()
    (other / "chat_template.jinja").write_text(template.replace("\n", " "))
    result = world.run(model_name=str(base_folder), finetuned_path=other, data_path=prepared)
    assert statuses(result)["same_prompts"] == "warn"


def test_broken_weights_are_told_and_the_base_still_counts(world: World, prepared: Path, base_folder: Path):
    from safetensors.torch import load_file, save_file

    broken = tiny_model(base_folder.parent / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"] *= float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    result = world.run(model_name=str(base_folder), finetuned_path=broken, data_path=prepared)
    assert statuses(result)["finite"] == "fail"
    assert result.perplexity is not None
    assert result.perplexity.base is not None
    assert result.perplexity.finetuned is None
    assert result.verdict == "not trustworthy"
    report(result)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"finetuned_path": "prepared"}, "neither an adapter"),
        ({"finetuned_path": "missing"}, "does not exist"),
        ({"data_path": "empty"}, "valid.jsonl"),
        ({"model_name": "smollm2-135m-instrukt"}, "no model"),
        ({"benchmarks_dir": "empty"}, "yaml"),
        ({"output_dir": "/elsewhere"}, "outside"),
    ],
)
def test_what_cannot_be_is_refused_with_a_next_step(
    world: World, prepared: Path, base_folder: Path, change: dict[str, Any], says: str
):
    root = world.settings.roots[0]
    (root / "empty").mkdir()
    arguments = {"model_name": str(base_folder), "data_path": prepared, "output_dir": world.output_dir} | change
    with pytest.raises(FinetunerError, match=says) as refused:
        resolve(EvaluateRequest(**arguments), world.settings)
    assert refused.value.next_step


def test_all_problems_of_a_request_are_named_at_once(world: World, prepared: Path):
    request = EvaluateRequest(
        model_name="no such model", data_path=Path("missing.jsonl"), output_dir=Path("/elsewhere")
    )
    with pytest.raises(InputError) as refused:
        resolve(request, world.settings)
    assert refused.value.problem.count("\n- ") == 2


def test_the_folder_of_a_train_run_is_understood(world: World, prepared: Path, base_folder: Path):
    save_adapter(base_folder, base_folder.parent / "trained" / "adapter", random=True)
    request = EvaluateRequest(
        model_name=str(base_folder),
        finetuned_path=base_folder.parent / "trained",
        data_path=prepared,
        output_dir=world.output_dir,
    )
    assert resolve(request, world.settings).finetuned_path == base_folder.parent / "trained" / "adapter"


def test_benchmarks_are_compared_item_by_item_and_count_as_capabilities(
    world: World, prepared: Path, base_folder: Path, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", world.settings.cache_dir / "datasets")
    tasks = world.settings.roots[0] / "tasks"
    tasks.mkdir()
    (tasks / "colours.yaml").write_text(COLOURS)
    write_rows(tasks / "items.jsonl", [{"q": f"Item {n}?", "c": ["red", "blue"], "right": n % 2} for n in range(14)])
    result = world.run(
        model_name=str(base_folder),
        finetuned_path=adapter_folder,
        data_path=prepared,
        metrics=("perplexity",),
        samples=0,
        benchmarks=("colours",),
        benchmarks_dir=tasks,
    )
    (row,) = result.benchmarks
    assert (row.name, row.metric, row.n) == ("colours", "acc", 14)
    assert row.delta == pytest.approx((row.finetuned or 0) - (row.base or 0))
    assert row.p_value is not None
    assert row.ci95 is not None
    assert result.regression[-1].capability == "colours"
    assert (result.regression[-1].delta, result.regression[-1].ci95) == (row.delta, row.ci95)
    assert "| colours, acc |" in report(result).markdown
