"""The texts of an example, to be looked at or changed in place by one function."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..examples.types import ChatExample, CompletionExample, Example, Message, Rejected
from ..lossless_json import texts_in
from ..personal.redact import in_context

Change = Callable[..., str]  # of a text, and of what must be read before it where there is something
Apply = Callable[..., str]  # of a place, its text, and what must be read before it


@dataclass(frozen=True, slots=True)
class Changed:
    """One text before and after."""

    before: str
    after: str


def map_texts(example: Example, change: Change, *, everywhere: bool = False) -> tuple[Example, dict[str, Changed]]:
    """The example with every text replaced by `change(text)`, and what changed, by place.

    Args:
        example: What to change; it stays as it is.
        change: Gives back the very same text where nothing is to be done; with `everywhere`, it is also given what must
            be read before a text, where there is something (see `in_context`), which is not to come back.
        everywhere: Also in leftover fields, tool calls and other fields of messages.
    """
    changed: dict[str, Changed] = {}

    def apply(place: str, text: str, context: str = "") -> str:
        after = change(text, context) if context else change(text)
        if after is not text and after != text:
            changed[place] = Changed(text, after)
        return after

    fields = example.fields
    if isinstance(example, CompletionExample):
        prompt, completion = apply("prompt", example.prompt), apply("completion", example.completion)
        rejected = example.rejected and apply("rejected", example.rejected)
        if everywhere:
            fields = _map_json(fields, "fields", apply)
        return (CompletionExample(prompt, completion, fields, rejected) if changed else example), changed
    messages = _map_messages(example.messages, "messages", apply, everywhere)
    pair = example.rejected and Rejected(
        example.rejected.after, _map_messages(example.rejected.turns, "rejected", apply, everywhere)
    )
    if everywhere:
        fields = _map_json(fields, "fields", apply)
    return (ChatExample(messages, fields, pair) if changed else example), changed


def _map_messages(messages: tuple[Message, ...], place: str, apply: Apply, everywhere: bool) -> tuple[Message, ...]:
    return tuple(_map_message(message, f"{place}.{i}", apply, everywhere) for i, message in enumerate(messages))


def _map_message(message: Message, place: str, apply: Apply, everywhere: bool) -> Message:
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


def _map_json(value: Any, place: str, apply: Apply) -> Any:
    if isinstance(value, str):
        return apply(place, value)
    if isinstance(value, Mapping):
        return {key: _map_member(key, part, f"{place}.{key}", apply) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map_json(part, f"{place}.{i}", apply) for i, part in enumerate(value)]
    return value


def _map_member(name: str, value: Any, place: str, apply: Apply) -> Any:
    context = in_context(name, value)
    if not context:
        return _map_json(value, place, apply)
    text = apply(place, str(value), context)
    return value if text == str(value) else text


def numbers_in_context(example: Example) -> list[str]:
    """The numbers beside the conversation, each behind its name; what `map_texts` sees beside `all_texts`."""
    turns = _turns(example) if isinstance(example, ChatExample) else ()
    beside = [(turn.fields, turn.tool_calls) for turn in turns if turn.fields or turn.tool_calls]
    return list(_members_in_context([example.fields, *beside])) if example.fields or beside else []


def _members_in_context(value: Any) -> Iterator[str]:
    """The members of a JSON value that only their names tell apart from other numbers."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if context := in_context(name, part):
                yield f"{context}{part}"
            else:
                yield from _members_in_context(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _members_in_context(part)


def all_texts(example: Example) -> list[str]:
    """All texts of an example, those in leftover fields and tool calls too; what `map_texts` sees everywhere."""
    texts = texts_of(example)
    if example.fields:
        texts.extend(texts_in(example.fields))
    if isinstance(example, ChatExample):
        for message in _turns(example):
            if message.fields or message.tool_calls or message.name:
                texts.extend(texts_in((message.fields, message.tool_calls, message.name)))
    return texts


def texts_of(example: Example) -> list[str]:
    """All texts of an example that a model reads, in order; those of a rejected answer are the last."""
    if isinstance(example, ChatExample):
        return [message.content for message in _turns(example)]
    texts = [example.prompt, example.completion]
    return texts if example.rejected is None else [*texts, example.rejected]


def _turns(example: ChatExample) -> tuple[Message, ...]:
    return example.messages if example.rejected is None else (*example.messages, *example.rejected.turns)
