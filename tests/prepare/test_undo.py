"""What a run dropped or changed comes back when the next one is told to leave it alone."""

import json

import pytest
from faion_finetuner.core.errors import InputError

from .preparing import pair, pairs, prepare, said, write_rows

TWIN = pair("What0 is0 thing0 number0?", "It0 is0x the0 answer0", id=9)
LONG = "the river rises in the northern hills and runs past three old mills before it meets the sea near a small town"


def rows():
    similar = [pair(f"Where does {LONG} end?", f"{LONG} and on{end}") for end in ("", " again")]
    letter = pair("Who wrote?", "Write to ann.lee@example.com today")
    return [*pairs(30), TWIN, *similar, letter, pair("Empty?", ""), pair("Broken?", "caf\u00c3\u00a9 au lait")]


def entry(outcome, rule):
    return next(line for line in outcome.ledger if line["rule"] == rule)


def test_a_rule_that_is_restored_touches_no_row(settings):
    data = write_rows(settings, "a.jsonl", rows())
    first = prepare(settings, data)
    assert first.result.dropped_by_reason == {"duplicate": 1, "near_duplicate": 1, "empty_answer": 1}
    rules = ("duplicate", "near_duplicate", "empty_answer", "personal_data", "mojibake")
    second = prepare(settings, data, output_dir="second", restore=rules, valid_fraction=0)
    assert second.result.dropped_by_reason == {}
    assert second.result.changed_by_rule == {}
    assert [said(row) for row in second.rows] == [[row["question"], row["answer"]] for row in rows()]
    assert second.check("Duplicates").status == "warn"


def test_single_rows_come_back_by_their_row_ids(settings):
    data = write_rows(settings, "a.jsonl", rows())
    first = prepare(settings, data)
    ids = tuple(entry(first, rule)["row_id"] for rule in ("near_duplicate", "mojibake"))
    second = prepare(settings, data, output_dir="second", restore=ids)
    assert second.result.dropped_by_reason == {"duplicate": 1, "empty_answer": 1}
    assert second.result.changed_by_rule == {"personal_data": 1}
    assert "caf\u00c3\u00a9 au lait" in [said(row)[1] for row in second.rows]


def test_restored_twins_stay_in_one_split(settings):
    data = write_rows(settings, "a.jsonl", [*pairs(60), *pairs(20)])
    outcome = prepare(settings, data, restore=("duplicate",), valid_fraction=0.3)
    assert outcome.result.unique_examples == 80
    train, valid = ({json.dumps(row) for row in split} for split in (outcome.train, outcome.valid))
    assert not train & valid


def test_a_row_that_changed_since_is_refused_and_nothing_is_written(settings):
    data = write_rows(settings, "a.jsonl", rows())
    row_id = entry(prepare(settings, data), "near_duplicate")["row_id"]
    changed = rows()
    changed[32]["answer"] += " changed"
    write_rows(settings, "a.jsonl", changed)
    with pytest.raises(InputError, match="restore: 1 row not found") as caught:
        prepare(settings, data, output_dir="second", restore=(row_id,))
    assert row_id in caught.value.problem
    assert not (settings.roots[0] / "second" / "train.jsonl").exists()


def test_a_misspelt_rule_is_refused_with_the_nearest_one(settings):
    with pytest.raises(InputError, match="neither a rule") as caught:
        prepare(settings, write_rows(settings, "a.jsonl", rows()), restore=("near_duplicates",))
    assert "Did you mean near_duplicate?" in caught.value.next_step


def test_found_values_stand_in_the_ledger_only_when_asked_for(settings):
    data = write_rows(settings, "a.jsonl", rows())
    for pii in ("redact", "report", "drop"):
        hidden = prepare(settings, data, output_dir=f"hidden-{pii}", pii=pii)
        assert "ann.lee" not in (hidden.folder / "ledger.jsonl").read_text()
        assert "ann.lee" not in hidden.report
    shown = prepare(settings, data, output_dir="shown", keep_values=True)
    assert entry(shown, "personal_data")["before"] == {"messages.1.content": "Write to ann.lee@example.com today"}
    assert "ann.lee" not in shown.report


@pytest.mark.parametrize("data", ["out/train.jsonl", "out", "out/*.jsonl"])
def test_a_run_does_not_replace_the_rows_that_it_reads(settings, data):
    (settings.roots[0] / "out").mkdir()
    write_rows(settings, "out/train.jsonl", rows())
    with pytest.raises(InputError, match="would replace the data that it reads"):
        prepare(settings, data, overwrite=True)
