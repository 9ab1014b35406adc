"""Whole JSON files that are neither a list of records nor hold one: records under keys, and conversations as lists."""

import json

import pytest
from faion_finetuner.core.prepare.read import look, rows

from .preparing import prepare, said, write

ROWS = [{"question": f"What{i} is thing{i}?", "answer": f"It{i} is a{i} so{i}."} for i in range(4)]
TALKS = [
    [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}] for row in ROWS
]
SAID = sorted([row["question"], row["answer"]] for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("index.json", json.dumps({str(i): row for i, row in enumerate(ROWS)})),
        ("keyed.json", json.dumps({f"set/{i}.json": row for i, row in enumerate(ROWS)}, indent=2)),
        ("keyed_talks.json", json.dumps({f"talk{i}": talk for i, talk in enumerate(TALKS)})),
        ("list_of_talks.json", json.dumps(TALKS)),
        ("pretty_talks.json", json.dumps(TALKS, indent=2)),
        ("talks.jsonl", "".join(json.dumps(talk) + "\n" for talk in TALKS)),
        ("talks.json", "".join(json.dumps(talk) + "\n" for talk in TALKS)),
    ],
)
def test_records_under_keys_and_conversations_without_a_field_are_read(settings, name, content):
    outcome = prepare(settings, write(settings, name, content))
    assert sorted(map(said, outcome.rows)) == SAID


def test_a_conversation_alone_in_a_line_is_one_row(settings):
    outcome = prepare(settings, write(settings, "one.jsonl", json.dumps(TALKS[0])), valid_fraction=0)
    assert [said(row) for row in outcome.rows] == [[ROWS[0]["question"], ROWS[0]["answer"]]]


def test_that_keys_are_not_kept_is_said(settings):
    outcome = prepare(settings, write(settings, "a.json", json.dumps({f"id{i}": row for i, row in enumerate(ROWS)})))
    assert outcome.result.source.dialect == "one object of records, without their keys"


def test_a_broken_record_under_a_key_is_one_bad_row(settings):
    content = json.dumps({f"id{i}": row for i, row in enumerate(ROWS)}).replace('"It2', 'It2"')
    outcome = prepare(settings, write(settings, "a.json", content))
    assert outcome.result.dropped_by_reason == {"invalid_json": 1}
    assert sorted(map(said, outcome.rows)) == [one for one in SAID if "What2" not in one[0]]


@pytest.mark.parametrize(
    "content",
    [
        {"chosen": {"role": "assistant", "content": "a"}, "rejected": {"role": "assistant", "content": "b"}},
        {"prompt": [TALKS[0][0]], "completion": [TALKS[0][1]]},
        {"inputs": {"question": "a", "id": 1}, "outputs": {"answer": "b", "id": 1}},
        {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 4}},
    ],
)
def test_an_object_that_may_be_one_record_is_not_taken_apart(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    assert [found.record for found in rows(look(path))] == [content]
