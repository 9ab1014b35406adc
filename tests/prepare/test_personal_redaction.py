import itertools
import re

from faion_finetuner.core.personal.kinds import PLACEHOLDER, Kind
from faion_finetuner.core.personal.patterns import find
from faion_finetuner.core.personal.redact import Redactor, redact_all
from hypothesis import given, settings
from hypothesis import strategies as st


def test_the_same_value_gets_the_same_placeholder_however_it_is_written():
    row = {
        "a": "Jane@Example.org or +1 (202) 555-0143, card 4111 1111 1111 1111",
        "b": ["jane@example.ORG, +1 202-555-0143, 4111-1111-1111-1111", "joe@example.org"],
    }
    assert redact_all(row) == {
        "a": "[EMAIL_1] or [PHONE_1], card [CARD_1]",
        "b": ["[EMAIL_1], [PHONE_1], [CARD_1]", "[EMAIL_2]"],
    }


def test_numbers_of_placeholders_anywhere_in_the_row_are_not_given_out_again():
    row = ["mail a@example.org", "once [EMAIL_1] and [EMAIL_7] said [PHONE_2]", "call +1 202 555 0143"]
    assert redact_all(row) == ["mail [EMAIL_8]", row[1], "call [PHONE_3]"]


def test_a_number_is_told_by_a_name_that_holds_a_number_itself():
    assert redact_all({"phone 415-555-0132": "415-555-0199"}) == {"phone 415-555-0132": "[PHONE_1]"}
    assert redact_all({"jane@example.org phone": 4155550199}) == {"jane@example.org phone": "[PHONE_1]"}


def test_a_redactor_counts_each_value_once_by_kind():
    redactor = Redactor()
    assert redactor.redact("a@example.org b@example.org A@example.org") == "[EMAIL_1] [EMAIL_2] [EMAIL_1]"
    redactor.redact("203.0.113.9")
    assert redactor.kinds == {"EMAIL": 2, "IP": 1}


def test_placeholders_vouch_for_nothing_near_them():
    for text in (
        "[PHONE_1] 467 3395",
        "[CARD_2] 4111111111111112",
        "[API_KEY_1]: a8Vf31qR7mZ0kTw5Lp9X",
        "[EMAIL_1]@example.org",
    ):
        assert find(text) == []


def test_a_text_without_values_comes_back_itself():
    text = "Nothing here but 3 apples."
    assert Redactor().redact(text) is text


def test_every_kind_has_a_placeholder():
    for kind in Kind.__args__:
        assert PLACEHOLDER.fullmatch(f"[{kind}_12]")


PIECES = st.sampled_from(
    (
        *(
            "jane@example.org",
            "+1 202 555 0143",
            "467 3395",
            "call ",
            "card ",
            "4111 1111 1111 1112",
            "4111111111111111",
            "[PHONE_1]",
        ),
        *(
            "[API_KEY_3]",
            "token=",
            "a8Vf31qR7mZ0kTw5Lp9X",
            "DE89 3704 0044 0532 0130 00",
            "203.0.113.9",
            ":",
            "/",
            "@",
            " ",
            "\n",
            "-",
        ),
        *(
            "12 Main Street",
            "passport ",
            "X1234567",
            "bob:pw1@",
            "https://",
            "943 476 5919",
            "nhs ",
            ".",
            ",",
            "(",
            "123-45-6789",
            "0x",
        ),
    )
)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join))
def test_redacting_twice_changes_nothing_and_keeps_the_rest_of_the_text(text):
    once = redact_all(text)
    assert redact_all(once) == once
    kept = re.split(r"\[[A-Z_]+_\d+\]", once)
    place = 0
    for part in kept:  # what is left of the text stands in it in this order
        place = text.index(part, place) + len(part)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.lists(PIECES | st.text(max_size=6), max_size=10).map("".join))
def test_found_places_are_in_order_and_never_overlap(text):
    spans = find(text)
    for span, following in itertools.pairwise(spans):
        assert span.end <= following.start
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
