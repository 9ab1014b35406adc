import json
import random

import pytest
from faion_finetuner.core.errors import InputError
from faion_finetuner.core.examples.files import load_prepared

from .preparing import pair, pairs, prepare, said, write, write_rows

REPAIRED = "The café is “open — naïve"
MOJIBAKE = REPAIRED.encode().decode("cp1252")


def test_empty_and_short_rows_are_dropped_with_their_reason(settings):
    rows = [
        *pairs(4),
        pair("", "An answer"),
        pair("A question", " "),
        pair("Hi", "Yo"),
        {"question": "Only a question"},
    ]
    rows.append({"messages": [{"role": "user", "content": "nobody answers"}]})
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), min_length=3)
    assert outcome.result.unique_examples == 4
    reasons = outcome.result.dropped_by_reason
    assert reasons == {"empty_prompt": 1, "empty_answer": 1, "too_short": 1, "not_an_example": 1, "no_answer": 1}
    assert {entry["line"]: entry["before"] for entry in outcome.ledger}[7] == pair("Hi", "Yo")
    assert outcome.check("Min Length").count == 4
    assert outcome.check("Required Fields").count == 1


def test_broken_text_is_repaired_and_good_text_is_not_touched(settings):
    good = "\u201cQuotes\u201d, \ufb01gures \u00bd \u2122, \uff46, \U0001f469\u200d\U0001f4bb, \u0647\u200c\u0627, café"
    rows = [pair("Broken?", MOJIBAKE), pair("Controls?", "a\x00b\x1b[31mred\x1b[0m\ufeffc\td\ne"), pair("Good?", good)]
    rows.append(pair("Composed?", "cafe\u0301 au lait"))
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), dedup="exact")
    answers = {said(row)[0]: said(row)[1] for row in outcome.rows}
    assert answers["Broken?"] == REPAIRED
    assert answers["Controls?"] == "abredc\td\ne"
    assert answers["Good?"] == good
    assert answers["Composed?"] == "café au lait"
    assert outcome.result.changed_by_rule == dict.fromkeys(
        ("mojibake", "ansi_codes", "control_characters", "zero_width_characters", "unicode_form"), 1
    )
    entry = next(entry for entry in outcome.ledger if entry["rule"] == "mojibake")
    assert entry["before"] == {"messages.1.content": MOJIBAKE}
    assert entry["after"] == {"messages.1.content": REPAIRED}


def test_equal_rows_are_dropped_and_name_the_one_they_repeat(settings):
    rows = [*pairs(5), pair("What0 is0 thing0 number0?", "It0 is0x the0 answer0", id=9)]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), dedup="exact")
    assert outcome.result.duplicates_removed == 1
    assert outcome.result.total_examples == 6
    [entry] = outcome.ledger
    assert (entry["line"], entry["rule"], entry["matched"].split("-")[0]) == (6, "duplicate", "1")
    assert entry["before"]["messages"][0]["content"] == "What0 is0 thing0 number0?"


TEXT = "the river rises in the northern hills and runs past three old mills before it meets the sea near a small town"


def test_a_row_with_one_changed_word_is_a_near_duplicate(settings):
    long = " ".join(f"word{i}" for i in range(60))
    rows = [*pairs(30), pair("Tell me all about the river", f"{TEXT} {long}")]
    rows.append(pair("Tell me all about that river", f"{TEXT} {long}"))
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows))
    assert outcome.result.near_duplicates_removed == 1
    [entry] = outcome.ledger
    assert entry["matched"]["row_id"].startswith("31-")
    assert 0.8 <= entry["matched"]["similarity"] < 1
    assert len(outcome.rows) == 31


def test_rows_that_only_look_alike_are_kept(settings):
    instruction = (
        "Read the following message of a customer and answer with one word, which is the department it belongs to: "
    )
    rows = [
        pair(f"{instruction}item{i} of{i} mine{i}", random.Random(i).choice(("sales", "support"))) for i in range(60)
    ]
    rows += [pair(f"{TEXT}. Is it good?", label) for label in ("yes", "no")]
    rows += [
        pair(f"{TEXT}. {q}?", "true")
        for q in ("Does it rise in hills", "Are there bridges over water", "Who lives here")
    ]
    stock = "I am sorry, but I cannot help with that, since it would not be safe; please ask a professional instead."
    rows += [pair(f"Please{i} explain{i} topic{i}", stock) for i in range(4)]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows))
    assert outcome.result.near_duplicates_removed == 0
    assert outcome.result.unique_examples == len(rows)


def tool(name: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


def test_rows_that_differ_only_in_their_tools_or_calls_are_kept(settings):
    asked = {"role": "user", "content": f"Send a message that says: {TEXT}, and that we shall be there at noon."}
    answers = [
        {"role": "assistant", "content": f"Done: I have sent the message that says that {TEXT}."},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "send",
         "arguments": json.dumps({"to": "Ann", "text": TEXT})}}]},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "send",
         "arguments": json.dumps({"to": "Bob", "text": TEXT})}}]},
    ]  # fmt: skip
    rows = [{"messages": [asked, answers[0]], "tools": [tool(name)]} for name in ("send", "post", "send")]
    rows += [{"messages": [asked, answer], "tools": [tool("send")]} for answer in answers[1:]]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [*pairs(30), *rows]))
    assert outcome.result.dropped_by_reason == {"duplicate": 1}
    assert outcome.result.unique_examples == 34


def test_what_is_similar_stays_in_one_split_when_it_is_kept(settings):
    rows = pairs(40)
    for i in range(20):
        words = " ".join(f"w{i}x{j}" for j in range(40))
        rows += [
            pair(f"About topic{i}", words),
            pair(f"About topic{i}", words),
            pair(f"About topic{i} please", words + " end"),
        ]
        rows.append(pair(f"About topic{i}", f"something{i} else{i}"))
    random.Random(3).shuffle(rows)
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), dedup="off", valid_fraction=0.3)
    asked = [{said(row)[0].removesuffix(" please") for row in split} for split in (outcome.train, outcome.valid)]
    assert not asked[0] & asked[1]
    assert len(outcome.valid) == 36
    assert outcome.check("Split Leakage").status == "pass"
    assert outcome.check("Duplicates").count == 20


def test_groups_stay_whole_and_classes_keep_their_share(settings):
    rows = [
        {**row, "user": f"u{i % 50}", "kind": "rare" if i % 10 == 0 else "usual"} for i, row in enumerate(pairs(400))
    ]
    data = write_rows(settings, "a.jsonl", rows)
    grouped = prepare(settings, data, group_by="user", output_dir="grouped")
    users = [{row["user"] for row in split} for split in (grouped.train, grouped.valid)]
    assert not users[0] & users[1]
    assert len(grouped.valid) == 40
    stratified = prepare(settings, data, stratify_by="kind", output_dir="stratified")
    assert sum(row["kind"] == "rare" for row in stratified.valid) == 4
    assert stratified.balance.field == "kind"
    assert [(one.label, one.examples) for one in stratified.balance.classes] == [("usual", 360), ("rare", 40)]


def test_classes_are_found_in_a_category_field_or_in_short_answers(settings):
    rows = [{**row, "category": "ab"[i % 2]} for i, row in enumerate(pairs(60))]
    assert prepare(settings, write_rows(settings, "a.jsonl", rows)).balance.field == "category"
    rows = [pair(row["question"], ("yes", "no", "no", "no")[i % 4]) for i, row in enumerate(pairs(80))]
    outcome = prepare(settings, write_rows(settings, "b.jsonl", rows))
    assert outcome.balance.field == "answer"
    assert sum(said(row)[1] == "yes" for row in outcome.valid) == 2
    assert prepare(settings, write_rows(settings, "c.jsonl", pairs(40))).result.balance is None


def test_the_same_seed_gives_the_same_files_and_another_seed_another_split(settings):
    data = write_rows(settings, "a.jsonl", pairs(200))
    one, two, other = (
        prepare(settings, data, output_dir=name, seed=seed) for name, seed in (("1", 1), ("2", 1), ("3", 2))
    )
    for name in ("train.jsonl", "valid.jsonl", "ledger.jsonl"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert one.valid != other.valid
    assert (len(one.train), len(one.valid)) == (180, 20)


def test_preparing_a_prepared_set_changes_nothing(settings):
    rows = [*pairs(50), pair("Mail", f"bob@example.org or +1 202 555 0143 {MOJIBAKE}"), pair("Mail", "eve@example.org")]
    rows += [pair("Mail me", "a@example.org"), pair("Mail me", "b@example.org")]  # equal once redacted
    first = prepare(settings, write_rows(settings, "a.jsonl", rows), valid_fraction=0, output_dir="first")
    again = prepare(settings, "first/train.jsonl", valid_fraction=0, output_dir="again")
    assert again.train == first.train
    assert again.ledger == []


@pytest.mark.parametrize("format", ["alpaca", "sharegpt", "openai", "completion"])
def test_every_format_is_written_with_the_fields_it_needs(settings, format):
    rows = [{"instruction": "Add", "input": f"{i} and {i} of{i}", "output": f"It is {2 * i} or{i}"} for i in range(8)]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), format=format, dedup="off")
    needed = {
        "alpaca": {"instruction", "input", "output"},
        "sharegpt": {"conversations"},
        "openai": {"messages"},
        "completion": {"prompt", "completion"},
    }
    assert {frozenset(row) for row in outcome.rows} == {frozenset(needed[format])}
    fields = [one.field for one in outcome.result.token_statistics]
    shown = {"openai": ["user", "assistant"], "sharegpt": ["human", "gpt"]}
    assert fields == [
        *shown.get(
            format,
            [name for name in ("instruction", "input", "output", "prompt", "completion") if name in needed[format]],
        ),
        "row",
    ]


def test_a_column_that_does_not_exist_is_named_with_the_nearest_one(settings):
    data = write_rows(
        settings, "a.jsonl", [{"frage": "Was ist das hier?", "antwort": "Ein Test"}, {"frage": "x", "antwort": "y"}]
    )
    with pytest.raises(InputError, match="no field «fragen»") as error:
        prepare(settings, data, columns={"fragen": "user", "antwort": "assistant"})
    assert "Did you mean «frage»" in error.value.next_step
    with pytest.raises(InputError, match="stratify_by: there is no field «kind»"):
        prepare(settings, data, columns={"frage": "user", "antwort": "assistant"}, stratify_by="kind")
    outcome = prepare(settings, data, columns={"frage": "user", "antwort": "assistant"})
    assert outcome.result.unique_examples == 2


def test_contradictions_are_refused_all_at_once(settings):
    with pytest.raises(InputError) as error:
        prepare(
            settings, "missing.jsonl", min_length=9, max_length=5, columns={"a": "nonsense"}, model_name="no such model"
        )
    for part in ("missing.jsonl", "min_length 9", "«nonsense»", "no such model"):
        assert part in error.value.problem


def test_rows_of_a_benchmark_are_flagged_and_a_missing_benchmark_is_said(settings):
    test = "Which of these animals lays eggs and feeds its young with milk, the platypus or the otter?"
    write_rows(settings, "bench/exam.jsonl", [{"q": "unrelated"}, {"q": test}])
    rows = [*pairs(10), pair(f"Quiz: {test} Think.", "The platypus")]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), benchmarks=("bench/exam.jsonl", "mmlu"))
    assert outcome.check("Contamination").count == 1
    assert [entry["matched"] for entry in outcome.ledger if entry["rule"] == "contamination"] == ["exam.jsonl:2"]
    assert "mmlu" in outcome.check("Contamination (not checked)").details


def test_a_dry_run_reports_everything_and_writes_nothing(settings):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", pairs(30)), dry_run=True)
    assert outcome.result.dry_run
    assert [(file.path.name, file.examples) for file in outcome.result.files] == [
        ("train.jsonl", 27),
        ("valid.jsonl", 3),
        ("ledger.jsonl", 0),
    ]
    assert {path.name for path in outcome.folder.iterdir()} == {".run"}


def test_the_files_are_just_those_that_the_result_names(settings):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", pairs(30)))
    assert {path.name for path in outcome.folder.iterdir()} == {".run", "train.jsonl", "valid.jsonl", "ledger.jsonl"}
    for file in outcome.result.files:
        assert len(file.path.read_text(encoding="utf-8").splitlines()) == file.examples
    without = prepare(settings, "a.jsonl", valid_fraction=0, output_dir="all")
    assert {path.name for path in without.folder.iterdir()} == {".run", "train.jsonl", "ledger.jsonl"}
    assert len(without.train) == 30


def test_the_report_has_the_missions_sections_and_tables(settings):
    rows = [*pairs(30), pairs(1)[0], pair("A question", "")]
    data = write(settings, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    text = prepare(settings, data).report
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert titles == [
        "# Dataset Validation Report",
        "## Summary",
        "## Quality Checks",
        "## Token Statistics",
        "## Output Files",
        "## Warnings",
    ]
    for line in (
        "30 of 33 rows are ready as openai: with warnings.",
        "| Total Examples | 31 |",
        "| Unique Examples | 30 |",
        "| Duplicates Removed | 1 |",
        "| Format | openai |",
        "| Valid JSON | WARN | 1 error (invalid_json 1); each dropped, with its text in ledger.jsonl; the first at ",
        "| train.jsonl | 27 (90%) | Training |",
        "| valid.jsonl | 3 (10%) | Validation |",
        "| Row Accounting | PASS | 33 read = 30 kept + 3 dropped (invalid_json 1, empty_answer 1, duplicate 1) |",
    ):
        assert line in text
    checks = text.split("## Quality Checks")[1].splitlines()
    assert [line.split("|")[1].strip() for line in checks[4:9]] == [
        "Valid JSON",
        "Required Fields",
        "Min Length",
        "Max Length",
        "Encoding",
    ]


def test_what_a_format_cannot_hold_is_said_and_odd_conversations_are_flagged(settings):
    call = {"type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "What is in stock?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "seven lamps"},
        {"role": "assistant", "content": "Seven lamps are."},
    ]
    odd = [{"role": "user", "content": "Hello?"}, {"role": "user", "content": "Still there?"}, turns[-1]]
    rows = [{"messages": turns}, {"messages": odd}]
    data = write_rows(settings, "a.jsonl", rows)
    kept = prepare(settings, data, valid_fraction=0)
    assert [row["messages"] for row in kept.train] == [turns, odd]
    assert [(entry["line"], entry["action"], entry["rule"]) for entry in kept.ledger] == [(2, "flagged", "role_order")]
    lost = prepare(settings, data, format="alpaca", output_dir="alpaca")
    assert "Tool calls and tool results become plain text. (1 row)" in lost.check("Conversion").details


def test_a_prepared_folder_can_be_trained_on(settings):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", pairs(30)))
    prepared = load_prepared(outcome.folder)
    assert (len(prepared.train), len(prepared.valid)) == (27, 3)
