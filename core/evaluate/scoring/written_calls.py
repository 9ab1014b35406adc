"""Tool calls in what a model wrote, read as a server of its family reads them."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ...examples.text import json_text
from .call_bodies import Call, NoCall, RanOut, Tools, calls_of, read_body

Fault = Literal["never closed", "malformed", "in another form"]
BEGUN = re.compile(r'\[?\s*\{\s*"(?:name|function|type|arguments|parameters)"')  # a bare call, however it goes on
FENCE = re.compile(r"\s*```\w*\n(.*?)\n?```\s*", re.DOTALL)
PYTHON_TAG = "<|python_tag|>"  # Llama writes it before some calls; the rest is as without


@dataclass(frozen=True, slots=True)
class Called:
    """The calls of one answer."""

    calls: tuple[Call, ...] = ()
    faults: tuple[Fault, ...] = ()
    """One for each call that was begun and cannot be read."""

    def as_json(self) -> str:
        """A JSON list, {name, arguments} for each call; an unreadable one is {unreadable: why}."""
        calls = [{"name": name, "arguments": arguments} for name, arguments in self.calls]
        return json_text([*calls, *({"unreadable": fault} for fault in self.faults)])


@dataclass(frozen=True, slots=True)
class Form:
    """What stands around a model's calls."""

    open: str
    """Empty: the whole text is the call."""
    close: str = ""
    """Empty: a call ends with the text, or where the next one begins."""


BARE = Form("")
FORMS = (
    Form("<tool_call>", "</tool_call>"),  # Hermes, Qwen, GLM, SmolLM3, Granite 4
    Form("[TOOL_CALLS]"),  # Mistral
    Form("<|tool_call_start|>", "<|tool_call_end|>"),  # LFM2
    Form("<|tool_call|>", "<|/tool_call|>"),  # Phi 4, Granite 3
    Form("<|tool_call>", "<tool_call|>"),  # Gemma 4
    Form("<start_function_call>", "<end_function_call>"),  # FunctionGemma
    Form("to=functions.", "<|call|>"),  # gpt-oss
    BARE,  # Llama 3, and what a template writes that knows no calls
)
Read = Callable[[str, str, Tools], Called]
"""From the prompt, what the model wrote behind it, and the row's tools."""


def in_form(form: Form, text: str, tools: Tools) -> Called:
    """The calls of an answer in this form; calls in another one are told as faults."""
    said = text.rpartition("</think>")[2]
    foreign = any(other.open and other.open in said for other in FORMS if other != form)
    if form.open:
        found = _marked(form, said, tools)
        foreign = foreign or bool(_bare(said, tools).calls)
    else:
        found = Called() if foreign else _bare(said.partition(form.close or "\0")[0], tools)
    return found if found.calls or found.faults or not foreign else Called(faults=("in another form",))


def _marked(form: Form, text: str, tools: Tools) -> Called:
    calls: list[Call] = []
    faults: list[Fault] = []
    for piece in text.split(form.open)[1:]:
        body, mark, _ = piece.partition(form.close) if form.close else (piece, "", "")
        try:
            calls += read_body(body, tools)
        except NoCall as error:
            faults.append("never closed" if isinstance(error, RanOut) and not mark else "malformed")
    return Called(tuple(calls), tuple(faults))


def _bare(text: str, tools: Tools) -> Called:
    """The text as a call, or its end from the first line that begins one."""
    text = text.strip().removeprefix(PYTHON_TAG)
    if fenced := FENCE.fullmatch(text):
        text = fenced[1]
    begin = re.search(r"^\s*[\[{]", text, re.MULTILINE)
    if begin is None:
        return Called()
    body = text[begin.start() :].strip()
    try:
        return Called(tuple(read_body(body, tools)))
    except NoCall as error:
        if not BEGUN.match(body) or _is_other_json(body):
            return Called()
        return Called(faults=("never closed" if isinstance(error, RanOut) else "malformed",))


def _is_other_json(text: str) -> bool:
    """Whether it is a JSON value that names no tool to call, such as {"name": "Ann", "age": 3}."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    keys, several = {"arguments", "parameters", "function"}, value if isinstance(value, list) else [value]
    return not any(isinstance(one, dict) and keys & one.keys() for one in several)


def from_provider(value: Any) -> Called:
    """The calls that a provider's reply holds beside its text."""
    calls: list[Call] = []
    faults: list[Fault] = []
    for one in value if isinstance(value, list) else ():
        try:
            calls += calls_of(one)
        except NoCall:
            faults.append("malformed")
    return Called(tuple(calls), tuple(faults))
