"""Broken texts are mended; good ones stay the very same objects."""
# ruff: noqa: RUF001 (texts of many scripts)

import pytest
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Example, Message, Rejected
from faion_finetuner.core.prepare.repairs import repair
from hypothesis import given, settings
from hypothesis import strategies as st


def pair(question: str, answer: str = "Fine.", context: str | None = None) -> ChatExample:
    content = question if context is None else f"{question}\n\n{context}"
    return ChatExample((Message("user", content, alpaca_input=context), Message("assistant", answer)))


def repaired(text: str) -> tuple[str, list[str]]:
    example, changes = repair(pair("Why?", text))
    assert isinstance(example, ChatExample)
    return example.messages[1].content, [change.rule for change in changes]


@pytest.mark.parametrize(
    ("rule", "broken", "good"),
    [
        ("mojibake", "CafÃ© â€“ dÃ©jÃ  vu", "Café – déjà vu"),
        ("mojibake", "ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"),
        ("mojibake", "æ—¥æœ¬èªž", "日本語"),
        ("latex_commands", "\x0crac{1}{2} \x08egin{x} \theta \times 2 \x0bec{a} \right)", None),
        ("ansi_codes", "\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain", "red plain"),
        ("control_characters", "a\x00b\x1fc\x0cd\x0be", "abc\nd\ne"),
        ("zero_width_characters", "\ufeffin\u00advisi\u200bble\u2060 wo\u200crd", "invisible word"),
        ("hidden_characters", "Hello\U000e0049\U000e0067\U000e006e", "Hello"),
        ("unicode_form", "cafe\u0301", "café"),
    ],
)
def test_a_broken_text_is_mended_by_the_rule_that_is_named(rule, broken, good):
    text, rules = repaired(broken)
    assert text == (good or r"\frac{1}{2} \begin{x} \theta \times 2 \vec{a} \right)")
    assert rules == [rule]


GOOD = [
    "Plain words, with a tab\tand\r\ntwo kinds of line ends.\rReally.",
    "“Curly” quotes – and dashes… don't change",
    "Ça coûte 5 € à l'hôtel, où l'œuvre est « exposée ».",
    "İstanbul'da güzel bir gün, çok sıcak.",
    "Tiếng Việt có rất nhiều dấu thanh.",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň.",
    "Съешь ещё этих мягких французских булок. Її моє єство.",
    "Ελληνικά κείμενα με τόνους.",
    "日本語のテキスト、中文文本。한국어 텍스트입니다.",
    "नमस्ते दुनिया, क्\u200dष and क\u200c्ष; ਸ਼ਹਿਰ, বাংলা ড়",
    "می\u200cخواهم فارسی بنویسم، مرحبا بالعالم",
    "ភាសា\u200bខ្មែរ \u200bស្រួល, ภาษา\u200bไทย",
    "Family 👨\u200d👩\u200d👧, pride 🏳️\u200d🌈, Wales 🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
    "Name in its own form: \ufa19, \uf900",
    "Non-breaking\u00a0space, 5\u202f%, ﬁne ligature, x² and ½",
    "Ã is a Portuguese letter, as in MAÇÃ and IRMÃ.",
    "AMANHÃ DE MANHÃ, disse a “IRMÃ”; não à toa.",
    "The tab\there is text, \timid or not.",
]


@pytest.mark.parametrize("text", GOOD)
def test_good_text_stays_the_very_same_object(text):
    example = pair(text, text)
    same, changes = repair(example)
    assert same is example
    assert changes == []


def test_repairs_reach_every_text_and_say_what_was_there_before():
    answer = Message("assistant", "nai\u0308ve")
    rejected = Rejected(1, (Message("assistant", "cafÃ©"),))
    example, changes = repair(ChatExample((Message("user", "Hi\x00"), answer), {}, rejected))
    assert isinstance(example, ChatExample)
    assert [message.content for message in example.messages] == ["Hi", "naïve"]
    assert example.rejected is not None
    assert example.rejected.turns[0].content == "café"
    befores = {text for change in changes for text in change.before.values()}
    assert befores == {"Hi\x00", "nai\u0308ve", "cafÃ©"}
    assert {change.rule for change in changes} == {"mojibake", "control_characters", "unicode_form"}


def test_a_repair_that_is_off_is_not_made():
    example = pair("a\x00b cafÃ©")
    mended, changes = repair(example, frozenset({"mojibake"}))
    assert isinstance(mended, ChatExample)
    assert mended.messages[0].content == "ab cafÃ©"
    assert [change.rule for change in changes] == ["control_characters"]


@pytest.mark.parametrize(
    ("question", "context"),
    [
        ("Name three colours.", "<noinput>"),
        ("Name three colours.", "No input."),
        ("Name three colours.", "`< no input >`"),
        ("Name three colours.", "No input required"),
        ("Name three colours.", "N/A"),
        ("Name three colours.", "None"),
    ],
)
def test_an_input_that_says_there_is_none_goes(question, context):
    example, changes = repair(pair(question, context=context))
    assert isinstance(example, ChatExample)
    assert example.messages[0] == Message("user", question)
    assert example.messages[0].alpaca_input is None
    assert [(c.rule, list(c.before.values())) for c in changes] == [("placeholder_input", [f"{question}\n\n{context}"])]


@pytest.mark.parametrize(
    ("question", "context"),
    [
        ("What type is the following Python value?", "None"),
        ("Translate this word to French.", "none"),
        ("What does <noinput> mean?", "<noinput>"),
        ("Is this a question?", "No input was given to the model, so why did it answer?"),
        ("Name a synonym.", "nothing"),
    ],
)
def test_an_input_that_only_looks_like_none_stays(question, context):
    example = pair(question, context=context)
    assert repair(example) == (example, [])


PIECES = st.sampled_from(
    ["Ã©", "\u00ad", "\u200b", "\u200d", "\x00", "\x85", "\x1b", "[0m", "\x0crac{", "\theta", "e\u0301", "é", "ก",
     "👨", "Ã", " ", "\n", "a", "б", "中", "ñ", "\ufeff", "\U000e0041", "\u0345", "क", "\u093c", "\x9d", "€",
     "â", "œ", "â€™"]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=12).map("".join))


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.lists(TEXTS, min_size=2, max_size=2), st.booleans())
def test_repairing_what_was_repaired_changes_nothing(texts, chat):
    example: Example = CompletionExample(*texts)
    if chat:
        example = pair(texts[0], texts[1], context="N/A")
    once, _ = repair(example)
    again, changes = repair(once)
    assert again is once
    assert changes == []


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_printable_ascii_is_never_touched(text):
    example = CompletionExample("", text)
    assert repair(example)[0] is example
