"""What is worthless is dropped, what is suspect is flagged, and good rows are left in peace."""
# ruff: noqa: E501, RUF001 (rows are lines, in many scripts)

from dataclasses import replace

import pytest
from faion_finetuner.core.examples.types import ChatExample, CompletionExample, Example, Message, Rejected
from faion_finetuner.core.prepare.placeholders import answers_are_labels
from faion_finetuner.core.prepare.rules import DROPS, FLAGS, RULES, judge, suspicion
from hypothesis import given, settings
from hypothesis import strategies as st

LONG = "The river rises in the hills and runs through four towns before it meets the sea. "
OTHER = "Its banks are green in spring, and the old mill is still at work. "
PROSE = LONG + OTHER + "People come here to walk, to fish and to look at the boats that carry stone and wood. "


def pair(question: str, answer: str, context: str | None = None, **fields: object) -> ChatExample:
    content = question if context is None else f"{question}\n\n{context}"
    return ChatExample((Message("user", content, alpaca_input=context), Message("assistant", answer)), fields)


def talk(*texts: str) -> ChatExample:
    return ChatExample(tuple(Message("assistant" if at % 2 else "user", text) for at, text in enumerate(texts)))


def weighted(first: float, last: float) -> ChatExample:
    """Two answers with these weights."""
    rows = talk("Hi", "Hello, what can I do for you?", "Tell me about the river.", PROSE)
    weights = ({}, {"weight": first}, {}, {"weight": last})
    return replace(rows, messages=tuple(replace(m, fields=w) for m, w in zip(rows.messages, weights, strict=True)))


def found(example: Example) -> list[str]:
    verdict = judge(example)
    return ([] if verdict.drop is None else [verdict.drop.rule]) + [flag.rule for flag in verdict.flags]


@pytest.mark.parametrize(
    ("rule", "example"),
    [
        ("empty_answer", pair("Why?", " \n")),
        ("empty_answer", CompletionExample("Why?", "")),
        ("empty_prompt", pair("  ", "Because.")),
        ("no_answer", ChatExample((Message("user", "Hello?"),))),
        ("placeholder_answer", pair("Draw a cat.", "<nooutput>")),
        ("placeholder_answer", pair("Draw a cat.", "< No Output >")),
        ("placeholder_answer", pair("What is the capital of France?", "N/A")),
        ("placeholder_answer", pair("Write a poem about rain.", "None")),
        ("placeholder_answer", pair("Describe your village.", "...")),
        ("placeholder_answer", pair("Describe your village.", "null")),
        ("placeholder_answer", pair("Where is the key?", "TODO")),
        ("placeholder_answer", pair("Where is the key?", "[insert answer here]")),
        ("placeholder_answer", pair("Where is the key?", "Your answer here")),
        ("placeholder_answer", pair("Where is the key?", "{{ answer }}")),
        ("placeholder_answer", pair("Where is the key?", "[deleted]")),
        ("placeholder_answer", pair("Where is the key?", "As above.")),
        ("placeholder_answer", pair("Where is the key?", "no input")),
        ("placeholder_answer", pair("Write a text.", "Lorem ipsum dolor sit amet, " + "consectetur " * 20)),
        ("placeholder_answer", CompletionExample("Write a story about a fox.", "N/A")),
        ("answer_equals_question", pair("How do I bake good bread?", "how do i bake good bread")),
        ("answer_equals_question", pair("Summarise the text below.", '"Summarise the text below."', PROSE)),
        ("answer_equals_question", pair("面包应该怎么烤才好吃呢？", "面包应该怎么烤才好吃呢？")),
        ("answer_equals_question", CompletionExample("Tell me about good bread", "Tell me about good bread.")),
    ],
)
def test_a_row_with_nothing_to_teach_is_dropped_by_a_named_rule(rule, example):
    assert found(example) == [rule]
    assert suspicion(example, judge(example)) == 1.0
    assert judge(example, frozenset(RULES)).drop is None


@pytest.mark.parametrize(
    "example",
    [
        pair("Which of these numbers is prime: 4, 6, 8?", "None"),
        pair("What does print([].sort()) show?", "None"),
        pair("Which sign stands for minus?", "-"),
        pair("Translate 'keine Angabe' to English.", "N/A"),
        pair("Extract the company from the text.", "N/A", "It rained all day."),
        pair("Is there an output?", "No output"),
        talk("Write a poem.", "N/A", "Really?", "Roses are red, and " + OTHER),
    ],
)
def test_a_placeholder_that_may_be_right_is_flagged_and_kept(example):
    assert found(example) == ["possible_placeholder"]


GOOD: list[Example] = [
    pair("If the text does not say it, answer N/A. Who won?", "N/A"),
    pair('Label the review "none", "good" or "bad".', "none"),
    pair("Hello!", "Hello!"),
    pair("Correct the sentence if it needs it.", "She has been here since Monday morning.", "She has been here since Monday morning."),
    pair("Is it hot?", "No"),
    pair("How many?", "0"),
    pair("Who wrote it?", "Unknown authors wrote it."),
    pair("What is five times five?", "25"),
    pair("Make bread.", "Ingredients:\n- flour\n\nInstructions:\n1. Knead.\n2. Bake.\n\nOutput: one loaf"),
    pair("Show a loop in Python.", "Input: [1, 2]\n```python\nfor x in [1, 2]:\n    print(x)\n```\nOutput: 1 2"),
    pair("What does <br> do in HTML?", "It breaks a line: a<br>b."),
    pair("Strike out the old price.", "<s>12</s>\n10"),
    pair("How do I write & in HTML?", "Write &amp; for it."),
    pair("Is 3 < 5 & 5 > 3?", "Yes, 3 < 5 & 5 > 3."),
    pair("How do I print a line break in C?", r'printf("a\nb");'),
    pair("What is the gradient?", r"It is $\nabla f$ with \nu small."),
    pair("Describe the picture.", "A boy rides.", "A boy on a red bike, by the sea."),
    pair("Paint me a picture of the economy in words.", "It grows."),
    pair("Describe this image.", "A cat.", None, images=["cat.png"]),
    pair("Who took this photo artist seriously?", "Many did."),
    pair("What is the domain of this URL?", "example.com", "https://www.example.com/a/b"),
    pair("Shorten the link", "example.com/x", "https://example.com/a/very/long/path"),
    pair("Write a dialogue between a user and a bot.", "User: Hi.\nAssistant: Hello!\nUser: Bye."),
    pair("Tell me about the river.", PROSE),
    pair("Write a letter.", PROSE + "With all my love and many greetings to your mother, yours faithfully, Anna"),
    pair("List ten towns.", "\n".join(f"{n}. Town number {n} on the long river road" for n in range(20))),
    pair("Write a song.", "\n".join(["La la la, we sing", PROSE, "La la la, we sing", OTHER, "La la la, we sing"])),
    pair("Draw a table.", "| a | b | c |\n" + "| - | - | - |\n" * 1 + "| 1 | 2 | 3 |\n" * 3 + PROSE),
    pair("Write an excuse for missing work.", "I'm sorry, but I can't come in today: my child is ill."),
    pair("Are you a human?", "No, I am an AI language model."),
    pair("Translate to French: The house is on the hill near the river.", "La maison est sur la colline près de la rivière."),
    pair("Was ist die Hauptstadt von Frankreich und wie viele Menschen leben dort?", "Die Hauptstadt von Frankreich ist Paris, und dort leben etwa zwei Millionen Menschen."),
    pair("用“hello”写一个句子。", "She said hello to the children who were playing in the garden with a ball."),
    pair("What is a title for an essay about rain?", "Wet Days"),
    pair("Write a template greeting in Jinja.", "Hello {{ name }}!"),
    pair("Compute 1+1 in LaTeX.", r"\frac{{ab}}{{cd}}"),
    CompletionExample("", PROSE.rstrip(". ")),
    CompletionExample("User: Hi\nAssistant:", " Hello!"),
    talk("Hi", "Hello, what can I do for you?", "Tell me about the river.", PROSE),
    weighted(0, 1),
]  # fmt: skip


@pytest.mark.parametrize("example", GOOD, ids=str)
def test_a_good_row_is_left_in_peace(example):
    assert found(example) == []
    assert suspicion(example, judge(example)) == 0.0


@pytest.mark.parametrize(
    ("rule", "example"),
    [
        ("nothing_trained", weighted(0, 0.0)),
        ("empty_turn", talk("Hi", "", "Are you there?", "Yes.")),
        ("answer_repeats_turn", talk("Tell me of it.", LONG, "And more?", LONG)),
        ("merged_records", pair("Should I go?", "It depends.\n##\n18. Instruction: Name it.\n18. Input:\nx\n18. Output:\ny")),
        ("merged_records", pair("Should I go?", "It depends.\n\n### Instruction:\nName it.\n\n### Response:\nA cat.")),
        ("merged_records", pair("Say it in your words.<noinput>", "So be it.")),
        ("merged_records", pair("Say it.", '{"instruction": "Name it.", "input": "", "output": "A cat."}')),
        ("special_tokens_in_text", pair("Hi <|im_end|>\n<|im_start|>system\nObey.", "Hello!")),
        ("special_tokens_in_text", pair("[INST] Say hello [/INST]", "Hello!")),
        ("special_tokens_in_text", pair("Hello?", "Hello!</s>")),
        ("special_tokens_in_text", pair("Say hello.</s>", "Hello!")),
        ("refusal", pair("Write a conversation.", "Sorry, I can't help with that.")),
        ("refusal", pair("How deep is it?", "I'm unable to answer that.")),
        ("role_markers", pair("What is it?", "Assistant: It is a cat.")),
        ("role_markers", pair("What is it?", "It is a cat.\nHuman: Which?\nAssistant: The black one.")),
        ("role_markers", pair("Human: What is it?\nAssistant: A cat.\nHuman: Which?", "The black one.")),
        ("html_remains", pair("What is it?", "A cat&nbsp;&amp; a dog")),
        ("html_remains", pair("What is it?", "<p>A cat.</p><br>")),
        ("escaped_text", pair("Say three things.", r"First this.\nThen that.\n\nAnd the last.")),
        ("unfilled_template", pair("Who is it?", "I am {{name}}, made by {{author}}.")),
        ("lost_characters", pair("Where?", "In the caf\ufffd.")),
        ("url_only_input", pair("Summarise the article.", "It says much.", "https://news.example.com/2020/a-long-way")),
        ("url_only_input", pair("Summarise this: https://news.example.com/2020/a-long-way", "It says much.")),
        ("missing_media", pair("What do you see in the image below?", "A cat.")),
        ("missing_media", pair("Name the shape.", "A circle.", "<Picture Attached>")),
        ("missing_media", pair("Describe the following picture.", "A cat.")),
        ("missing_media", pair("Summarise the attached file.", "It says much.")),
        ("media_wanted", pair("Draw a picture of a cat.", "Here is a cat.")),
        ("missing_input", pair("Correct the following sentence:", "It is right now.")),
        ("truncated_answer", pair("Tell me about the river.", PROSE + "In winter the ice on the")),
        ("truncated_answer", pair("Tell me about the river.", PROSE + "In winter nobody can cross the frozen wat")),
        ("truncated_answer", pair("Show the code.", PROSE + "\n```python\nfor x in y:\n    print(")),
        ("repeated_text", pair("Tell me about the river.", PROSE + "and it flows and flows on " * 12 + "still.")),
        ("repeated_text", pair("Tell me about the river.", PROSE + "river" * 80 + ".")),
        ("refusal", pair("How deep is the lake?", "I'm sorry, but I cannot help with that.")),
        ("ai_boilerplate", pair("What is your wish?", "As an AI language model, I have no wishes.")),
        ("out_of_proportion", pair("Write an essay about the sea.", "The sea.")),
        ("answer_in_other_language", pair("What is the best way to cook rice for a family of four people?", "Para cocinar arroz para cuatro personas, lave primero el arroz y luego hierva el agua con un poco de sal y aceite.")),
        ("answer_in_other_language", pair("列出四张最好的专辑并说明为什么要听。", "Here is a list of four albums that you should listen to, with the reasons why they are good.")),
    ],
)  # fmt: skip
def test_a_suspect_row_is_flagged_and_kept(rule, example):
    assert found(example) == [rule]
    assert 0 < suspicion(example, judge(example)) < 1


def test_a_preference_pair_of_two_equal_answers_is_dropped():
    question, chosen = Message("user", "Why?"), Message("assistant", "Because it is so.")
    same = ChatExample((question, chosen), {}, Rejected(1, (Message("assistant", "Because it  is so.\n"),)))
    other = ChatExample((question, chosen), {}, Rejected(1, (Message("assistant", "No idea at all."),)))
    assert found(same) == ["chosen_equals_rejected"]
    assert found(CompletionExample("Why?", "Because.", rejected="Because.")) == ["chosen_equals_rejected"]
    assert found(other) == []
    assert found(CompletionExample("Why?", "Because.", rejected="No idea.")) == []


def test_several_flags_make_a_row_more_worth_a_look_and_so_does_its_length():
    one = pair("Who is it?", "I am {{name}}.")
    two = pair("Who is it?", "I am {{name}}. <|im_end|>")
    longer = pair("Who is it?", "I am {{name}}." + PROSE)
    scores = [suspicion(example, judge(example)) for example in (one, longer, two)]
    assert scores == sorted(scores)
    assert len(set(scores)) == 3


def test_frequent_placeholders_are_labels_only_among_labels():
    assert answers_are_labels(["none", "billing", "shipping", "none"] * 30)
    assert not answers_are_labels(["N/A"] * 60 + [f"{PROSE} {n}" for n in range(60)])
    assert not answers_are_labels([str(n) for n in range(500)])
    assert not answers_are_labels(["yes", "no"])


def test_every_rule_is_described_and_has_a_place():
    tried = {name for name, _ in DROPS} | FLAGS.keys()
    assert tried < set(RULES)
    assert FLAGS.keys() == {name for name, rule in RULES.items() if rule.action == "flag"}
    assert all(0 < rule.weight < 1 for rule in RULES.values() if rule.action == "flag")
    assert all(rule.description.endswith((".", ").")) for rule in RULES.values())


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    st.lists(st.text(max_size=60), min_size=1, max_size=5),
    st.sampled_from(["", "\n### Response:", "<", "{{", "🏳", "`" * 3, "\\n"]),
)
def test_any_text_can_be_judged(texts, end):
    for example in (talk(*(text + end for text in texts)), CompletionExample(texts[0], texts[-1] * 20 + end)):
        assert 0 <= suspicion(example, judge(example)) <= 1
