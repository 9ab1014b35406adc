import bz2
import gzip
import json

import polars as pl
import pytest
import zstandard
from faion_finetuner.core.errors import DataError, InputError, PathError

from .preparing import pair, pairs, prepare, said, write, write_rows

ROWS = pairs(6)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
QUESTIONS = sorted(row["question"] for row in ROWS)


def questions(outcome):
    return sorted(said(row)[0] for row in outcome.rows)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.jsonl", LINES, "jsonl"),
        ("a.ndjson", LINES.replace("\n", "\r\n"), "jsonl"),
        ("a.json", json.dumps(ROWS), "json"),
        ("pretty.json", json.dumps(ROWS, indent=2), "json"),
        ("held.json", json.dumps({"version": 1, "data": ROWS}), "json"),
        ("columns.json", json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}), "json"),
        ("lines.json", LINES, "jsonl"),
        ("list.jsonl", json.dumps(ROWS), "json"),
        ("concatenated.json", "\n".join(json.dumps(row, indent=1) for row in ROWS), "json"),
        ("a.jsonl.gz", gzip.compress(LINES.encode()), "jsonl"),
        ("a.jsonl.bz2", bz2.compress(LINES.encode()), "jsonl"),
        ("a.jsonl.zst", zstandard.compress(LINES.encode()), "jsonl"),
        ("bom.jsonl", b"\xef\xbb\xbf" + LINES.encode(), "jsonl"),
        ("utf16.jsonl", LINES.encode("utf-16"), "jsonl"),
        ("utf16le.jsonl", LINES.encode("utf-16-le"), "jsonl"),
        ("utf32.json", json.dumps(ROWS).encode("utf-32"), "json"),
        ("a.csv", "question,answer\n" + "".join(f'"{r["question"]}",{r["answer"]}\n' for r in ROWS), "csv"),
        ("a.tsv", "question\tanswer\n" + "".join(f"{r['question']}\t{r['answer']}\n" for r in ROWS), "csv"),
    ],
)
def test_the_same_rows_come_out_of_every_kind_of_file(settings, name, content, kind):
    outcome = prepare(settings, write(settings, name, content))
    assert questions(outcome) == QUESTIONS
    assert outcome.result.source.detected_format == kind
    assert outcome.check("Valid JSON").status == outcome.check("Encoding").status == "pass" or "utf16le" in name


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_tables_are_read_by_their_content_whatever_the_suffix(settings, kind):
    path = settings.roots[0] / "table.data"
    table = pl.DataFrame(ROWS)
    table.write_parquet(path) if kind == "parquet" else table.write_ipc(path)
    outcome = prepare(settings, "table.data")
    assert questions(outcome) == QUESTIONS
    assert outcome.result.source.detected_format == kind


def test_a_bad_line_is_one_bad_row_that_lies_in_the_ledger_as_it_was(settings):
    bad = ['{"question": "a", }', '{"question": NaN}', "[1, 2]", '{"question": "\\ud800", "answer": "x"}']
    content = (
        LINES.encode() + "\n".join(bad).encode() + b'\n{"question": "\xff\x81", "answer": "b"}\n\n' + LINES[:0].encode()
    )
    outcome = prepare(settings, write(settings, "a.jsonl", content))
    assert questions(outcome) == QUESTIONS
    assert outcome.result.source.rows_read == 11
    assert outcome.result.dropped_by_reason == {"invalid_json": 3, "not_an_object": 1, "undecodable": 1}
    lines = {entry["line"]: entry for entry in outcome.ledger}
    assert lines[7]["before"] == bad[0]
    assert lines[9] | {"row_id": ""} == {
        "source": str(settings.roots[0] / "a.jsonl"),
        "line": 9,
        "row_id": "",
        "action": "dropped",
        "rule": "not_an_object",
        "matched": None,
        "before": "[1, 2]",
        "after": None,
    }
    assert set(lines[11]["before"]) == {"base64"}
    assert outcome.check("Valid JSON").count == 4
    assert outcome.check("Encoding").count == 1


def test_a_row_with_broken_bytes_is_no_evidence_of_broken_json(settings):
    content = b'{"question": "\xff\x81", "answer": "b"}\n{"question": "a", }\n' + LINES.encode()
    check = prepare(settings, write(settings, "a.jsonl", content)).check("Valid JSON")
    assert check.count == 1
    assert "a.jsonl:2»: " in check.details
    assert "a.jsonl:1»" not in check.details


def test_a_broken_list_gives_the_records_that_are_whole(settings):
    content = json.dumps(ROWS[:3])[:-1] + ', {"question": "bad" "answer"}, ' + json.dumps(ROWS[3:])[1:-20]
    outcome = prepare(settings, write(settings, "a.json", content))
    assert questions(outcome) == QUESTIONS[:5]
    assert outcome.result.dropped_by_reason == {"invalid_json": 1, "truncated": 1}


def test_a_field_first_seen_late_survives_and_nothing_is_reinterpreted(settings):
    rows = pairs(1200)
    rows[1100] |= {"when": "2024-01-02", "score": "007", "extra": {"a": [1, None, True]}}
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), dedup="off", valid_fraction=0)
    found = [row for row in outcome.train if "when" in row]
    assert len(found) == 1
    assert (found[0]["when"], found[0]["score"], found[0]["extra"]) == ("2024-01-02", "007", {"a": [1, None, True]})


FRENCH = [
    pair(f"Où est passé l'été numéro {i} {'abcdefgh'[i] * 4}?", f"Très loin déjà, à Besançon {i}") for i in range(8)
]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_accents_survive_any_encoding(settings, encoding):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in FRENCH)
    outcome = prepare(settings, write(settings, "a.jsonl", text.encode(encoding)))
    assert questions(outcome) == sorted(row["question"] for row in FRENCH)


def test_japanese_in_shift_jis_is_found_and_reported(settings):
    rows = [pair(f"東京の天気はどうですか、今日は{i}日です", f"晴れています。気温は{i}度です。") for i in range(8)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    outcome = prepare(settings, write(settings, "a.jsonl", text.encode("shift_jis")), dedup="off")
    assert questions(outcome) == sorted(row["question"] for row in rows)
    assert outcome.check("Encoding").status == "warn"


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ("question;answer\nWhat, really?;Yes\nHow much?;1,5\n", "semicolon-delimited"),
        ("question|answer\nWhat, really?|Yes\nHow much?|1,5\n", "bar-delimited"),
        ("question,answer\n\"What, really?\",Yes\nHow much?,'1;5'\n", "comma-delimited"),
        ('question,answer\n"What, \\"really\\"?",Yes\n"How \\"much\\"?",15\n', "backslash escapes"),
        ("question\tanswer\r\nWhat, really?\tYes\r\nHow much?\t1,5\r\n", "tab-delimited"),
    ],
)
def test_the_dialect_of_a_csv_is_found_and_reported(settings, content, label):
    outcome = prepare(settings, write(settings, "a.csv", content))
    assert outcome.result.unique_examples == 2
    assert label in (outcome.result.source.dialect or "")
    assert any("really" in said(row)[0] and said(row)[1] == "Yes" for row in outcome.rows)


def test_quoted_line_breaks_stay_and_an_unclosed_quote_spoils_one_row(settings):
    content = 'question,answer\n"Two\nlines ""here""",Yes\n"Never closed,No\nPlain question,Fine\nToo,many,cells\n'
    outcome = prepare(settings, write(settings, "a.csv", content))
    assert questions(outcome) == ["Plain question", 'Two\nlines "here"']
    assert outcome.result.dropped_by_reason == {"broken_quotes": 1, "wrong_column_count": 1}
    assert [entry["line"] for entry in outcome.ledger] == [4, 6]


def test_a_csv_without_header_is_read_with_numbered_columns(settings):
    content = "".join(f"1{i},Some longer question text {i}?,word{i}\n" for i in range(6))
    columns = {"column_2": "user", "column_3": "assistant"}
    outcome = prepare(settings, write(settings, "a.csv", content), columns=columns, dedup="off")
    assert outcome.result.unique_examples == 6
    assert "no header" in (outcome.result.source.dialect or "")


def test_text_becomes_paragraphs_to_continue_and_code_blocks_stay_whole(settings):
    content = "# Title\nFirst paragraph.\n\nSecond one,\non two lines.\n\n\n```\ncode\n\nmore code\n```\n"
    outcome = prepare(settings, write(settings, "a.md", content), valid_fraction=0)
    assert outcome.result.format == "completion"
    assert [row["completion"] for row in outcome.train] == [
        "# Title\nFirst paragraph.",
        "Second one,\non two lines.",
        "```\ncode\n\nmore code\n```",
    ]


def test_text_as_conversations_is_refused_with_the_way_out(settings):
    with pytest.raises(DataError, match="format: completion"):
        prepare(settings, write(settings, "a.txt", "Only text.\n\nAnd more.\n"), format="openai")


def test_folders_globs_and_lists_give_every_file_once(settings):
    for number, row in enumerate(ROWS):
        write_rows(settings, f"data/part-{number}.jsonl", [row])
    write(settings, "data/README.md", "Not data.")
    write(settings, "data/.hidden.jsonl", "not data")
    assert questions(prepare(settings, "data")) == QUESTIONS
    assert questions(prepare(settings, "data/part-*.jsonl")) == QUESTIONS
    assert questions(prepare(settings, ("data/part-*.jsonl", "data/part-0.jsonl"))) == QUESTIONS
    assert questions(prepare(settings, '["data/part-0.jsonl"]')) == QUESTIONS[:1]


def test_what_an_earlier_run_left_beside_the_data_is_not_data(settings):
    write_rows(settings, "data/a.jsonl", ROWS)
    prepare(settings, "data", output_dir="data")
    assert questions(prepare(settings, "data", output_dir="data")) == QUESTIONS


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b" \n\n", "is empty"),
        ("a.csv", b"question,answer\n", "no rows"),
        ("a.json", b"[]", "no rows"),
        ("a.jsonl", b"%PDF-1.7 \x00\x01\x02", "PDF"),
        ("a.jsonl", bytes(range(256)) * 20, "binary"),
        ("a.jsonl.gz", gzip.compress(LINES.encode())[:-20], "does not unpack"),
        ("a.jsonl.gz", b"not packed", "does not unpack"),
        ("a.jsonl.zst", zstandard.compress(LINES.encode())[:-9], "does not unpack"),
        ("a.json", b"just words", "None of the 1 rows"),
        ("a.xyz", b"just words", "no known kind"),
        ("a.jsonl", b'{"foo": 1}\n{"foo": 2}\n', "no known fields among"),
        ("a.jsonl", b'{"question": "a", "answer": ""}\n', "empty_answer 1"),
    ],
)
def test_a_file_without_usable_rows_is_refused_with_the_reason(settings, name, content, problem):
    with pytest.raises(DataError, match=problem):
        prepare(settings, write(settings, name, content))
    assert not (settings.roots[0] / "out" / "train.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "step"),
    [
        (b'{"messages": [{"role": "system", "content": "Be nice."}]}\n', "Give conversations with an answer to learn"),
        (b'{"question": "a", "answer": ""}\n', "Name the field of the answers"),
        (b'{"question": "", "answer": "a b c"}\n', "Name the field of the questions"),
        (b'{"input_ids": [1, 2], "labels": [-100, 2]}\n', "These rows are tokens already"),
    ],
)
def test_the_way_out_fits_what_is_wrong_with_the_rows(settings, content, step):
    with pytest.raises(DataError) as caught:
        prepare(settings, write(settings, "a.jsonl", content))
    assert caught.value.next_step.startswith(step)


@pytest.mark.parametrize("path", ["missing.jsonl", "*.nothing", "empty", "../outside.jsonl", ""])
def test_a_path_that_leads_nowhere_is_refused(settings, path):
    (settings.roots[0] / "empty").mkdir()
    with pytest.raises(PathError):
        prepare(settings, path)


def test_what_a_reader_settles_by_a_rule_is_flagged_and_told(settings):
    content = '{"question": "What is new?", "answer": "Old", "answer": "The last one of two"}\n'
    outcome = prepare(settings, write(settings, "a.jsonl", content + json.dumps(ROWS[0]) + "\n"))
    assert ["What is new?", "The last one of two"] in [said(row) for row in outcome.rows]
    [entry] = outcome.ledger
    assert (entry["line"], entry["action"], entry["rule"]) == (1, "flagged", "repeated_key")
    assert '"answer": "Old"' in entry["before"]  # the value that does not count is not lost
    assert "repeated_key 1" in outcome.check("Valid JSON").details


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"question": "a" "answer": "b"}', "at character 18 of line 1 of the record"),
        ('{"question": "a", "score": NaN}', "at character 28 of line 1"),
        ('{"question": "\\ud800 is half a letter"}', "surrogate"),
        ('{"question": ' + "[" * 300 + "]" * 300 + "}", "nested too deeply"),
    ],
)
def test_a_row_that_is_no_json_says_where_it_breaks_in_check_ledger_and_error(settings, line, reason):
    outcome = prepare(settings, write(settings, "a.jsonl", LINES + line + "\n"))
    assert f"the first at «{settings.roots[0] / 'a.jsonl'}:7»: " in outcome.check("Valid JSON").details
    assert reason in outcome.check("Valid JSON").details
    assert reason in outcome.ledger[0]["matched"]
    with pytest.raises(DataError, match=r"b\.jsonl:1»: ") as caught:
        prepare(settings, write(settings, "b.jsonl", line + "\n"), output_dir="other")
    assert reason in caught.value.problem


def test_what_is_empty_in_a_record_that_cannot_be_used_is_named(settings):
    rows = [*ROWS, {"question": "What?", "answer": None}, {"messages": []}]
    details = prepare(settings, write_rows(settings, "a.jsonl", rows)).check("Required Fields").details
    assert "no known fields among «question», «answer»; nothing in «answer» (first at «" in details
    assert "no known fields among «messages»; nothing in «messages»" in details


def test_rows_with_pictures_are_dropped_with_a_way_out_that_fits(settings):
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png,x"}}]
    row = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "A cat."}]}
    check = prepare(settings, write_rows(settings, "a.jsonl", [*ROWS, row])).check("Required Fields")
    assert "a part of type «image_url»; only text can be trained" in check.details
    assert (check.next_step or "").startswith("Take out what is no text")
    with pytest.raises(DataError) as caught:
        prepare(settings, write_rows(settings, "b.jsonl", [row]), output_dir="other")
    assert caught.value.next_step.startswith("Take out what is no text")


def test_content_parts_may_be_mixed_with_plain_texts_and_none_at_all_is_an_empty_turn(settings):
    mixed = [{"type": "text", "text": "What is "}, "it today?"]
    rows = [
        {"messages": [{"role": "user", "content": mixed}, {"role": "assistant", "content": "A cat."}]},
        {"messages": [{"role": "user", "content": []}, {"role": "assistant", "content": "A bird."}]},
    ]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows))
    assert [said(row) for row in outcome.rows] == [["What is it today?", "A cat."]]
    assert outcome.result.dropped_by_reason == {"empty_prompt": 1}


def test_a_tools_reply_that_nobody_called_for_is_told(settings):
    turns = [("user", "How warm is it?"), ("tool", "22"), ("assistant", "It is 22.")]
    rows = [{"messages": [{"role": role, "content": text} for role, text in order]} for order in (turns, turns[1:])]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [*ROWS, *rows]), dedup="off")
    assert outcome.check("Role Order").count == 2
    assert {entry["matched"] for entry in outcome.ledger} == {"a tool's reply that follows no turn of the assistant"}


def test_a_field_that_only_later_rows_have_is_refused_with_what_was_looked_at(settings, monkeypatch):
    monkeypatch.setattr("faion_finetuner.core.prepare.pipeline.SAMPLE_ROWS", 100)
    rows = [*pairs(1_500), pair("What is late?", "This row is", topic="x")]
    with pytest.raises(InputError, match=r"no field «topic».*the first 400 rows; if it comes later") as caught:
        prepare(settings, write_rows(settings, "a.jsonl", rows), stratify_by="topic")
    assert "«question», «answer»" in caught.value.next_step


def test_a_pair_whose_answers_are_to_different_questions_is_told(settings):
    sides = [[{"role": "user", "content": f"Question {i}"}, {"role": "assistant", "content": "Yes"}] for i in range(2)]
    same = [sides[0], [sides[0][0], {"role": "assistant", "content": "No"}]]
    rows = [{"chosen": chosen, "rejected": rejected} for chosen, rejected in (sides, same)]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), dedup="off")
    [entry] = outcome.ledger
    assert (entry["line"], entry["matched"]) == (1, "the two answers of a pair are to different questions")
    assert outcome.check("Role Order").count == 1


@pytest.mark.parametrize("name", ["label", "kto_tag"])
def test_answers_that_the_record_calls_bad_are_warned_of(settings, name):
    rows = [{**pair(f"What is thing{i}?", f"It is a{i}."), name: i % 2 == 0} for i in range(6)]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows))
    assert any(f"«{name}» is true or false beside the answers" in warning for warning in outcome.result.warnings)


def test_labels_that_are_answers_or_classes_are_no_verdicts_on_answers(settings):
    rows = [{"text": f"It rains in town{i}.", "label": i % 2 == 0} for i in range(6)]
    classes = [
        {**pair(f"What is thing{i}?", f"It is a{i}."), "label": "false" if i % 2 else "unsure"} for i in range(6)
    ]
    for number, told in enumerate((rows, classes)):
        outcome = prepare(settings, write_rows(settings, f"{number}.jsonl", told), output_dir=f"out{number}")
        assert not any("beside the answers" in warning for warning in outcome.result.warnings)
