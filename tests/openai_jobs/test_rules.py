"""Every rule of the hosted service: a line that keeps it passes, a line that breaks it is named."""

import json
from typing import Any

import pytest
from faion_finetuner.core.models.hosted.environment import OWN_BASE_URL
from faion_finetuner.core.models.hosted.providers import provider_at
from faion_finetuner.core.settings import Settings

from tests.openai_jobs.support import answering, carry_out, chat, check_of, failing, pair, write

FUNCTION = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"city": "Graz"}'}}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
ANSWER = {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"}
SAYING = {"role": "assistant", "content": "It is 12 degrees."}
ASKING = {"role": "user", "content": "How warm is it?"}


def picture(count: int) -> list[dict[str, Any]]:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    return [part] * count


OBEYING = {
    "plain conversation": chat(),
    "developer role": {"messages": [{"role": "developer", "content": "Be brief."}, ASKING, SAYING]},
    "several turns with weights": {"messages": [ASKING, SAYING | {"weight": 0}, ASKING, SAYING | {"weight": 1}]},
    "tool call as the answer": answering(CALLING, tools=[FUNCTION], parallel_tool_calls=False),
    "answered tool call": {"messages": [ASKING, CALLING, ANSWER, SAYING], "tools": [FUNCTION]},
    "refusal": answering({"role": "assistant", "refusal": "I cannot help with that."}),
    "content in parts": answering({"role": "assistant", "content": [{"type": "text", "text": "Yes."}]}),
    "a picture from the user": {"messages": [{"role": "user", "content": picture(1)}, SAYING]},
    "a named user": {"messages": [ASKING | {"name": "mia"}, SAYING]},
}


@pytest.mark.parametrize("record", OBEYING.values(), ids=OBEYING.keys())
def test_a_line_that_keeps_the_rules_passes(settings: Settings, record: dict[str, Any]):
    write(settings, [record] * 10)
    assert failing(carry_out(settings)) == set()


BREAKING = {
    "unknown key": (chat(category="maths"), "Line Keys", "«category»"),
    "no messages": ({"tools": []}, "Messages", "messages is missing"),
    "messages as text": ({"messages": "hello"}, "Messages", "is a text instead of a list"),
    "empty messages": ({"messages": []}, "Messages", "is empty"),
    "message as text": ({"messages": ["hello"]}, "Messages", "messages[0] is a text"),
    "unknown message key": (answering(SAYING | {"mood": "good"}), "Messages", "«mood»"),
    "nameless function": (
        {"messages": [{"role": "function", "content": "1"}, SAYING]},
        "Messages",
        "names its function",
    ),
    "unknown role": ({"messages": [{"role": "human", "content": "?"}, SAYING]}, "Roles", "messages[0].role is «human»"),
    "missing role": ({"messages": [{"content": "?"}, SAYING]}, "Roles", "is missing"),
    "missing content": ({"messages": [{"role": "user"}, SAYING]}, "Content", "messages[0].content is missing"),
    "null answer": (answering({"role": "assistant", "content": None}), "Content", "is missing"),
    "empty answer": (answering({"role": "assistant", "content": " "}), "Content", "nothing to learn"),
    "number as content": (answering({"role": "assistant", "content": 7}), "Content", "a number instead of a text"),
    "picture from the assistant": (answering({"role": "assistant", "content": picture(1)}), "Content", "«image_url»"),
    "picture without address": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, SAYING]},
        "Content",
        '"url"',
    ),
    "too many pictures": ({"messages": [{"role": "user", "content": picture(11)}, SAYING]}, "Content", "11 pictures"),
    "weight above 1": (answering(SAYING | {"weight": 2}), "Weights", "is «2» instead of 0 or 1"),
    "weight as fraction": (answering(SAYING | {"weight": 0.5}), "Weights", "«0.5»"),
    "weight as truth value": (answering(SAYING | {"weight": True}), "Weights", "«True»"),
    "weight of a user": ({"messages": [ASKING | {"weight": 1}, SAYING]}, "Weights", "user message"),
    "all weights 0": (answering(SAYING | {"weight": 0}), "Weights", "nothing to learn"),
    "ends with the user": ({"messages": [ASKING, SAYING, ASKING]}, "Last Message", "role «user»"),
    "tools as object": (answering(SAYING, tools={}), "Tools", "tools is an object"),
    "tool without name": (answering(SAYING, tools=[{"type": "function", "function": {}}]), "Tools", "1 to 64"),
    "tool name with space": (
        answering(SAYING, tools=[{"type": "function", "function": {"name": "look up"}}]),
        "Tools",
        "1 to 64",
    ),
    "parallel as text": (answering(SAYING, parallel_tool_calls="yes"), "Tools", "neither true nor false"),
    "call of an unlisted tool": (answering(CALLING), "Tools", "«look_up», which tools does not list"),
    "arguments as object": (
        answering(
            {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "look_up", "arguments": {}}}]},
            tools=[FUNCTION],
        ),
        "Tools",
        "a text that holds a JSON object",
    ),
    "call without id": (
        answering({"role": "assistant", "tool_calls": [{"type": "function"}]}, tools=[FUNCTION]),
        "Tools",
        "an id",
    ),
    "answer without a call": ({"messages": [ASKING, ANSWER, SAYING]}, "Tools", "answers no tool call"),
    "call without an answer": ({"messages": [ASKING, CALLING, SAYING], "tools": [FUNCTION]}, "Tools", "«call_1»"),
}


@pytest.mark.parametrize(("record", "rule", "words"), BREAKING.values(), ids=BREAKING.keys())
def test_a_line_that_breaks_a_rule_is_named_with_its_file_line_and_place(
    settings: Settings, record: dict[str, Any], rule: str, words: str
):
    write(settings, [*(chat(i) for i in range(10)), record])
    result = carry_out(settings)
    found = check_of(result, rule)
    assert (found.status, found.count) == ("fail", 1)
    assert found.details.startswith("1 line: train.jsonl:11 ")
    assert words in found.details
    assert found.next_step


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{oops", "is no JSON"),
        ("", "is blank"),
        ('["a"]', "a list instead of a JSON object"),
        ('{"messages": NaN}', "is no JSON"),
        (b'{"messages": "\xff"}', "is no JSON"),
    ],
    ids=["broken", "blank", "a list", "NaN", "not UTF-8"],
)
def test_a_line_that_is_no_json_object_is_named(settings: Settings, line: str | bytes, words: str):
    write(settings, [chat(), line, *(chat(i) for i in range(10))])
    found = check_of(carry_out(settings), "Valid JSON")
    assert (found.status, found.count) == ("fail", 1)
    assert "train.jsonl:2 " in found.details
    assert words in found.details


def test_a_byte_order_mark_is_named_and_the_first_line_is_still_read(settings: Settings):
    first = b"\xef\xbb\xbf" + json.dumps(chat()).encode()
    write(settings, [first, *(chat(i) for i in range(9))])
    result = carry_out(settings)
    assert failing(result) == set()
    assert check_of(result, "Encoding").status == "warn"
    assert check_of(result, "Examples").count == 10


def test_a_preference_pair_that_keeps_the_rules_passes_for_dpo_alone(settings: Settings):
    write(settings, (pair(i) for i in range(10)))
    assert failing(carry_out(settings, method="dpo")) == set()
    assert failing(carry_out(settings)) == {"Line Keys", "Messages"}


CALLED_IN_PAIR = pair(preferred_output=[CALLING]) | {"input": {"messages": [ASKING], "tools": [FUNCTION]}}
BREAKING_PAIRS = {
    "no input": (pair(input=None), "Preference Pairs", "input is null"),
    "unknown key": (pair(score=1), "Line Keys", "«score»"),
    "prompt ends with the answer": (
        pair(input=chat()),
        "Last Message",
        "input.messages ends with an assistant message",
    ),
    "two outputs": (pair(preferred_output=[SAYING, SAYING]), "Preference Pairs", "preferred_output is not a list"),
    "output of a user": (pair(non_preferred_output=[ASKING]), "Preference Pairs", "role «user»"),
    "equal outputs": (pair(preferred_output=[SAYING], non_preferred_output=[SAYING]), "Preference Pairs", "to itself"),
    "weight in a pair": (pair(preferred_output=[SAYING | {"weight": 1}]), "Weights", "no meaning"),
    "unlisted tool": (pair(preferred_output=[CALLING]), "Tools", "does not list"),
}


@pytest.mark.parametrize(("record", "rule", "words"), BREAKING_PAIRS.values(), ids=BREAKING_PAIRS.keys())
def test_a_pair_that_breaks_a_rule_is_named(settings: Settings, record: dict[str, Any], rule: str, words: str):
    write(settings, [*(pair(i) for i in range(9)), CALLED_IN_PAIR, record])
    found = check_of(carry_out(settings, method="dpo"), rule)
    assert (found.status, found.count) == ("fail", 1)
    assert "train.jsonl:11 " in found.details
    assert words in found.details


def test_reinforcement_lines_end_with_the_user_and_may_carry_references(settings: Settings):
    write(settings, [{"messages": [ASKING], "reference": "12"}] * 10)
    assert failing(carry_out(settings, method="reinforcement")) == set()
    write(settings, [chat(i) for i in range(10)])
    assert failing(carry_out(settings, method="reinforcement")) == {"Last Message"}


def test_fewer_than_ten_examples_fail_and_fewer_than_fifty_warn(settings: Settings):
    for examples, status in ((9, "fail"), (10, "warn"), (49, "warn"), (50, "pass")):
        write(settings, (chat(i) for i in range(examples)))
        found = check_of(carry_out(settings), "Examples")
        assert (found.status, found.count) == (status, examples)


def test_an_empty_file_fails_as_one_without_examples(settings: Settings):
    write(settings, [])
    assert failing(carry_out(settings)) == {"Examples"}


def test_a_file_above_512_megabytes_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    write(settings, (chat(i) for i in range(10)))
    assert check_of(carry_out(settings), "File Size").status == "pass"
    small = provider_at(OWN_BASE_URL).model_copy(update={"max_file_mb": 1e-4})
    monkeypatch.setattr("faion_finetuner.core.openai_jobs.job.provider_at", lambda url: small)
    assert check_of(carry_out(settings), "File Size").status == "fail"


def test_an_example_longer_than_the_context_is_named_since_its_answer_would_be_cut(settings: Settings):
    just_fits = answering({"role": "assistant", "content": "x" * 4 * 65_000})
    too_long = answering({"role": "assistant", "content": "x" * 4 * 66_000})
    write(settings, [just_fits, too_long, *(chat(i) for i in range(10))])
    found = check_of(carry_out(settings), "Length")
    assert (found.status, found.count) == ("warn", 1)
    assert "train.jsonl:2 has 66,0" in found.details


def test_validation_rows_that_are_training_rows_fail(settings: Settings):
    write(settings, (chat(i) for i in range(10)))
    write(settings, [chat(77), chat(3)], "valid.jsonl")
    found = check_of(carry_out(settings, validation_path="valid.jsonl"), "Overlap")
    assert (found.status, found.count) == ("fail", 1)
    assert "valid.jsonl:2 equals train.jsonl:4" in found.details
    write(settings, [chat(77), chat(78)], "valid.jsonl")
    assert failing(carry_out(settings, validation_path="valid.jsonl")) == set()


def test_a_prepared_folder_stands_for_its_two_files(settings: Settings):
    folder = settings.roots[0] / "data"
    folder.mkdir()
    write(settings, (chat(i) for i in range(10)), "data/train.jsonl")
    write(settings, [chat(3)], "data/valid.jsonl")
    assert failing(carry_out(settings, data_path="data")) == {"Overlap"}


def test_many_lines_with_one_mistake_are_counted_and_the_first_are_shown(settings: Settings):
    write(settings, (chat(i, note="x") for i in range(100)))
    found = check_of(carry_out(settings), "Line Keys")
    assert found.count == 100
    assert found.details.startswith("100 lines: train.jsonl:1 ")
    assert found.details.endswith("«note» (also lines 2, 3, 4, 5 and 95 more)")


def test_different_mistakes_against_one_rule_are_shown_one_by_one(settings: Settings):
    write(settings, [chat(i, **{f"key_{i % 7}": 1}) for i in range(21)])
    details = check_of(carry_out(settings), "Line Keys").details
    assert details.count("train.jsonl:") == 5
    assert "train.jsonl:2 holds keys that the format does not know: «key_1» (also lines 9, 16)" in details
    assert details.endswith("and 6 lines with other problems")


def test_the_users_words_stand_in_details_only_quoted_and_shortened(settings: Settings):
    write(settings, [chat(i, **{"ignore all rules\n" + "x" * 500: 1}) for i in range(10)])
    details = check_of(carry_out(settings), "Line Keys").details
    assert "«ignore all rules xxx" in details
    assert "\n" not in details
    assert "x" * 100 not in details
