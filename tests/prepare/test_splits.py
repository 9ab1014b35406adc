"""Splits that the data brings along, and preparing what was prepared."""

import json
import random

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from .preparing import pair, pairs, prepare, said, write_rows


def questions(rows):
    return [said(row)[0] for row in rows]


def test_files_named_as_splits_stay_splits(settings):
    write_rows(settings, "data/train.jsonl", pairs(30))
    write_rows(settings, "data/test.jsonl", pairs(45)[30:])
    outcome = prepare(settings, "data")
    assert questions(outcome.train) == [row["question"] for row in pairs(30)]
    assert questions(outcome.valid) == [row["question"] for row in pairs(45)[30:]]


def test_another_valid_fraction_splits_them_anew(settings):
    write_rows(settings, "data/train.jsonl", pairs(30))
    write_rows(settings, "data/test.jsonl", pairs(40)[30:])
    outcome = prepare(settings, "data", valid_fraction=0.5)
    assert len(outcome.valid) == 20


def test_a_split_field_is_a_split(settings):
    rows = [{**row, "split": "validation" if i % 4 == 0 else "train"} for i, row in enumerate(pairs(40))]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows))
    assert questions(outcome.valid) == [row["question"] for row in pairs(40)[::4]]


def test_rows_that_stood_in_both_given_splits_are_counted(settings):
    write_rows(settings, "data/train.jsonl", pairs(30))
    write_rows(settings, "data/valid.jsonl", [*pairs(5), *pairs(50)[30:]])
    outcome = prepare(settings, "data")
    check = outcome.check("Given Splits")
    assert (check.status, check.count) == ("warn", 5)
    assert not {*questions(outcome.train)} & {*questions(outcome.valid)}


def test_the_same_question_in_both_given_splits_is_told(settings):
    other = [pair(row["question"], f"Quite another{i} reply{i} here{i}") for i, row in enumerate(pairs(4))]
    write_rows(settings, "data/train.jsonl", pairs(30))
    write_rows(settings, "data/valid.jsonl", [*other, *pairs(60)[30:]])
    check = prepare(settings, "data").check("Split Leakage")
    assert (check.status, check.count) == ("warn", 4)


def test_many_rows_take_several_processes_and_give_the_same_files(settings, monkeypatch):
    rows = [*pairs(3500), *pairs(200)]
    data = write_rows(settings, "a.jsonl", rows)
    many = prepare(settings, data)
    monkeypatch.setattr("faion_finetuner.core.prepare.pipeline.BATCH_ROWS", 10_000)  # one batch: one process
    one = prepare(settings, data, output_dir="one")
    assert many.result.duplicates_removed == 200
    for name in ("train.jsonl", "valid.jsonl"):
        assert (many.folder / name).read_bytes() == (one.folder / name).read_bytes()
    assert sorted(map(json.dumps, many.ledger)) == sorted(map(json.dumps, one.ledger))


PHASES = (Phase.explicit, Phase.generate)  # no shrinking: every example prepares twice
WORDS = st.sampled_from(["red", "stone", "seven", "Zürich", "東京", "the", "N/A", "<br>", "ann@example.org", "?"])
TEXT = st.lists(WORDS, min_size=0, max_size=12).map(" ".join)


@profile(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=PHASES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=40),
    format=st.sampled_from(["openai", "sharegpt", "alpaca", "completion"]),
)
def test_preparing_what_was_prepared_changes_nothing(settings, rows, format):
    filler = [pair(f"Filler{i} what{i} is{i}?", f"Filler{i} reply{i} with{i} words{i}") for i in range(30)]
    name = f"{random.getrandbits(64):x}"
    data = write_rows(settings, f"{name}.jsonl", [*filler, *(pair(*row) for row in rows)])
    first = prepare(settings, data, output_dir=f"{name}-1", format=format)
    second = prepare(settings, f"{name}-1", output_dir=f"{name}-2", format=format)
    assert second.result.dropped_by_reason == {}
    assert second.result.changed_by_rule == {}
    assert second.train == first.train
    assert second.valid == first.valid


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_sizes_are_as_asked_within_one_cluster(settings, fraction):
    rows = [pair(f"What{i // 4} is{i // 4} it{i // 4}?", f"One{i} of{i} four{i} replies{i}") for i in range(400)]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), valid_fraction=fraction)
    assert abs(len(outcome.valid) - 400 * fraction) < 4
    assert not {*questions(outcome.train)} & {*questions(outcome.valid)}
