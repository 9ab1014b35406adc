import pytest
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.dialects import read_record
from faion_finetuner.core.examples.mask import tokenize

from ..tiny import tiny_model, tiny_rows
from .preparing import pair, pairs, prepare, said, write_rows


@pytest.fixture
def model(settings):
    return ChatTokenizer.load(tiny_model(settings.roots[0] / "model"))


def test_tokens_are_counted_by_the_models_own_tokenizer(settings, model):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", tiny_rows(30)), model_name="model", dedup="exact")
    stats = {one.field: one for one in outcome.result.token_statistics}
    answers = sorted(model.count(said(row)[1]) for row in outcome.rows)
    whole = [len(tokenize(read_record(row), model, None).input_ids) for row in outcome.rows]
    assert (stats["assistant"].min, stats["assistant"].max) == (answers[0], answers[-1])
    assert stats["assistant"].mean == pytest.approx(sum(answers) / len(answers), abs=0.05)
    assert (stats["row"].min, stats["row"].max) == (min(whole), max(whole))
    assert outcome.result.tokens_counted_by == "tokenizer of model"
    assert outcome.check("Loss Mask").status == outcome.check("Chat Template").status == "pass"


def test_what_training_would_cut_off_is_counted_and_the_rows_stay(settings, model):
    rows = [*pairs(20), pair("Tell me everything", " ".join(f"many{i}" for i in range(80)))]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), model_name="model", max_length=100)
    cut = outcome.truncation
    whole = [tokenize(read_record(row), model, None) for row in outcome.rows]
    short = [tokenize(read_record(row), model, 100) for row in outcome.rows]
    assert outcome.result.unique_examples == 21
    assert cut.rows_over == sum(len(one.input_ids) > 100 for one in whole) > 0
    assert cut.lost_tokens == sum(one.lost_tokens for one in short)
    assert cut.lost_trained_tokens == sum(one.lost_trained_tokens for one in short)
    assert outcome.check("Max Length").status == "warn"
    assert f"{cut.lost_trained_tokens:,} of them trained" in outcome.report


def test_a_row_whose_answer_is_cut_off_whole_fails_the_loss_mask(settings, model):
    rows = [
        *tiny_rows(20),
        {"messages": [{"role": "user", "content": "word " * 300}, {"role": "assistant", "content": "x"}]},
    ]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), model_name="model", max_length=120, dedup="off")
    assert outcome.truncation.rows_without_trained_token == 1
    assert outcome.check("Loss Mask").status == "fail"
    assert "not fit for training" in outcome.report


def test_without_a_model_the_counts_are_labelled_as_estimates(settings):
    outcome = prepare(
        settings, write_rows(settings, "a.jsonl", [pair("x" * 40, "y" * 9), pair("z" * 8, "word " * 40)]), max_length=20
    )
    stats = {one.field: one for one in outcome.result.token_statistics}
    assert (stats["user"].min, stats["user"].max, stats["assistant"].min) == (2, 10, 3)
    assert outcome.result.tokens_counted_by.startswith("estimated")
    assert outcome.result.truncation is None
    assert outcome.check("Max Length").count == 1
    assert "estimated" in outcome.report.split("## Token Statistics")[1]


def test_min_length_counts_the_models_tokens(settings, model):
    rows = [*pairs(5), pair("ab", "cd")]
    least = model.count("ab\ncd") + 1
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), model_name="model", min_length=least)
    assert outcome.result.dropped_by_reason == {"too_short": 1}


def test_rows_longer_than_the_model_reads_are_told_without_being_asked(settings, model):
    rows = [*pairs(30), pair("Tell it all.", "blue river " * 400)]  # the model reads 512 tokens
    outcome = prepare(settings, write_rows(settings, "raw.jsonl", rows), model_name="model")
    check = outcome.check("Max Length")
    assert (check.status, check.count) == ("warn", 1)
    assert "1 row above 512 tokens: training would cut off" in check.details
    assert [line["rule"] for line in outcome.ledger if line["rule"] == "too_long"] == ["too_long"]
    assert outcome.truncation.rows_over == 1
