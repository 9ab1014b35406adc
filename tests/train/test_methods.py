"""Preference methods and kinds of adapters: what they learn, what they leave, and what they refuse."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from faion_finetuner.core.checks import Check
from faion_finetuner.core.errors import Cancelled, DataError, InputError
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.files import Prepared, load_prepared
from faion_finetuner.core.models.load import attach_adapter, load_base
from faion_finetuner.core.train.hyperparameters import Hyperparameters, Method, Technique, with_defaults
from faion_finetuner.core.train.job import run
from faion_finetuner.core.train.references import FILE
from faion_finetuner.core.train.result import TrainResult
from faion_finetuner.core.train.rows import Row, Rows, tokenise
from safetensors.torch import load_file, save_file

from .bench import THIRD_PARTIES, Bench, StopAfter
from .pairs import tiny_pairs, write_pairs, write_records
from .test_training import best_loss, validation_loss

pytestmark = THIRD_PARTIES

SHORT = {"max_steps": 8, "batch_size": 4, "gradient_accumulation": 1, "save_steps": 4, "dtype": "float32"}


@pytest.fixture
def pairs(bench: Bench) -> Bench:
    write_pairs(bench)
    return bench


def prefer(bench: Bench, method: Method, output: str = "out", **given: Any) -> TrainResult:
    numbers = SHORT | given.pop("hyperparameters", {})
    return bench.train(output, data_path="pairs", method=method, hyperparameters=numbers, **given)


def check(found: TrainResult | Rows, name: str) -> Check:
    return next(check for check in found.checks if check.name == name)


@pytest.mark.parametrize(("method", "before"), [("dpo", math.log(2)), ("kto", 0.5), ("orpo", None)])
def test_a_preference_method_learns_to_prefer_the_chosen_answers(pairs: Bench, method: Method, before: float | None):
    result = prefer(pairs, method, hyperparameters={"max_steps": 12})
    first, last = result.metrics[0], result.metrics[-1]
    if before is not None:  # the adapter begins as the base, so no answer is ahead
        assert first.val_loss == pytest.approx(before, abs=1e-5)
        assert first.reward_margin == pytest.approx(0, abs=1e-5)
    assert best_loss(result) < 0.95 * (first.val_loss or 0)
    assert (last.reward_margin or 0) > (first.reward_margin or 0) + 0.02
    assert last.reward_accuracy == 1
    assert all(metric.reward_margin is not None for metric in result.metrics)
    assert result.configuration.effective.beta == 0.1
    assert check(result, "Preference pairs").status == "pass"


def test_the_best_checkpoint_s_weights_are_the_result_of_a_preference_training(pairs: Bench):
    result = prefer(pairs, "dpo")
    assert result.adapter_path is not None
    assert result.best is not None
    adapter = load_file(Path(result.adapter_path) / "adapter_model.safetensors")
    checkpoint = load_file(Path(result.best.path) / "adapter_model.safetensors")
    assert all(torch.equal(adapter[name], checkpoint[name]) for name in checkpoint)


@pytest.mark.parametrize(("method", "technique"), [("dpo", "full"), ("kto", "lora")])
def test_a_stopped_preference_training_goes_on_to_the_same_losses(pairs: Bench, method: Method, technique: Technique):
    given = {"data_path": "pairs", "method": method, "technique": technique, "hyperparameters": SHORT}
    whole = pairs.train("whole", **given)
    with pytest.raises(Cancelled):
        run(pairs.request("cut", **given), StopAfter(pairs.active("cut"), 5))
    resumed = run(pairs.request("cut", **given), pairs.active("cut", resume=True))
    # the reference is the base, not the checkpoint that training goes on from
    for name in ("train_loss", "val_loss", "reward_margin"):
        losses, expected = ([getattr(metric, name) or 0 for metric in r.metrics] for r in (resumed, whole))
        assert losses == pytest.approx(expected, rel=1e-5)


def test_a_resumed_training_takes_the_references_that_were_computed_before_it(pairs: Bench):
    given = {"data_path": "pairs", "method": "dpo", "hyperparameters": SHORT}
    with pytest.raises(Cancelled):
        run(pairs.request(**given), StopAfter(pairs.active(), 5))
    path = pairs.root / "out" / "checkpoints" / FILE
    known = load_file(path)
    assert {name: tuple(values.shape) for name, values in known.items()} == {
        "train_dataset": (24, 2),
        "eval_dataset": (8, 2),
    }
    # had the model been asked again, nothing would be seen of this
    save_file({name: values + torch.tensor([1e6, 0.0]) for name, values in known.items()}, path)
    resumed = run(pairs.request(**given), pairs.active(resume=True))
    assert (resumed.metrics[-1].val_loss or 0) > 1e4


def test_preferences_are_learned_on_a_four_bit_base_and_planned_in_a_dry_run(pairs: Bench):
    result = prefer(pairs, "dpo", technique="qlora", hyperparameters={"max_steps": 6})
    assert best_loss(result) < math.log(2)
    planned = prefer(pairs, "kto", "plan", dry_run=True)
    assert planned.plan is not None
    assert planned.plan.steps == 8
    assert pairs.files("plan") == set()


@pytest.mark.parametrize(
    "numbers",
    [
        {"use_rslora": True, "rank": 4, "alpha": 8},
        {"use_dora": True},
        {"use_dora": True, "use_rslora": True},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa", "use_rslora": True},
    ],
)
def test_every_kind_of_adapter_fits_the_base_with_the_loss_that_was_reported(bench: Bench, numbers: dict[str, Any]):
    result = bench.train(hyperparameters=SHORT | numbers)
    assert result.adapter_path is not None
    base = load_base(bench.root / "tiny", dtype="float32", settings=bench.settings)
    before = validation_loss(base, bench)
    assert before == pytest.approx(result.metrics[0].val_loss, rel=1e-4)
    assert best_loss(result) < 0.97 * before
    tuned = attach_adapter(base, Path(result.adapter_path))
    assert validation_loss(tuned, bench) == pytest.approx(best_loss(result), rel=1e-4)
    config = json.loads((Path(result.adapter_path) / "adapter_config.json").read_text())
    assert config["use_dora"] == bool(numbers.get("use_dora"))
    assert config["use_rslora"] == bool(numbers.get("use_rslora"))
    assert config["init_lora_weights"] is True
    assert config["r"] == (32 if numbers.get("init_lora_weights") else numbers.get("rank", 16))


def test_a_pissa_training_that_was_stopped_goes_on_to_the_same_adapter(bench: Bench):
    given = {"hyperparameters": SHORT | {"init_lora_weights": "pissa"}}
    whole = bench.train("whole", **given)
    with pytest.raises(Cancelled):
        run(bench.request("cut", **given), StopAfter(bench.active("cut"), 5))
    resumed = run(bench.request("cut", **given), bench.active("cut", resume=True))
    one, other = (
        load_file(Path(str(result.adapter_path)) / "adapter_model.safetensors") for result in (whole, resumed)
    )
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


def test_dora_works_on_a_four_bit_base(bench: Bench):
    numbers = SHORT | {"use_dora": True}
    four_bit = bench.train("four", technique="qlora", hyperparameters=numbers)
    sixteen_bit = bench.train("sixteen", hyperparameters=numbers)
    assert best_loss(four_bit) == pytest.approx(best_loss(sixteen_bit), rel=0.02)


def test_a_preference_method_refuses_data_without_pairs(bench: Bench):
    with pytest.raises(DataError, match="none of the 48 training rows is one") as caught:
        bench.train(method="dpo")
    assert "sft" in caught.value.next_step


def test_sft_on_pairs_learns_the_chosen_answers_and_says_so(pairs: Bench):
    result = pairs.train(data_path="pairs", hyperparameters={"max_steps": 1})
    found = check(result, "Preference pairs")
    assert (found.status, found.count) == ("warn", 24)
    assert "the rejected are unused" in found.details


def tokenised(bench: Bench, records: list[dict[str, Any]], method: Method, length: int | None = None) -> Rows:
    write_records(bench.root / "some" / "train.jsonl", records)
    prepared: Prepared = load_prepared(bench.root / "some")
    return tokenise(prepared, ChatTokenizer.load(bench.root / "tiny"), method, length, 512)


def trained_text(bench: Bench, row: Row) -> str:
    tokenizer = ChatTokenizer.load(bench.root / "tiny")
    return tokenizer.decode([label for label in row.labels if label != -100], skip_special=False)


def test_only_the_answers_after_the_shared_prompt_are_learned(bench: Bench):
    (record,) = tiny_pairs(1)
    record["prompt"] = [
        {"role": "user", "content": "Are you there?"},
        {"role": "assistant", "content": "Yes, I am."},
        *record["prompt"],
    ]
    for method in ("dpo", "orpo", "kto"):
        (row,) = tokenised(bench, [record], method).train
        assert row.rejected is not None
        assert trained_text(bench, row) == record["chosen"][0]["content"] + "<|im_end|>"
        assert trained_text(bench, row.rejected) == record["rejected"][0]["content"] + "<|im_end|>"
        assert len(row.parts) == (4 if method == "kto" else 2)
    (row,) = tokenised(bench, [record], "sft").train
    assert "Yes, I am." in trained_text(bench, row)


def test_a_pair_of_plain_texts_is_learned_too(bench: Bench):
    record = {"prompt": "The apple is ", "chosen": "red.", "rejected": "a river."}
    (row,) = tokenised(bench, [record], "dpo").train
    assert row.rejected is not None
    assert trained_text(bench, row) == " red.<|im_end|>"  # the token that covers its beginning
    assert trained_text(bench, row.rejected) == " a river.<|im_end|>"


def test_rows_that_say_nothing_about_preference_are_left_out_by_number(bench: Bench):
    records = tiny_pairs(4)
    records[1] = {"messages": [*records[1]["prompt"], *records[1]["chosen"]]}
    records[2]["rejected"] = records[2]["chosen"]
    rows = tokenised(bench, records, "dpo")
    assert [row.number for row in rows.train] == [1, 4]
    found = check(rows, "Preference pairs")
    assert (found.status, found.count) == ("warn", 2)
    assert "1 are no pairs and left out: row 2." in found.details
    assert "In 1 both answers are the same tokens, so they are left out: row 3." in found.details


def test_a_pair_that_loses_an_answer_by_cutting_is_left_out(bench: Bench):
    records = tiny_pairs(3)
    records[1]["prompt"][0]["content"] += " and more" * 40
    rows = tokenised(bench, records, "kto", length=90)
    assert [row.number for row in rows.train] == [1, 3]
    assert all(len(part.input_ids) <= 90 for row in rows.train for part in row.parts)
    assert check(rows, "Truncation").count == 1
    assert "row 2" in check(rows, "Loss mask").details


def test_kto_measures_drift_by_the_answers_of_another_pair(bench: Bench):
    rows = tokenised(bench, tiny_pairs(3), "kto").train
    for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
        assert [trained_text(bench, part) for part in row.mismatched] == [
            trained_text(bench, part) for part in other.parts[:2]
        ]
        prompt = next(place for place, label in enumerate(row.labels) if label != -100)
        assert all(part.input_ids[:prompt] == row.input_ids[:prompt] for part in row.mismatched)


@pytest.mark.parametrize(
    ("given", "numbers", "problem"),
    [
        ({"method": "dpo"}, {"packing": True}, "not packed"),
        ({"method": "sft"}, {"beta": 0.1}, "beta weighs a preference"),
        ({"technique": "qlora"}, {"init_lora_weights": "pissa"}, "4 bits"),
        ({}, {"init_lora_weights": "pissa", "use_dora": True}, "cannot be saved"),
        ({"technique": "full"}, {"use_rslora": True, "use_dora": True}, "use_rslora, use_dora mean nothing"),
    ],
)
def test_what_does_not_go_together_is_refused(
    bench: Bench, given: dict[str, Any], numbers: dict[str, Any], problem: str
):
    with pytest.raises(InputError, match=problem):
        bench.request(**given, hyperparameters=numbers)


@pytest.mark.parametrize(
    ("method", "technique", "rate"),
    [
        ("sft", "lora", 2e-4),
        ("sft", "full", 2e-5),
        ("dpo", "lora", 5e-6),
        ("dpo", "full", 5e-7),
        ("orpo", "qlora", 8e-5),
        ("kto", "lora", 5e-6),
    ],
)
def test_each_method_has_its_own_learning_rate(method: Method, technique: Technique, rate: float):
    found = with_defaults(Hyperparameters(), technique, method)
    assert found.learning_rate == rate
    assert found.beta == (None if method == "sft" else 0.1)
