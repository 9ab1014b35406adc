"""Rows that have nothing to teach: no question, no answer, or an answer that says nothing."""

from ..examples.types import ChatExample, Example, Message
from .placeholders import doubt_about
from .rules_view import View

MARKS_AROUND = 12  # quotes, spaces and full stops by which two equal texts may differ in length
CLEARLY_SAID_BYTES = 16  # a shorter answer may well equal its question: "Hello!" "Hello!"


def emptiness(example: Example) -> str | None:
    """The rule by which an example has nothing to learn; None when it has something."""
    if not isinstance(example, ChatExample):
        return None if example.completion.strip() else "empty_answer"
    asked, answer = False, None
    for message in example.messages:
        if message.role == "assistant":
            answer = message
        elif not asked:
            asked = bool(message.content.strip())
    if answer is None:
        return "no_answer"
    if not answer.content.strip() and not answer.tool_calls:
        return "empty_answer"
    return None if asked else "empty_prompt"


def placeholder_answer(view: View) -> str | None:
    """The placeholder that is the row's only answer."""
    if len(view.answers) == 1 and doubt_about(view.answer, view.question) == "certain":
        return view.answer.strip()[:60]
    return None


def possible_placeholder(view: View) -> str | None:
    """An answer that is a placeholder, or happens to look like one."""
    for answer in view.answers:
        if doubt_about(answer, view.question):
            return answer.strip()[:60]
    return None


def answer_equals_question(view: View) -> str | None:
    """Whether the row's only answer says the question, or the instruction before the input, once more."""
    if len(view.answers) != 1 or not view.question:
        return None
    answer = view.answer
    if len(answer) < CLEARLY_SAID_BYTES and len(answer.encode()) < CLEARLY_SAID_BYTES:
        return None
    near = [question for question in _asked(view) if abs(len(question) - len(answer)) <= MARKS_AROUND]
    if not near:
        return None
    said = plain(answer)
    return "" if said and any(said == plain(question) for question in near) else None


def answer_repeats_turn(view: View) -> str | None:
    """Whether an answer of a longer conversation is the turn before it, or the answer before it, word for word."""
    if not isinstance(view.example, ChatExample) or len(view.answers) < 2:
        return None
    before: list[Message] = []
    for message in view.example.messages:
        if message.role == "assistant" and len(message.content.encode()) >= CLEARLY_SAID_BYTES:
            said = plain(message.content)
            if any(said == plain(other.content) for other in before[-2:] if len(other.content) >= 8):
                return message.content[:60]
        before.append(message)
    return None


def nothing_trained(view: View) -> str | None:
    """Whether every answer is weighted 0."""
    if not isinstance(view.example, ChatExample) or any(message.trained for message in view.example.messages):
        return None
    return ""


def empty_turn(view: View) -> str | None:
    """Whether an answer before the last one is empty: the model would learn to say nothing."""
    empty = sum(not answer.strip() for answer in view.answers[:-1])
    return f"{empty} of {len(view.answers)} answers" if empty else None


def chosen_equals_rejected(example: Example) -> bool:
    """Whether both answers of a preference pair say the same, so that there is nothing to prefer."""
    rejected = example.rejected
    if rejected is None:
        return False
    if not isinstance(example, ChatExample) or isinstance(rejected, str):
        return (
            isinstance(rejected, str) and not isinstance(example, ChatExample) and _same(example.completion, rejected)
        )
    chosen = example.messages[rejected.after :]
    return len(chosen) == len(rejected.turns) and all(
        one.role == other.role and _same(one.content, other.content) and one.tool_calls == other.tool_calls
        for one, other in zip(chosen, rejected.turns, strict=True)
    )


def plain(text: str) -> str:
    """A text for comparison: its words in lower case, without quotes or marks around them."""
    return " ".join(text.casefold().split()).strip(" \"'`*_.!?:;,#-")


def _same(one: str, other: str) -> bool:
    return one.split() == other.split()


def _asked(view: View) -> list[str]:
    """All that was asked, the last question by itself, and its instruction without the input."""
    if not isinstance(view.example, ChatExample):
        return [view.question]
    parts = [view.question]
    for message in reversed(view.example.messages):
        if message.role == "user":
            parts.append(message.content)
            if message.alpaca_input:
                parts.append(message.content.removesuffix(message.alpaca_input).rstrip())
            break
    return parts
