"""Delimited files that say little about themselves: nothing is torn apart or left out, and what is a guess is said."""

import json

import pytest
from faion_finetuner.core.errors import DataError

from .preparing import pairs, prepare, said, write


def texts(outcome):
    """The one column of a headerless file, as it was read."""
    return [row["completion"] for row in outcome.train]


def one_column(settings, content, **arguments):
    name = write(settings, "a.csv", content)
    arguments = {"format": "completion", "valid_fraction": 0, "dedup": "off", **arguments}
    return prepare(settings, name, columns={"column_1": "completion"}, **arguments)


@pytest.mark.parametrize(
    "lines",
    [
        ['He said "yes, of course" and left.', 'She asked "why, then" once.', 'They went "home, alone" late.'],
        ["how do I reset my password", "where is my order now", "can I get a refund please"],
        ["the cat sat down", "the dog ran off", "the bird flew away"],
        ["Reset my password", "Cancel my order", "Track my package"],
        ["good movie 1", "bad movie 0", "nice film 1"],
        ["meet at 10:30 today", "meet at 11:45 now", "call at 12:15 sure"],
        ["User: hello there", "Bot: hi to you", "User: bye for now"],
        ["see http://one.example/a", "see http://two.example/b"],
        ["about ~5 km", "about ~6 km", "about ~7 km"],
        ["x^2 is a square", "y^3 is a cube"],
        ["how do I reset my password"],
    ],
)
def test_lines_of_plain_text_are_never_torn_apart_and_none_is_taken_for_a_header(settings, lines):
    outcome = one_column(settings, "\n".join(lines) + "\n")
    assert texts(outcome) == lines
    assert outcome.result.source.rows_read == len(lines)
    assert "one column" in outcome.check("CSV Dialect").details
    assert "no header" in outcome.check("CSV Dialect").details


def test_quoted_texts_of_one_column_are_that_without_their_quotes(settings):
    outcome = one_column(settings, '"Hello, how are you today?"\n"I am fine, thanks a lot."\n"What, then?"\n')
    assert texts(outcome) == ["Hello, how are you today?", "I am fine, thanks a lot.", "What, then?"]


@pytest.mark.parametrize("rows", [["Yes, I can.", "No, we do not.", "Well, it is."], ["the cat sat", "the dog ran"]])
def test_under_a_known_name_alone_the_lines_are_one_column(settings, rows):
    outcome = prepare(settings, write(settings, "a.csv", "\n".join(["text", *rows])), format="completion", dedup="off")
    assert sorted(row["completion"] for row in outcome.rows) == sorted(rows)
    assert outcome.check("CSV Dialect").status == "pass"


@pytest.mark.parametrize("name", ["messages", "conversations", "text", "content"])
def test_one_column_of_a_known_name_has_a_header(settings, name):
    turns = [{"role": "user", "content": "What, then?"}, {"role": "assistant", "content": "Something, say."}]
    cell = json.dumps(turns) if name in ("messages", "conversations") else "Something, say."
    quoted = '"' + cell.replace('"', '""') + '"'
    outcome = prepare(settings, write(settings, "a.csv", f"{name}\n{quoted}\n"), format="completion")
    assert outcome.result.source.rows_read == outcome.result.unique_examples == 1
    assert outcome.check("CSV Dialect").status == "pass"


HEADERLESS = [
    ["How do I reset my password?,Click on the link.", "Where is my order?,It is on its way to you."],
    ["Hi\tHello", "Where is it now\tOver there"],
    ["Anna,Rome", "Bo,Oslo", "Cyd,Bern"],
    ['"Hi, I need help",Sure', '"Please, cancel it",Done'],
    ['"Where is my order, please?","It is, I hope, on its way."'],
    ["What is x?,statement", "Is it blue?,statement", "Is it so?,question", "Was it?,statement"],
]


@pytest.mark.parametrize("lines", HEADERLESS)
def test_without_a_sure_header_the_first_row_is_a_row_and_the_guess_is_told(settings, lines):
    columns = {"column_1": "user", "column_2": "assistant"}
    outcome = prepare(settings, write(settings, "a.csv", "\n".join(lines)), columns=columns, dedup="off", pii="off")
    assert outcome.result.source.rows_read == outcome.result.unique_examples == len(lines)
    assert "no header" in outcome.check("CSV Dialect").details
    with pytest.raises(DataError, match="guessed: "):
        prepare(settings, "a.csv", pii="off", overwrite=True)


def test_a_header_of_other_names_is_known_by_the_columns_that_are_asked_for(settings):
    content = "Ask Here,Told There\nAnna,Rome\nBo,Oslo\nCyd,Bern\n"
    columns = {"Ask Here": "user", "Told There": "assistant"}
    outcome = prepare(settings, write(settings, "a.csv", content), columns=columns, valid_fraction=0, dedup="off")
    assert [said(row) for row in outcome.train] == [["Anna", "Rome"], ["Bo", "Oslo"], ["Cyd", "Bern"]]
    assert outcome.check("CSV Dialect").status == "pass"


def test_lines_above_an_unsure_table_are_bad_rows_in_the_ledger_rather_than_left_out(settings):
    content = "A title without meaning\nAnna,Rome\nBo,Oslo\nCyd,Bern\n"
    columns = {"column_1": "user", "column_2": "assistant"}
    outcome = prepare(settings, write(settings, "a.csv", content), columns=columns, dedup="off")
    assert outcome.result.source.rows_read == 4
    [entry] = [entry for entry in outcome.ledger if entry["action"] == "dropped"]
    assert (entry["rule"], entry["before"]) == ("wrong_column_count", "A title without meaning")


def test_nothing_above_a_table_without_header_is_left_out(settings):
    content = 'A title without meaning\n1,"Paris, is nice",2.5\n2,Rome is too,3.5\n3,Oslo as well,4.5\n'
    columns = {"column_2": "user", "column_3": "assistant"}
    outcome = prepare(settings, write(settings, "a.csv", content), columns=columns, dedup="off", pii="off")
    assert outcome.result.source.rows_read == 4
    assert [entry["before"] for entry in outcome.ledger if entry["action"] == "dropped"] == ["A title without meaning"]


def test_where_nothing_can_be_used_the_error_says_how_the_file_was_read(settings):
    with pytest.raises(DataError) as caught:
        prepare(settings, write(settings, "a.csv", "Anna,Rome\nBo,Oslo\nCyd,Bern\n"))
    assert "a.csv» was read as comma-delimited" in caught.value.problem
    assert "no header (guessed: delimiter and header)" in caught.value.problem


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ("1  2.5  abc\n2  3.5  def\n3  4.5  ghi\n", "space-delimited"),
        ('"hello there" "general kenobi"\n"good day" "to you sir"\n', "space-delimited"),
        ("root:x:0:0:/root:/bin/sh\nme:x:1:1:/home:/bin/sh\nyou:x:2:2:/home:/bin/zsh\n", "colon-delimited"),
        ("1~2.5~abc\n2~3.5~def\n", "tilde-delimited"),
    ],
)
def test_tables_are_read_by_a_delimiter_that_texts_are_full_of(settings, content, label):
    columns = {"column_1": "user", "column_2": "assistant"}
    outcome = prepare(settings, write(settings, "a.csv", content), columns=columns, dedup="off", pii="off")
    assert label in (outcome.result.source.dialect or "")
    assert outcome.result.unique_examples == outcome.result.source.rows_read == content.count("\n")


def test_a_guess_is_a_check_that_says_how_the_file_was_read_and_how_to_be_sure(settings):
    rows = "".join(f"Lord Number{i} asks why{i},because of thing{i}\n" for i in range(5))
    write(settings, "a.csv", f"question,answer\n{rows}")
    write(settings, "b.csv", f"Fragen,Antworten\n{rows}".replace("Lord", "Lady"))
    outcome = prepare(settings, "?.csv", columns={"question": "user", "answer": "assistant"})
    check = outcome.check("CSV Dialect")
    assert (check.status, check.count) == ("warn", 1)
    assert 'b.csv» was read as comma-delimited, quote ", doubled quotes, with header (guessed: ' in check.details
    assert "such as question,answer" in (check.next_step or "")
    assert check.details in outcome.report


def test_a_plain_question_and_answer_table_leaves_no_doubt(settings):
    content = "question,answer\n" + "".join(f"{row['question']},{row['answer']}\n" for row in pairs(3))
    check = prepare(settings, write(settings, "a.csv", content)).check("CSV Dialect")
    assert (check.status, check.details) == ("pass", 'comma-delimited, quote ", doubled quotes, with header')
