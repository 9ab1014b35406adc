"""Every text of an example can be seen and changed, whichever place it has."""

import pytest
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Example, Message, Rejected
from faion_finetuner.core.prepare.texts import all_texts, map_texts, texts_of

CALL = {"type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
CHAT = ChatExample(
    (
        Message("user", "q\n\nc", alpaca_input="c"),
        Message("assistant", "a", name="n", tool_calls=(CALL,), fields={"thinking": "t"}),
    ),
    {"id": "i", "tags": ["g", {"deep": "h"}], "count": 1},
    Rejected(1, (Message("assistant", "r", fields={"thinking": "s"}),)),
)
PAIR = CompletionExample("p", "c", {"id": "i"}, "r")


def test_what_a_model_reads_is_in_order_with_the_rejected_answer_last():
    assert texts_of(CHAT) == ["q\n\nc", "a", "r"]
    assert texts_of(PAIR) == ["p", "c", "r"]
    assert texts_of(CompletionExample("p", "c")) == ["p", "c"]


@pytest.mark.parametrize("example", [CHAT, PAIR])
def test_changing_everywhere_changes_what_all_texts_shows(example: Example):
    seen: list[str] = []
    changed, places = map_texts(example, lambda text: seen.append(text) or text.upper(), everywhere=True)
    assert set(all_texts(example)) <= set(seen)
    assert set(all_texts(changed)) == {text.upper() for text in all_texts(example)}
    assert {change.before for place, change in places.items() if not place.endswith(".input")} == set(
        all_texts(example)
    )


def test_places_name_where_a_text_stands():
    _, places = map_texts(CHAT, str.upper, everywhere=True)
    assert {place: change.after for place, change in places.items()} == {
        "messages.0.content": "Q\n\nC",
        "messages.0.input": "C",
        "messages.1.content": "A",
        "messages.1.name": "N",
        "messages.1.tool_calls.0.type": "FUNCTION",
        "messages.1.tool_calls.0.function.name": "F",
        "messages.1.tool_calls.0.function.arguments": '{"X": 1}',
        "messages.1.fields.thinking": "T",
        "rejected.0.content": "R",
        "rejected.0.fields.thinking": "S",
        "fields.id": "I",
        "fields.tags.0": "G",
        "fields.tags.1.deep": "H",
    }
    assert map_texts(PAIR, str.upper)[1].keys() == {"prompt", "completion", "rejected"}


def test_a_change_that_changes_nothing_gives_the_very_same_example():
    for example in (CHAT, PAIR):
        changed, places = map_texts(example, lambda text: text, everywhere=True)
        assert changed is example
        assert places == {}


def test_only_texts_of_the_conversation_change_unless_asked_for_more():
    changed, _ = map_texts(CHAT, str.upper)
    assert changed.fields is CHAT.fields
    assert isinstance(changed, ChatExample)
    assert changed.messages[1].tool_calls == (CALL,)
    assert changed.rejected == Rejected(1, (Message("assistant", "R", fields={"thinking": "s"}),))
    assert changed.messages[0].alpaca_input == "C"
