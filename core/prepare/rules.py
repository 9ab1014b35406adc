"""What makes a row worthless, so that it is dropped, or suspect, so that it is flagged."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..examples.types import Example
from ..personal.signals import Signals
from . import rules_answers as answers
from . import rules_content as content
from . import rules_remains as remains
from .languages import answered_in_another
from .rules_view import View, view

Action = Literal["repair", "drop", "flag"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule does with a row it hits."""

    action: Action
    """`repair` changes the text, `drop` removes the row, `flag` keeps it and says what is suspect."""

    description: str
    """One sentence for users."""

    weight: float = 0.0
    """Of a flag: how likely the row is to be bad, 0 to 1, judged by reading hits in public data sets."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that hit a row."""

    rule: str
    """Its name in `RULES`."""

    detail: str | None = None
    """What was seen, where that is not plain from the rule."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a row."""

    drop: Finding | None = None
    """Why the row has nothing to teach; None when it has."""

    flags: tuple[Finding, ...] = ()
    """What is suspect; empty for a dropped row."""


RULES: dict[str, Rule] = {
    "placeholder_input": Rule("repair", "An Alpaca input that only says that there is none (<noinput>, N/A) goes."),
    "mojibake": Rule("repair", "Text that was read in a wrong encoding is read rightly (Ã© becomes é)."),
    "latex_commands": Rule("repair", r"LaTeX whose backslash was eaten is restored (form feed, rac becomes \frac)."),
    "ansi_codes": Rule("repair", "Colour and cursor codes of terminals go."),
    "control_characters": Rule("repair", "Control characters go; form feeds and the like become line feeds."),
    "zero_width_characters": Rule(
        "repair", "Byte order marks, soft hyphens and signs without width go where no script or emoji needs them."
    ),
    "hidden_characters": Rule(
        "repair", "Unicode tag characters, which hide text from readers but not from models, go."
    ),
    "unicode_form": Rule("repair", "Letters and their accents become one sign (NFC)."),
    "empty_answer": Rule("drop", "The answer to learn has no text and calls no tool."),
    "empty_prompt": Rule("drop", "Nothing is asked: every turn before the answer is empty."),
    "no_answer": Rule("drop", "The conversation has no assistant turn to learn."),
    "placeholder_answer": Rule("drop", "The only answer is a placeholder (<nooutput>, N/A, TODO, lorem ipsum)."),
    "answer_equals_question": Rule("drop", "The only answer is the question or instruction once more."),
    "chosen_equals_rejected": Rule("drop", "Both answers of a preference pair are the same."),
    "possible_placeholder": Rule("flag", "An answer such as None or - may be right here, or stand for nothing.", 0.6),
    "nothing_trained": Rule("flag", "Every answer has weight 0, so that a model learns nothing from the row.", 0.9),
    "empty_turn": Rule("flag", "An answer before the last one is empty.", 0.7),
    "answer_repeats_turn": Rule("flag", "An answer repeats the turn or the answer before it word for word.", 0.5),
    "merged_records": Rule("flag", "Marks of further records stand inside the row (12. Instruction: ...).", 0.9),
    "special_tokens_in_text": Rule("flag", "A chat template's own signs stand in a text (<|im_start|>, [INST]).", 0.8),
    "role_markers": Rule("flag", "Lines begin with Human: or Assistant:, as if turns had not been parted.", 0.6),
    "html_remains": Rule("flag", "Tags or entities of a web page stand in a row that is not about them.", 0.4),
    "escaped_text": Rule("flag", r"Line breaks or letters are written as escapes (\n) in a row without code.", 0.5),
    "unfilled_template": Rule("flag", "A slot of a template was not filled ({{name}}).", 0.6),
    "lost_characters": Rule("flag", "Letters are lost to a wrong decoding (�).", 0.6),
    "url_only_input": Rule("flag", "The input is only a web address, which the model cannot open.", 0.7),
    "missing_media": Rule("flag", "The question is about a picture, recording or file that the row lacks.", 0.8),
    "media_wanted": Rule("flag", "The task is to draw or film something, which a text model cannot do.", 0.5),
    "missing_input": Rule("flag", "The question announces the following, and nothing follows.", 0.6),
    "truncated_answer": Rule("flag", "A long answer breaks off within a sentence or a code block.", 0.6),
    "repeated_text": Rule("flag", "The answer says the same words again and again.", 0.7),
    "refusal": Rule("flag", "The answer refuses.", 0.3),
    "ai_boilerplate": Rule("flag", "The answer speaks of itself as an AI language model.", 0.3),
    "out_of_proportion": Rule("flag", "A text was asked for, and the answer is a few words.", 0.6),
    "answer_in_other_language": Rule("flag", "Question and answer are in different languages unasked.", 0.5),
}
"""All rules by name, in the order in which they are tried."""

DROPS: tuple[tuple[str, Callable[[View], str | None]], ...] = (
    ("placeholder_answer", answers.placeholder_answer),
    ("answer_equals_question", answers.answer_equals_question),
)
FLAGS: dict[str, Callable[[View], str | None]] = {
    "possible_placeholder": answers.possible_placeholder,
    "nothing_trained": answers.nothing_trained,
    "empty_turn": answers.empty_turn,
    "answer_repeats_turn": answers.answer_repeats_turn,
    "merged_records": remains.merged_records,
    "special_tokens_in_text": remains.special_tokens_in_text,
    "role_markers": remains.role_markers,
    "html_remains": remains.html_remains,
    "escaped_text": remains.escaped_text,
    "unfilled_template": remains.unfilled_template,
    "lost_characters": remains.lost_characters,
    "url_only_input": content.url_only_input,
    "missing_media": content.missing_media,
    "media_wanted": content.media_wanted,
    "missing_input": content.missing_input,
    "truncated_answer": content.truncated_answer,
    "repeated_text": content.repeated_text,
    "refusal": content.refusal,
    "ai_boilerplate": content.ai_boilerplate,
    "out_of_proportion": content.out_of_proportion,
    "answer_in_other_language": answered_in_another,
}
# Without a match of its pattern in a row's text, in lower case, such a rule finds nothing.
SIGNALS = Signals(
    {
        "merged_records": r'instruction:|## |noinput>|":',
        "special_tokens_in_text": rf"{'|'.join(map(re.escape, remains.ANGLED))}|inst\]",
        "role_markers": "assistant:|human:|user:",
        "html_remains": "[&<][a-z#/]",
        "escaped_text": r"\\[nu]",
        "unfilled_template": r"\{\{",
        "lost_characters": "\ufffd|锟斤拷",
        "url_only_input": r"http|www\.",
        "missing_media": "|".join(map(re.escape, content.MEDIA_HINTS)),
        "media_wanted": "image|picture|photo|drawing|sketch|painting|illustration|video|audio clip",
        "refusal": f"sorry|apologi|unfortunately|抱歉|对不起|{content.CANNOT}",
        "ai_boilerplate": "an ai|language model|my knowledge|an artificial|作为",
    }
)
ALWAYS = tuple(name for name in FLAGS if name not in SIGNALS.names)
ORDER = {name: place for place, name in enumerate(FLAGS)}


def judge(example: Example, off: frozenset[str] = frozenset()) -> Verdict:
    """Whether a row has something to teach, and what is suspect about it.

    A rule that drops is certain; a rule that only suspects flags.

    Args:
        example: The row, already repaired.
        off: Names of rules not to apply.
    """
    empty = answers.emptiness(example)
    if empty is not None and empty not in off:
        return Verdict(Finding(empty))
    if example.rejected is not None and "chosen_equals_rejected" not in off and answers.chosen_equals_rejected(example):
        return Verdict(Finding("chosen_equals_rejected"))
    seen = view(example)
    for name, drops in DROPS:
        if name not in off and (detail := drops(seen)) is not None:
            return Verdict(Finding(name, detail or None))
    found = SIGNALS.in_text(seen.lower)
    possible = (*ALWAYS, *found) if found else ALWAYS
    flags = [
        Finding(name, detail or None)
        for name in possible
        if name not in off and (detail := FLAGS[name](seen)) is not None
    ]
    if len(flags) > 1:
        flags.sort(key=lambda flag: ORDER[flag.rule])
    return Verdict(None, tuple(flags))


def suspicion(example: Example, verdict: Verdict) -> float:
    """How much a row is worth a look, 0 (nothing speaks against it) to 1 (dropped).

    The flags' weights are taken as independent chances that the row is bad: 1 - product of (1 - weight). Equally
    suspect rows are told apart by their length, for more is learned from a longer one: up to 0.01 at 100,000 letters.
    """
    if verdict.drop is not None:
        return 1.0
    if not verdict.flags:
        return 0.0
    good = math.prod(1 - RULES[flag.rule].weight for flag in verdict.flags)
    letters = len(view(example).text)
    return min(1.0, 0.99 * (1 - good) + 0.01 * min(1.0, math.log10(letters + 1) / 5))
