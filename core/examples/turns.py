"""Lists of turns, as ShareGPT, OpenAI and their many relatives write them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import DataError
from ..untrusted import quote
from .types import Message, Role

ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatgpt", "ai", "model", "chatbot", "function_call"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "observation", "function", "function_response", "tool_response"), "tool"),
}
SPEAKER_KEYS = ("role", "from", "speaker")
CONTENT_KEYS = ("content", "value", "text", "message")
USED_KEYS = frozenset({"name", "tool_calls", "function_call"})
FIX = "Correct the record, or say with `columns` which field holds what."


def looks_like_turns(value: Any) -> bool:
    """Whether a field holds a list of turns (or the JSON text of one)."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, Mapping):
        return _key(value, SPEAKER_KEYS) is not None
    return (
        isinstance(value, (list, tuple)) and len(value) > 0 and all(isinstance(turn, (Mapping, str)) for turn in value)
    )


def has_roles(value: Any) -> bool:
    """Whether a list of turns (or the JSON text of one) names its speakers in `role`, as OpenAI does."""
    turns = _parsed(value) if isinstance(value, str) else value
    first = turns[0] if isinstance(turns, (list, tuple)) and turns else turns
    return isinstance(first, Mapping) and "role" in first


def read_turns(value: Any) -> tuple[Message, ...]:
    """The messages of a list of turns, of one turn, or of the JSON text of either.

    A turn is {role|from|speaker, content|value|text|message}, a {user, assistant} pair, or a bare text (user first).

    Raises:
        DataError: A turn has no known role, or content that is not text.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise DataError("The conversation is not a list of turns.", FIX)
    return tuple(message for index, turn in enumerate(value) for message in _read_turn(turn, index))


def text_of(value: Any) -> str:
    """A field's value as text: None is empty, a list of text parts is joined, anything else is its JSON.

    Raises:
        DataError: A content part is not text (an image, audio, a file).
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if (
        isinstance(value, (list, tuple))
        and value
        and all(isinstance(part, Mapping) and "type" in part for part in value)
    ):
        return "".join(_part_text(part) for part in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def join(values: Iterable[Any]) -> str:
    """The texts of several fields with a blank line between; empty ones are left out."""
    return "\n\n".join(text for text in map(text_of, values) if text)


def call(name: str, arguments: Any) -> dict[str, Any]:
    """One tool call in OpenAI's shape."""
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def call_text(tool_calls: Iterable[Mapping[str, Any]]) -> str:
    """Tool calls as the JSON text that ShareGPT writes: one object, or a list of them."""
    bare = [{"name": function["name"], "arguments": arguments_of(function)} for function in map(_function, tool_calls)]
    return json.dumps(bare[0] if len(bare) == 1 else bare, ensure_ascii=False)


def arguments_of(function: Mapping[str, Any]) -> Any:
    """A call's arguments as a value: OpenAI writes them as JSON text, templates want the object."""
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        parsed = _parsed(arguments)
        return arguments if parsed is None else parsed
    return arguments


def _function(tool_call: Mapping[str, Any]) -> Mapping[str, Any]:
    return tool_call.get("function", tool_call)


def _part_text(part: Mapping[str, Any]) -> str:
    if part["type"] in ("text", "input_text", "output_text"):
        return str(part.get("text", ""))
    if part["type"] == "refusal":
        return str(part.get("refusal", ""))
    raise DataError(f"A message has a part of type {quote(str(part['type']))}; only text can be trained.", "Drop it.")


def _parsed(text: str) -> Any:
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _key(turn: Mapping[str, Any], wanted: tuple[str, ...]) -> str | None:
    return next((key for key in wanted if key in turn), None)


def _read_turn(turn: Any, index: int) -> tuple[Message, ...]:
    if isinstance(turn, str):
        return (Message("user" if index % 2 == 0 else "assistant", turn),)
    if not isinstance(turn, Mapping):
        raise DataError(f"Turn {index + 1} is neither an object nor a text.", FIX)
    speaker = _key(turn, SPEAKER_KEYS)
    return _read_pair(turn, index) if speaker is None else (_read_message(turn, speaker, index),)


def _read_message(turn: Mapping[str, Any], speaker: str, index: int) -> Message:
    word = str(turn[speaker]).strip().lower()
    if word not in ROLES:
        raise DataError(f"Turn {index + 1} has the unknown role {quote(word)}.", f"Known roles: {', '.join(ROLES)}.")
    content = _key(turn, CONTENT_KEYS)
    calls = _calls(turn)
    if content is None and calls is None:
        raise DataError(f"Turn {index + 1} has no content.", FIX)
    text = "" if content is None else text_of(turn[content])
    if word == "function_call" and calls is None:
        calls = _calls_in(text)
        text = "" if calls else text
    name = None if turn.get("name") is None else str(turn["name"])
    used = {speaker, content, *USED_KEYS}
    left = {key: value for key, value in turn.items() if key not in used and value is not None}
    return Message(ROLES[word], text, name, calls, left)


def _calls(turn: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...] | None:
    """The tool calls of a turn in OpenAI's shape, also those of its older `function_call`."""
    calls, older = turn.get("tool_calls"), turn.get("function_call")
    if isinstance(older, Mapping) and "name" in older and not calls:
        calls = [call(str(older["name"]), older.get("arguments", {}))]
    if not calls:
        return None
    if not isinstance(calls, (list, tuple)) or not all(isinstance(one, Mapping) for one in calls):
        raise DataError("`tool_calls` is not a list of calls.", FIX)
    if not all("name" in _function(one) for one in calls):
        raise DataError("A tool call has no name.", FIX)
    return tuple(calls)


def _calls_in(text: str) -> tuple[Mapping[str, Any], ...] | None:
    """The tool calls that a ShareGPT `function_call` turn writes as JSON text; None when it is something else."""
    parsed = _parsed(text)
    calls = parsed if isinstance(parsed, list) else [parsed]
    if not calls or not all(isinstance(one, dict) and "name" in one for one in calls):
        return None
    return tuple(call(str(one["name"]), one.get("arguments", {})) for one in calls)


def _read_pair(turn: Mapping[str, Any], index: int) -> tuple[Message, ...]:
    messages = [Message(ROLES[key], text_of(value)) for key, value in turn.items() if key in ROLES]
    if not messages:
        keys = ", ".join(quote(str(key), 40) for key in list(turn)[:6])
        raise DataError(f"Turn {index + 1} has no role; its fields are {keys}.", FIX)
    return tuple(messages)
