"""Tool calls whose arguments are broken, as somebody finds them in a result, a ledger and a report."""

import json

import polars as pl
import pytest

from .preparing import pairs, prepare, write_rows


def calling(arguments, about="Oslo"):
    """A row that asks for the weather with these arguments."""
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    return {
        "messages": [
            {"role": "user", "content": f"How is the weather in {about}?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": f"22 degrees in {about}"},
            {"role": "assistant", "content": f"It is warm in {about}."},
        ]
    }


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ('{"city": "Os', "no JSON (unexpected end of data at character 13)"),
        ("{'city': 'Oslo'}", "written as Python writes an object"),
        ('"{\\"city\\": 1}"', "JSON in a JSON text, encoded twice"),
        ('["Oslo"]', "a list in place of an object"),
        ("17", "a number in place of an object"),
        (None, "null in place of an object"),
        ("", "an empty text; a call without any has {}"),
    ],
)
def test_arguments_that_are_no_object_are_a_check_that_names_line_and_call(settings, arguments, fault):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [calling("{}", "Rome"), calling(arguments)]))
    check = outcome.check("Tool Calls")
    assert (check.status, check.count) == ("fail", 1)
    place = f"{settings.roots[0] / 'a.jsonl'}:2"
    assert "in 1 of 2 rows with tool calls one is not as it should be" in check.details
    assert f"«{place}», turn 2, call 1 («get_weather»): the arguments are {fault}" in check.details
    assert "broken_tool_call in ledger.jsonl" in (check.next_step or "")
    assert check.details in outcome.report
    [entry] = [entry for entry in outcome.ledger if entry["rule"] == "broken_tool_call"]
    assert (entry["line"], entry["action"]) == (2, "flagged")
    assert fault in entry["matched"]


def test_a_reply_to_a_call_that_was_not_made_is_told(settings):
    rows = [calling("{}", "Rome"), calling("{}"), calling("{}", "Bonn")]
    rows[1]["messages"][2]["tool_call_id"] = "c7"
    del rows[2]["messages"][1]["tool_calls"][0]["id"]  # then nothing tells which call is meant
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows))
    check = outcome.check("Tool Calls")
    assert (check.status, check.count) == ("fail", 1)
    assert "a.jsonl:2», turn 3: the reply is to call «c7», which no turn before made" in check.details
    [entry] = [entry for entry in outcome.ledger if entry["rule"] == "broken_tool_call"]
    assert (entry["line"], entry["action"]) == (2, "flagged")


@pytest.mark.parametrize("format", ["openai", "sharegpt", "alpaca", "completion"])
def test_a_row_with_a_broken_call_is_kept_with_its_arguments_in_every_format(settings, format):
    broken = calling('{"city": "Osl')
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [broken]), format=format, valid_fraction=0)
    [row] = outcome.rows
    assert '{"city": "Osl' in json.dumps(row).replace("\\", "")
    if format == "openai":
        assert row["messages"][1]["tool_calls"] == broken["messages"][1]["tool_calls"]


def test_a_sharegpt_turn_that_says_it_is_a_call_and_is_none_is_told(settings):
    turns = [
        {"from": "human", "value": "How is the weather in Oslo?"},
        {"from": "function_call", "value": '{"name": "get_weather", "arguments": {"city": "Os'},
        {"from": "observation", "value": "22"},
        {"from": "gpt", "value": "It is warm."},
    ]
    whole = [turns[0], {**turns[1], "value": '{"name": "get_weather", "arguments": {}}'}, *turns[2:]]
    columns = {key: [turn[key] for turn in turns] for key in ("from", "value")}
    rows = [{"conversations": form} for form in (whole, turns, json.dumps(turns), columns, json.dumps(columns))]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), dedup="off")
    check = outcome.check("Tool Calls")
    assert check.count == 4
    assert "in 4 of 5 rows with tool calls" in check.details
    assert "a.jsonl:2», turn 2: it is to be a call, but its text is not the JSON of one" in check.details


def test_whole_calls_pass_and_rows_without_any_say_nothing_of_them(settings):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [calling('{"city": "Oslo"}'), calling({"n": 1}, "Bo")]))
    assert outcome.check("Tool Calls").status == "pass"
    other = prepare(settings, write_rows(settings, "b.jsonl", pairs(2)), output_dir="other")
    assert "Tool Calls" not in [check.name for check in other.result.checks]


def test_a_few_broken_calls_among_many_whole_ones_are_a_warning(settings):
    rows = [calling(json.dumps({"city": f"Town{i}", "day": i}), f"Town{i} on day{i}") for i in range(20)]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [*rows, calling("{")]), dedup="off")
    assert outcome.check("Tool Calls").status == "warn"


@pytest.mark.parametrize(
    ("tools", "fault"),
    [
        ("[{broken", "no valid JSON"),
        ('{"type": "function"}', "no list of definitions"),
        (['{"type": "function"}'], "no list of definitions"),
        ("[]", None),
        ('[{"type": "function", "function": {"name": "get_weather"}}]', None),
        (json.dumps([{"type": "function", "function": {"name": "get_weather"}}], indent=2), None),
        ("hammer, saw", None),
        (["hammer"], None),
    ],
)
def test_definitions_that_no_template_would_write_are_told(settings, tools, fault):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [{**calling("{}"), "tools": tools}]))
    check = outcome.check("Tool Calls")
    assert check.status == ("fail" if fault else "pass")
    assert fault is None or f"a.jsonl:1», `tools` is {fault}" in check.details


def test_arguments_that_a_typed_table_filled_up_with_nulls_are_told(settings):
    table = pl.DataFrame([calling({"city": "Oslo", "day": None}), calling({"city": "Bo", "day": "Monday"}, "Bo")])
    table.write_parquet(settings.roots[0] / "a.parquet")
    outcome = prepare(settings, "a.parquet")
    check = outcome.check("Tool Calls")
    assert (check.status, check.count) == ("warn", 1)
    assert "a.parquet:1», turn 2, call of «get_weather»: «day» is null, as a typed table" in check.details
    assert "store the arguments as JSON text" in (check.next_step or "")
    assert [(e["line"], e["rule"]) for e in outcome.ledger] == [(1, "null_tool_arguments")]
    said_so = prepare(settings, write_rows(settings, "a.jsonl", [calling({"day": None})]), output_dir="other")
    assert said_so.check("Tool Calls").status == "pass"


def test_columns_that_are_of_unequal_length_stop_no_look_at_calls(settings):
    row = {**calling("{}"), "beside": {"from": ["function_call"], "value": ["a", "b"]}}
    assert prepare(settings, write_rows(settings, "a.jsonl", [row])).check("Tool Calls").status == "pass"


def test_nulls_are_told_of_a_call_whose_function_is_a_text(settings):
    row = calling({})
    call = {"id": "c1", "function": "weather", "name": "get_weather", "arguments": {"city": "Oslo", "day": None}}
    row["messages"][1]["tool_calls"] = [call]
    pl.DataFrame([row]).write_parquet(settings.roots[0] / "a.parquet")
    check = prepare(settings, "a.parquet").check("Tool Calls")
    assert "a.parquet:1», turn 2, call of «get_weather»: «day» is null" in check.details


def test_redaction_leaves_the_arguments_of_a_call_the_json_that_they_were(settings):
    given = {
        "phone": 4155550132,
        "n": 7,
        "to": "call +1 415 555 0132, or 4111111111111111",
        "cards": [4111111111111111],
    }
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [calling(json.dumps(given))]), valid_fraction=0)
    written = outcome.rows[0]["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(written) == {
        "phone": "[PHONE_1]",
        "n": 7,
        "to": "call [PHONE_2], or [CARD_1]",
        "cards": ["[CARD_1]"],
    }
    assert outcome.check("Tool Calls").status == "pass"
