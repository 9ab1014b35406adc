"""Exports that are prepared: what of them is kept, what is told, and where rows of nested files begin."""

import json
from typing import Any

import pytest
from faion_finetuner.core.errors import DataError, InputError

from .preparing import Outcome, prepare, said, write, write_rows

ANSWER = "It is a long story of many years."


def prepared(settings: Any, content: Any, name: str = "a.json") -> Outcome:
    return prepare(settings, write(settings, name, json.dumps(content, indent=1)), valid_fraction=0)


def node(name: str, parent: str | None, role: str | None = None, text: Any = None, **more: Any) -> dict[str, Any]:
    message = None
    if role is not None:
        content = {"content_type": "text", "parts": [text]}
        message = {"author": {"role": role}, "content": content, "recipient": "all", "metadata": {}, **more}
    return {"id": name, "parent": parent, "children": [], "message": message}


def talk(*nodes: dict[str, Any], current: str | None) -> dict[str, Any]:
    mapping = {one["id"]: one for one in nodes}
    for one in nodes:
        if one["parent"] in mapping:
            mapping[one["parent"]]["children"].append(one["id"])
    return {"title": "T", "mapping": mapping, "current_node": current}


CODE = {"content_type": "code", "text": "print(1)"}
BRANCHED = (
    node("root", None),
    node("empty", "root", "system", ""),
    node("hidden", "empty", "user", "be brief", metadata={"is_visually_hidden_from_conversation": True}),
    node("asked", "hidden", "user", "Why is it so?"),
    node("first", "asked", "assistant", "No idea, sorry."),
    node("begun", "asked", "assistant", "Let me compute it."),
    node("code", "begun", "assistant", content=CODE, recipient="python"),
    node("ran", "code", "tool", content={"content_type": "execution_output", "text": "1"}),
    node("second", "ran", "assistant", ANSWER),
)


@pytest.mark.parametrize("current", ["second", None])
def test_a_conversation_of_chatgpt_is_the_path_to_its_last_message(settings, current):
    outcome = prepared(settings, [talk(*BRANCHED, current=current)])
    assert [said(row) for row in outcome.rows] == [["Why is it so?", f"Let me compute it.\n\n{ANSWER}"]]
    assert outcome.rows[0]["title"] == "T"
    [flag] = [entry for entry in outcome.ledger if entry["rule"] == "left_out"]
    for kind in ("hidden messages 1", "assistant: code 1", "tool: execution_output 1", "turns of other branches 1"):
        assert kind in flag["matched"]
    check = outcome.check("Carried Over")
    assert (check.status, check.count) == ("warn", 1)
    assert "tool: execution_output 1" in check.details
    assert list(outcome.result.source.records) == ["ChatGPT export: openai (messages)"]


def test_another_branch_is_another_conversation(settings):
    outcome = prepared(settings, [talk(*BRANCHED, current="first")])
    assert said(outcome.rows[0]) == ["Why is it so?", "No idea, sorry."]


def test_a_conversation_with_a_picture_is_dropped_and_says_so(settings):
    picture = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "What is it?"]}
    seen = (
        node("root", None),
        node("asked", "root", "user", content=picture),
        node("told", "asked", "assistant", ANSWER),
    )
    whole = talk(
        node("root", None), node("a", "root", "user", "Why?"), node("b", "a", "assistant", ANSWER), current="b"
    )
    outcome = prepared(settings, [talk(*seen, current="told"), whole])
    assert outcome.result.dropped_by_reason == {"not_an_example": 1}
    assert "image_asset_pointer" in outcome.ledger[0]["matched"]


def test_a_conversation_that_goes_round_in_a_circle_is_one_bad_row(settings):
    circle = talk(node("a", "b", "user", "Why?"), node("b", "a", "assistant", ANSWER), current="b")
    outcome = prepared(settings, [circle, {"question": "Why is it so?", "answer": ANSWER}])
    assert outcome.result.dropped_by_reason == {"not_an_example": 1}


def test_nothing_is_said_to_be_left_out_where_nothing_is(settings):
    rows = [{"request": {"messages": [{"role": "user", "content": "Why?"}]}, "response": {"output_text": ANSWER}}]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), valid_fraction=0)
    assert "Carried Over" not in [check.name for check in outcome.result.checks]
    assert list(outcome.result.source.records) == ["request and response: openai (messages, response)"]


def test_columns_decide_alone_also_for_an_export(settings):
    rows = [{"request": {"messages": [{"role": "user", "content": "no"}]}, "response": ANSWER, "q": "Why is it so?"}]
    path = write_rows(settings, "a.jsonl", rows)
    outcome = prepare(settings, path, columns={"q": "user", "response": "assistant"}, valid_fraction=0)
    assert [said(row) for row in outcome.rows] == [["Why is it so?", ANSWER]]
    assert outcome.rows[0]["request"] == rows[0]["request"]


def test_an_answer_to_a_tools_reply_ends_the_conversation(settings):
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "Why is it so?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "c"},
    ]
    rows = [{"messages": turns, "response": ANSWER}]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), valid_fraction=0)
    assert said(outcome.rows[0]) == ["Why is it so?", "", "found", ANSWER]


def test_ties_are_dropped_by_that_name_and_can_be_read_again(settings):
    rows = [
        {
            "prompt": f"What is {word}?",
            "response_a": f"{word} is this.",
            "response_b": f"{word} is that.",
            "winner": won,
        }
        for word, won in (("red", "model_a"), ("blue", "tie"), ("green", "model_b"), ("grey", "tie (bothbad)"))
    ]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), valid_fraction=0, dedup="off")
    assert outcome.result.dropped_by_reason == {"tie": 2}
    assert {row["chosen"][0]["content"] for row in outcome.rows} == {"red is this.", "green is that."}
    ties = [entry for entry in outcome.ledger if entry["rule"] == "tie"]
    assert [entry["before"] for entry in ties] == [rows[1], rows[3]]
    assert not any("winner" in warning for warning in outcome.result.warnings)


QUESTIONS = [
    {
        "id": "1",
        "question": "When was it?",
        "answers": [{"text": "in 1066", "answer_start": 0}],
        "is_impossible": False,
    },
    {"id": "2", "question": "Who was it?", "answers": [], "plausible_answers": [], "is_impossible": True},
]


def test_every_question_of_squad_is_a_row(settings):
    paragraphs = [{"context": "It was in 1066.", "qas": QUESTIONS}, {"context": "Nothing was asked."}]
    outcome = prepared(
        settings, {"version": "v2.0", "data": [{"title": "T", "paragraphs": paragraphs}, {"title": "U"}]}
    )
    assert outcome.result.source.rows_read == 4
    assert [said(row) for row in outcome.rows] == [["When was it?\n\nIt was in 1066.", "in 1066"]]
    assert (outcome.rows[0]["title"], outcome.rows[0]["is_impossible"]) == ("T", False)
    assert outcome.result.dropped_by_reason == {"empty_answer": 1, "not_an_example": 2}
    assert outcome.result.source.dialect == "the questions below the paragraphs of «data», without «version»"


@pytest.mark.parametrize("wrap", [lambda articles: articles, lambda articles: articles[0]])
def test_questions_are_found_without_the_names_above_them(settings, wrap):
    articles = [{"title": "T", "paragraphs": [{"context": "It was in 1066.", "qas": QUESTIONS[:1]}] * 2}]
    outcome = prepared(settings, wrap(articles))
    assert outcome.result.source.rows_read == 2
    assert said(outcome.rows[0]) == ["When was it?\n\nIt was in 1066.", "in 1066"]


SPLIT = {"columns": ["question", "answer"], "index": [7, 8], "data": [["Why is it so?", ANSWER], ["And how?", "So."]]}


def test_the_rows_of_a_table_of_pandas_are_read_with_its_columns(settings):
    outcome = prepared(settings, SPLIT)
    assert [said(row) for row in outcome.rows] == SPLIT["data"]
    assert outcome.result.source.dialect == "a table, its names in «columns» and its rows in «data», without «index»"


def test_a_row_of_a_table_without_a_cell_for_each_column_is_bad(settings):
    outcome = prepared(settings, {**SPLIT, "data": [["Why?"], *SPLIT["data"]]})
    assert outcome.result.dropped_by_reason == {"not_an_object": 1}
    assert [said(row) for row in outcome.rows] == SPLIT["data"]


def test_a_square_table_is_not_taken_for_columns(settings):
    outcome = prepared(settings, {**SPLIT, "index": [0, 1]})
    assert [said(row) for row in outcome.rows] == SPLIT["data"]


def compared(*choices: Any) -> list[dict[str, Any]]:
    texts = ("red", "blue", "green", "grey", "black")
    return [
        {
            "prompt": f"What is {text}?",
            "response_1": f"{text} is this.",
            "response_2": f"{text} is that.",
            "winner": one,
        }
        for text, one in zip(texts, choices, strict=False)
    ]


@pytest.mark.parametrize("choices", [(0, 1, 1, 0), (1, 1), (0, 0)])
def test_choices_that_may_be_counted_from_0_or_from_1_end_the_run(settings, choices):
    path = write_rows(settings, "a.jsonl", compared(*choices))
    with pytest.raises(DataError, match="whether 1 is the first answer or the second cannot be told") as refused:
        prepare(settings, path, valid_fraction=0)
    assert "response_1" in refused.value.next_step


def test_a_2_tells_how_choices_are_counted_and_0_is_no_answer_then(settings):
    path = write_rows(settings, "a.jsonl", compared(1, 2, 0, 1))
    outcome = prepare(settings, path, valid_fraction=0, dedup="off")
    assert outcome.result.dropped_by_reason == {"not_an_example": 1}
    chosen = [row["chosen"][0]["content"] for row in outcome.rows]
    assert sorted(chosen) == ["blue is that.", "grey is this.", "red is this."]


def test_one_file_does_not_tell_how_another_counts(settings):
    files = [write_rows(settings, "a.jsonl", compared(1, 2)), write_rows(settings, "b.jsonl", compared(1, 0, 1))]
    with pytest.raises(DataError, match=r"b\.jsonl"):
        prepare(settings, files, valid_fraction=0)


def test_a_small_file_counts_as_the_others_do(settings):
    files = [write_rows(settings, "a.jsonl", compared(1)), write_rows(settings, "b.jsonl", compared(1, 2)[1:])]
    outcome = prepare(settings, files, valid_fraction=0)
    assert {row["chosen"][0]["content"] for row in outcome.rows} == {"red is this.", "blue is that."}


@pytest.mark.parametrize("by", ["stratify_by", "group_by"])
def test_a_field_within_an_export_can_be_asked_for(settings, by):
    rows = [
        {
            "request": {"messages": [{"role": "user", "content": f"Why {i}?"}], "topic": f"t{i % 2}"},
            "response": f"So {i}.",
        }
        for i in range(20)
    ]
    path = write_rows(settings, "a.jsonl", rows)
    outcome = prepare(settings, path, valid_fraction=0.5, dedup="off", **{by: "topic"})
    topics = [[row["topic"] for row in split] for split in (outcome.train, outcome.valid)]
    if by == "stratify_by":
        assert outcome.balance.field == "topic"
        assert [sorted(split) for split in topics] == [["t0"] * 5 + ["t1"] * 5] * 2
    else:
        assert sorted(map(set, topics), key=str) == [{"t0"}, {"t1"}]


def test_a_field_that_no_export_holds_is_refused_with_those_that_it_does(settings):
    rows = [{"request": {"messages": [{"role": "user", "content": "Why?"}], "topic": "t"}, "response": ANSWER}]
    with pytest.raises(InputError, match="no field «topics»") as refused:
        prepare(settings, write_rows(settings, "a.jsonl", rows), stratify_by="topics")
    assert "Did you mean «topic»?" in refused.value.next_step


@pytest.mark.parametrize(
    ("row", "step"),
    [
        ({"custom_id": "a", "response": {"body": {"choices": [{"message": {"content": "So."}}]}}}, "custom_id"),
        ({"question_id": 1, "turns": ["Why?", "And how?"]}, "benchmarks"),
        ({"data": {"text": "Why?"}, "annotations": []}, "Annotate"),
        ({"a": "Why?", "b": "So."}, '{"q": "user"'),
    ],
)
def test_where_no_row_is_an_example_the_next_step_is_that_of_the_rows(settings, row, step):
    with pytest.raises(DataError) as refused:
        prepare(settings, write_rows(settings, "a.jsonl", [row, row]))
    assert step in refused.value.next_step


def test_answers_of_which_a_pair_was_made_are_not_said_to_be_unseen(settings):
    answers = [{"answer": "No idea.", "model": "a", "rank": 2}, {"answer": ANSWER, "model": "b", "rank": 1}]
    rows = [{"prompt": "Why is it so?", "answers": answers, "model": "m", "mood": "grave"}]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), valid_fraction=0)
    [unseen] = [warning for warning in outcome.result.warnings if "will not see" in warning]
    assert "«mood»" in unseen
    assert not any(name in unseen for name in ("answers", "model»"))
