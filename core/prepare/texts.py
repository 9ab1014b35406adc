"""The texts of an example, to be looked at or changed in place by one function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..examples.types import ChatExample, CompletionExample, Example, Message

Change = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Changed:
    """One text before and after."""

    before: str
    after: str


def map_texts(example: Example, change: Change, *, everywhere: bool = False) -> tuple[Example, dict[str, Changed]]:
    """The example with every text replaced by `change(text)`, and what changed, by place.

    Args:
        example: What to change; it stays as it is.
        change: Gives back the very same text where nothing is to be done.
        everywhere: Also in leftover fields, tool calls and other fields of messages.
    """
    changed: dict[str, Changed] = {}

    def apply(place: str, text: str) -> str:
        after = change(text)
        if after is not text and after != text:
            changed[place] = Changed(text, after)
        return after

    if isinstance(example, CompletionExample):
        prompt, completion = apply("prompt", example.prompt), apply("completion", example.completion)
        fields = _map_json(example.fields, "fields", apply) if everywhere else example.fields
        return (replace(example, prompt=prompt, completion=completion, fields=fields) if changed else example), changed
    messages = tuple(_map_message(m, f"messages.{i}", apply, everywhere) for i, m in enumerate(example.messages))
    fields = _map_json(example.fields, "fields", apply) if everywhere else example.fields
    return (ChatExample(messages, fields) if changed else example), changed


def _map_message(message: Message, place: str, apply: Callable[[str, str], str], everywhere: bool) -> Message:
    content = apply(f"{place}.content", message.content)
    part = message.alpaca_input
    parts = {"alpaca_input": part and apply(f"{place}.input", part)} if content is not message.content else {}
    if everywhere and (message.tool_calls or message.fields or message.name):
        parts |= {
            "tool_calls": message.tool_calls and tuple(_map_json(message.tool_calls, f"{place}.tool_calls", apply)),
            "fields": _map_json(message.fields, f"{place}.fields", apply),
            "name": message.name and apply(f"{place}.name", message.name),
        }
    return replace(message, content=content, **parts) if parts or content is not message.content else message


def _map_json(value: Any, place: str, apply: Callable[[str, str], str]) -> Any:
    if isinstance(value, str):
        return apply(place, value)
    if isinstance(value, Mapping):
        return {key: _map_json(part, f"{place}.{key}", apply) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map_json(part, f"{place}.{i}", apply) for i, part in enumerate(value)]
    return value


def all_texts(example: Example) -> list[str]:
    """All texts of an example, those in leftover fields and tool calls too; what `map_texts` sees everywhere."""
    texts = texts_of(example)
    _collect(example.fields, texts)
    if not isinstance(example, CompletionExample):
        for message in example.messages:
            if message.fields or message.tool_calls or message.name:
                _collect((message.fields, message.tool_calls, message.name), texts)
    return texts


def _collect(value: Any, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            _collect(part, texts)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _collect(part, texts)


def texts_of(example: Example) -> list[str]:
    """All texts of an example that a model reads, in order."""
    if isinstance(example, CompletionExample):
        return [example.prompt, example.completion]
    return [message.content for message in example.messages]
