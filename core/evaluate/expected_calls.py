"""What a row expects where there are tools: the calls of its last answer, or none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from ..checks import Check
from ..examples.chat import tools_of
from ..examples.tool_calls import arguments_of, call_text, function_of
from ..examples.types import ChatExample, Example, Message, answer_of, prompt_of
from .scoring.call_bodies import Call, Tools
from .scoring.scores import Of
from .scoring.written_calls import FORMS, Form, in_form


@dataclass(frozen=True, slots=True)
class Expected:
    """The calls that a row's last answer makes."""

    calls: tuple[Call, ...]
    """Empty: it answers in words, though there are tools."""
    tools: Tools = ()
    form: Form | None = None
    """In which its text holds them; None: they stand in `tool_calls`, and the model's template writes them."""


def expected_of(example: Example) -> Expected | None:
    """The calls that the last answer makes; None for a row that is not about tools.

    Raises:
        DataError: `tools` is the text of a JSON list that is broken.
    """
    if not isinstance(example, ChatExample):
        return None
    tools, answer = tools_of(example) or (), _answer(example)
    if answer is not None and answer.tool_calls:
        functions = map(function_of, answer.tool_calls)
        return Expected(tuple(Call(str(one.get("name")), arguments_of(one)) for one in functions), tools)
    text = answer_of(example)
    for form in FORMS:
        if form.open and form.open in text and (found := in_form(form, text, tools)).calls and not found.faults:
            return Expected(found.calls, tools, form)
    return Expected((), tools) if tools and text.strip() else None


def _answer(example: ChatExample) -> Message | None:
    place = len(prompt_of(example))
    return example.messages[place] if place < len(example.messages) else None


def questions_of(rows: Sequence[Example]) -> tuple[Example, ...]:
    """What is asked: the last answer of every row, then that which called tools in rows whose last answer does not.

    Such a row ends in words about what the tools said. Of several answers with calls the last is taken, so that no
    score counts a row twice: its tests want rows that are independent.
    """
    return (*rows, *(part for row in rows if isinstance(row, ChatExample) and (part := _up_to_calls(row)) is not None))


def _up_to_calls(row: ChatExample) -> ChatExample | None:
    last = len(prompt_of(row))
    calling = [place for place, one in enumerate(row.messages) if one.trained and place <= last and _calls(one)]
    if not calling or calling[-1] == last or not any(one.content for one in row.messages[: calling[-1]]):
        return None
    return replace(row, messages=row.messages[: calling[-1] + 1])


def _calls(answer: Message) -> bool:
    return bool(answer.tool_calls) or any(form.open and form.open in answer.content for form in FORMS)


def earlier_check(questions: Sequence[Example], rows: Sequence[Example]) -> tuple[Check, ...]:
    """That more is asked than the last answers."""
    more = len(questions) - len(rows)
    details = f"In {more} rows an answer before the last calls tools; the last such answer is asked for as well."
    return (Check(name="earlier_calls", status="pass", details=details, count=more),) if more else ()


def reference_of(example: Example) -> str:
    """The last answer as people read it: its text, and the calls that stand beside it."""
    answer = _answer(example) if isinstance(example, ChatExample) else None
    calls = call_text(answer.tool_calls) if answer is not None and answer.tool_calls else ""
    return "\n".join(part for part in (answer_of(example), calls) if part)


def is_of(of: Of, text: str, expected: Expected | None) -> bool:
    """Whether a score of such rows is computed on this one.

    Args:
        of: The rows of the score.
        text: The text of the last answer.
        expected: See `expected_of`.
    """
    calls = expected is not None and bool(expected.calls)
    match of:
        case "text":
            return not calls and bool(text.strip())
        case "calls":
            return calls
        case "no calls":
            return expected is not None and not calls
        case "tools":
            return expected is not None


def prompts_check(expected: Sequence[Expected | None], prompts: Sequence[str]) -> tuple[Check, ...]:
    """Whether the prompts hold the definitions of their tools, which some templates leave out in silence."""
    rows = [(one.tools, prompt) for one, prompt in zip(expected, prompts, strict=True) if one is not None and one.tools]
    without = sum(not all(_named(tool, prompt) for tool in tools) for tools, prompt in rows)
    if not rows:
        return ()
    if not without:
        details = f"The prompts of all {len(rows)} rows with tools name each of their tools."
        return (Check(name="tools_in_prompt", status="pass", details=details, count=0),)
    details = (
        f"The chat template leaves tool definitions out of the prompts of {without} of {len(rows)} rows with tools: "
        "the models are asked to call what they are not shown."
    )
    step = "Choose a base whose chat template writes `tools`, or write the definitions into the rows' system message."
    return (Check(name="tools_in_prompt", status="warn", details=details, count=without, next_step=step),)


def _named(tool: object, prompt: str) -> bool:
    name = function_of(tool).get("name") if isinstance(tool, dict) else None
    return not isinstance(name, str) or name in prompt or orjson.dumps(name).decode()[1:-1] in prompt
