"""Words that stand where a text should be, and when they may be a right answer all the same."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

Doubt = Literal["certain", "possible"]

LONGEST = 60  # characters; nothing longer is a placeholder, but for lorem ipsum
WRAPPING = " \t\r\n\"'`*_<>[](){}“”\u2018\u2019«»"
ENDING = " .!:;,"

# Nobody's answer to a question, whatever the data set: traces of templates, forms and exports.
TRACES = frozenset({
    *("nooutput", "no output", "no_output", "no-output", "noinput", "no input", "no_input", "no-input"),
    *("placeholder", "todo", "to do", "tbd", "to be determined", "fixme"),
    *("as above", "see above", "same as above", "same as before", "see attached", "to be filled in", "fill in"),
    *("#n/a", "#ref!", "#ref", "#value!", "#value", "#name?", "#div/0!", "#div/0", "object object"),
    *("no answer provided", "no response provided", "no answer given", "no response given", "intentionally left blank"),
    *("no output needed", "no output required", "no output necessary", "no output provided", "no output available"),
})  # fmt: skip
# The same, but only in brackets: "[deleted]", "<output>".
BRACKETED = frozenset({"removed", "deleted", "output", "response", "answer", "text", "blank", "empty", "redacted"})
# Values of an empty cell; as an answer right now and then ("Which of these are prime?" "None").
BLANKS = frozenset({
    *("none", "null", "nil", "nan", "n/a", "n.a", "na", "not applicable", "not available", "undefined", "unknown"),
    *("empty", "blank", "no answer", "no response", "no comment", "no data", "missing", "xxx", "asdf", "test"),
})  # fmt: skip
NOT_APPLICABLE = frozenset({"n/a", "n.a", "not applicable", "not available", "nan", "no data"})
# "[insert answer here]", "{{ answer }}", "your response goes here": the whole answer, nothing around it.
SLOT = re.compile(
    r"[\[<({]{1,2}\s*(?:please )?(?:insert|enter|add|type|write|put|fill)\b[^\n\]>)}]{1,50}[\]>)}]{1,2}"
    r"|\{\{\s*[\w. ]{1,40}\s*\}\}"
    r"|[\[<({]?(?:insert|enter|write|type|put)? ?(?:your|the) (?:answer|response|output|text) (?:goes )?here[\]>)}]?",
    re.IGNORECASE,
)
NO_INPUT = re.compile(
    r"no[ _-]?(?:further |additional |specific )?inputs?"
    r"(?: (?:is |was )?(?:needed|required|necessary|provided|given|available|specified|supplied|applicable))?",
    re.IGNORECASE,
)
EMPTY_CELL = frozenset({"none", "null", "nil", "nan", "n/a", "n.a", "not applicable", "empty", "blank", "-", "--"})
POINTS_AT_INPUT = re.compile(
    r"\b(?:following|given|provided|this|these|that|those|below|above|input|the (?:text|word|value|sentence|list|data"
    r"|phrase|item|code|string|passage|term))\b",
    re.IGNORECASE,
)

# A task for prose cannot be answered by "None".
PROSE = re.compile(
    r"\s*(?:please |can you |could you )?(?:write|compose|describe|explain|summari[sz]e|create|generate|design|discuss"
    r"|develop|draft|suggest|outline|rewrite|paraphrase|elaborate|propose|brainstorm|invent|tell|construct|recommend"
    r"|argue|compare|how (?:do|does|can|would|should) )\b",
    re.IGNORECASE,
)
# Here a few words are the whole answer, so that any of them may be right.
SHORT_ANSWER = re.compile(
    r"\b(?:translat\w*|words?|phrases?|terms?|means?|meaning|outputs?|prints?|printed|returns?|evaluat\w*|abbreviat\w*"
    r"|acronyms?|synonyms?|antonyms?|say|spell\w*|classif\w*|label\w*|extract\w*|categor\w*|detect\w*|identify|tag|tags"
    r"|entit\w+|if (?:there|not|none|no|any|it|unknown|missing)|otherwise|exactly|options?|choose|select|which|sql|json"
    r"|code|query|python|function|variable|value|values|symbol|punctuation|sign|true|false|yes|fields?|single)\b",
    re.IGNORECASE,
)


def doubt_about(answer: str, question: str) -> Doubt | None:
    """Whether an answer is a placeholder for certain, possibly, or (None) not at all.

    A word that the question names ("say N/A if ...") is an answer. Values of an empty cell are certain only where
    prose was asked for, "N/A" also wherever no short answer was asked for; traces of templates are certain unless a
    short answer was asked for.
    """
    stripped = answer.strip()
    if len(stripped) > LONGEST:
        return "certain" if is_lorem_ipsum(stripped) else None
    if SLOT.fullmatch(stripped) or is_lorem_ipsum(stripped):
        return None if stripped in question else "certain"
    if not any(letter.isalnum() for letter in stripped):
        return _doubt_about_marks(stripped, question)
    word = bare(stripped)
    bracketed = stripped[0] in "<[{" and (word in BRACKETED or word in TRACES)
    if (not bracketed and word not in TRACES and word not in BLANKS) or _names(question, word):
        return None
    if bracketed:
        return "certain"
    if SHORT_ANSWER.search(question):
        return "possible"
    sure = word in TRACES or word in NOT_APPLICABLE or PROSE.match(question)
    return "certain" if sure else "possible"


def _doubt_about_marks(answer: str, question: str) -> Doubt | None:
    """Marks alone, such as "-" or "...": no answer to a task for prose; elsewhere they may be what was asked for."""
    if not answer or not set(answer) <= set("-\u2013—.…_*?/\\'\"`<>[](){} "):
        return None
    if answer in question:
        return None
    return "certain" if PROSE.match(question) and not SHORT_ANSWER.search(question) else "possible"


def _names(question: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", question.casefold()) is not None


def bare(text: str) -> str:
    """A text without the brackets, quotes and marks around it, in lower case with single spaces."""
    return " ".join(text.strip(WRAPPING).rstrip(ENDING).strip(WRAPPING).casefold().split())


def is_lorem_ipsum(text: str) -> bool:
    """Whether a text is the printers' filler from its first word on."""
    return text[:30].lstrip(WRAPPING).casefold().startswith(("lorem ipsum", "dolor sit amet"))


def is_no_input(text: str, question: str) -> bool:
    """Whether a text only says that there is no input for the question.

    "No input" in any spelling says so unless the question names it; an empty cell's value ("N/A", "none") only when
    the question points at no input ("the following word", "this value"), for then it may be the input.
    """
    if len(text) > LONGEST:
        return False
    word = bare(text)
    if NO_INPUT.fullmatch(word):
        return not _names(question, word)
    if (word or text.strip()) in EMPTY_CELL:
        return not POINTS_AT_INPUT.search(question)
    return False


def answers_are_labels(answers: Sequence[str]) -> bool:
    """Whether the answers of a data set (a sample of some hundred rows will do) are labels rather than texts.

    They are when at least half of the rows have an answer of at most 5 words that at least 1% of the rows (and 3)
    give. In such a data set "none" and "N/A" are classes: judge it with "placeholder_answer" and
    "possible_placeholder" off. One frequent placeholder among texts makes no label of it.
    """
    counts = Counter(bare(answer) for answer in answers if len(answer.split()) <= 5)
    least = max(3, len(answers) / 100)
    labelled = sum(count for word, count in counts.items() if count >= least and word not in BLANKS | TRACES)
    return len(answers) >= 10 and labelled >= len(answers) / 2
