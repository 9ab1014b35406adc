# ruff: noqa: RUF001 - letters with another case than it seems
"""What one pass over a text tells spares work, and never a finding."""

import pytest
from faion_finetuner.core.examples.types import ChatExample, Message
from faion_finetuner.core.personal import patterns
from faion_finetuner.core.personal.signals import Signals
from faion_finetuner.core.prepare import rules
from hypothesis import given, settings
from hypothesis import strategies as st

from .test_personal_data import FOUND
from .test_personal_keys import ANNOUNCED, TOKENS
from .test_personal_values import VALUES

GAPS = st.sampled_from(("", " ", "  ", "\n", "\t", "\u00a0", "\u2009", ", ", ": ", "-", ".", "/", "é", "Main ", " St "))
VALUE = st.sampled_from(
    [*(value for values in VALUES.values() for value in values), *FOUND, *ANNOUNCED, *TOKENS.values()]
)
WORDS = st.sampled_from(
    (
        *("sorry, I can't help", "I\u2019m unable to assist", "<|im_start|>", "[INST]", "</s>", "the attached image"),
        *("Human: hi\nAssistant: ho", "## Response:", '{"messages": [{"role": 1}]}', "&nbsp;", "<br/>", "\\n\\n"),
        *("{{name}}", "\ufffd", "https://example.org", "describe the picture", "draw me a cat picture", "作为ai"),
        *(
            "as an AI language model",
            "图片\uff1a",
            "对不起, 无法",
            "12. Instruction: a\nOutput: b",
            "<noinput>",
            "write",
        ),
        *("see the chart>", "[insert photo here]", "record", "ÀÉ", "İ", "K"),
    )
)


class Everything:
    """Sees every signal in every text."""

    def __init__(self, signals: Signals) -> None:
        self.names = signals.names

    def in_text(self, text: str) -> frozenset[str]:
        return self.names


@given(st.lists(st.tuples(VALUE, GAPS), max_size=4))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_text_without_a_finder_s_signals_holds_nothing_for_it(parts: list[tuple[str, str]]):
    text = "".join(value + gap for value, gap in parts)
    found = patterns.find(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns, "SIGNALS", Everything(patterns.SIGNALS))
        patch.setattr(patterns, "NUMBER_SIGNALS", Everything(patterns.NUMBER_SIGNALS))
        assert patterns.find(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *("tel: 123456", "tel 12 34 56", "555123412 OFFİCE", "5551234 DİRECT", "555 123 412 (Offıce)"),
        *("SOCİAL SECURITY NUMBER 123 45 6789", "socıal security number 123456789", "ſſn 123 45 6789"),
    ],
)
def test_short_numbers_and_letters_with_another_case_are_no_way_round(text: str):
    assert len(patterns.find(text)) == 1


@given(st.lists(WORDS, min_size=1, max_size=3), st.lists(WORDS, min_size=1, max_size=3), GAPS)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_rule_without_a_signal_in_the_row_finds_nothing(asked: list[str], said: list[str], gap: str):
    row = ChatExample((Message("user", gap.join(asked)), Message("assistant", gap.join(said))))
    verdict = rules.judge(row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "SIGNALS", Everything(rules.SIGNALS))
        assert rules.judge(row) == verdict


def test_every_signal_is_of_a_rule_or_of_a_finder():
    assert rules.SIGNALS.names < rules.FLAGS.keys()
    seen = patterns.SIGNALS.names | patterns.NUMBER_SIGNALS.names
    assert seen == {name for needed, _ in patterns.FINDERS for name in needed}


def test_a_text_that_cannot_be_searched_may_hold_everything():
    assert Signals({"a": "x", "b": "y"}).in_text("half a character: \ud800") == {"a", "b"}
    assert Signals({"a": "x", "b": "y"}).in_text("y") == {"b"}
