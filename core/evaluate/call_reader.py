"""How a model's calls are to be read: found out by letting its own chat template write one."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..checks import Check, quoting
from ..errors import DataError
from ..examples.chat import ChatTokenizer
from ..examples.text import parsed
from ..examples.tool_calls import call
from ..examples.types import Message
from ..untrusted import quote
from .expected_calls import Expected
from .scoring import call_match
from .scoring.call_bodies import DECODER, Call, Tools
from .scoring.written_calls import FORMS, Called, Form, Read, from_provider, in_form

PROBE = Call("zq_find", {"zq_word": "zq seven"})
QUESTION = Message("user", "zq?")
CALLING = Message("assistant", "", tool_calls=(call(*PROBE, id="zq0000001"),))  # Mistral wants nine letters or digits
SCHEMA = {"type": "object", "properties": {"zq_word": {"type": "string", "description": "zq"}}, "required": ["zq_word"]}
TOOL = {"type": "function", "function": {"name": PROBE.name, "description": "zq", "parameters": SCHEMA}}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the calls of what a model wrote."""

    form: str | None
    """As reports tell it; None where the template's own form is not known, so that every known one is tried."""
    read: Read
    example: str = ""
    """What the template wrote where its form is not known."""
    beside: bool = False
    """Whether `raw` holds the calls alone, which stand in the text, too."""

    def called(self, written: str, prompt: str, expected: Expected) -> Called:
        """The calls of one answer; in the form of the reference where that holds its calls in its text."""
        if expected.form is not None:
            return in_form(expected.form, written, expected.tools)
        return self.read(written, prompt, expected.tools)


def _any(written: str, prompt: str, tools: Tools) -> Called:
    found = [in_form(form, written, tools) for form in FORMS]
    return next((one for one in found if one.calls), found[-1])


ANY = Reader(None, _any)


def _of_provider(written: str, prompt: str, tools: Tools) -> Called:
    value = parsed(written)
    is_calls = isinstance(value, list) and all(isinstance(one, dict) and "function" in one for one in value)
    return from_provider(value) if is_calls else Called()


HOSTED = Reader("the provider's tool_calls", _of_provider, beside=True)
"""Of answers whose `raw` is the JSON list that the provider gave beside the text."""


def learn(tokenizer: ChatTokenizer) -> Reader:
    """The reader of what its models write: by its response template, else in the form of its chat template."""
    tools = [TOOL]
    try:
        whole = tokenizer.render((QUESTION, CALLING), tools=tools)
        before = tokenizer.render((QUESTION,), add_generation_prompt=True, tools=tools)
    except DataError:
        return ANY
    same = takewhile(lambda pair: pair[0] == pair[1], zip(whole, before, strict=False))
    written = _without_end(whole[sum(1 for _ in same) :], tokenizer)
    known = (_by_template(tokenizer.folder), *map(_reader, FORMS), *map(_reader, _form_around(written)))
    readers = (one for one in known if one is not None)
    right = Called((PROBE,))
    found = next((one for one in readers if one.read(written, before, tools) == right), None)
    return found or Reader(None, _any, written.strip())


def _without_end(written: str, tokenizer: ChatTokenizer) -> str:
    for end in tokenizer.end_texts:
        written = written.partition(end)[0] or written
    return written


def read_back(
    reader: Reader, expected: Sequence[Expected | None], prompts: Sequence[str], answers: Sequence[str],
    tokenizer: ChatTokenizer,
) -> tuple[Check, ...]:  # fmt: skip
    """Whether the references' calls are right when they are read as the chat template writes them.

    Some templates write the first of several calls alone; then no model can give the right answer.

    Args:
        reader: Of this tokenizer's models.
        expected: What each question expects.
        prompts: Of the questions.
        answers: Their references as the template writes them.
        tokenizer: Whose template that is.
    """
    lost = [
        answer
        for one, prompt, answer in zip(expected, prompts, answers, strict=True)
        if one is not None and one.calls and not _same(one, reader, prompt, _without_end(answer, tokenizer))
    ]
    if not lost:
        return ()
    details = (
        f"Of the answers that call tools, {len(lost)} are written by the chat template so that their calls are not "
        "read back as the row has them: even the right answer counts as wrong there."
    )
    step = "Compare the row's calls with what the template writes; some write the first of several calls alone."
    details = quoting(details, quote(lost[0], 200))
    return (Check(name="tool_calls_read_back", status="warn", details=details, count=len(lost), next_step=step),)


def _same(expected: Expected, reader: Reader, prompt: str, answer: str) -> bool:
    made = reader.called(answer, prompt, expected)
    return call_match.right(made.as_json(), Called(expected.calls).as_json())


def _reader(form: Form) -> Reader:
    name = f"{form.open}…{form.close}" if form.open else "plain JSON"
    return Reader(name, lambda written, _, tools: in_form(form, written, tools))


def _form_around(written: str) -> list[Form]:
    """Marks that are not known here, around the JSON of the probe."""
    for start in (place for place, letter in enumerate(written) if letter in "[{"):
        try:
            _, end = DECODER.raw_decode(written, start)
        except ValueError:
            continue
        opened, closed = written[:start].rpartition("</think>")[2].strip(), written[end:].strip()
        return [Form(opened, closed)] if opened or closed else []
    return []


def _by_template(folder: Path) -> Reader | None:
    """By the `response_template` that newer tokenizers bring, and transformers' own parser of it."""
    try:
        template = json.loads((folder / "tokenizer_config.json").read_bytes()).get("response_template")
    except (OSError, ValueError):
        return None
    if not isinstance(template, dict) or "tool_calls" not in template.get("fields", {}):
        return None
    from transformers.utils.chat_parsing import parse_response

    return Reader("the tokenizer's response_template", _parsing(template, parse_response))


def _parsing(template: dict[str, Any], parse: Callable[..., dict[str, Any]]) -> Read:
    def read(written: str, prompt: str, tools: Tools) -> Called:
        try:
            found = parse(written, template, prefix=prompt, tools=list(tools)).get("tool_calls")
        except (ValueError, KeyError, TypeError):  # a call that was begun, and is not as the template says
            return Called(faults=("malformed",))
        return from_provider(found if isinstance(found, list) or found is None else [found])

    return read
