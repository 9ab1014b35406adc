"""The rules for the messages of one example.

Source: the service's OpenAPI description (FineTuneChatRequestInput and the chat messages that it names), and its
fine-tuning guides; the vision guide for pictures.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..untrusted import quote
from .lines import Problem, kind
from .tool_calls import calls_of

TEXT_ONLY = frozenset(("text",))
KEYS: Mapping[str, frozenset[str]] = {
    "system": frozenset(("role", "content", "name")),
    "developer": frozenset(("role", "content", "name")),
    "user": frozenset(("role", "content", "name")),
    "assistant": frozenset(("role", "content", "name", "refusal", "tool_calls", "function_call", "weight")),
    "tool": frozenset(("role", "content", "tool_call_id")),
    "function": frozenset(("role", "content", "name")),
}
PARTS: Mapping[str, frozenset[str]] = {
    "user": frozenset(("text", "image_url")),
    "assistant": frozenset(("text", "refusal")),
}
MAX_IMAGES = 10  # an example


def check_messages(messages: object, place: str) -> Iterator[Problem]:
    """The problems of a list of messages, each for itself; what follows from their order is checked elsewhere."""
    if not isinstance(messages, list) or not messages:
        text = "is empty" if messages == [] else f"is {kind(messages)} instead of a list of messages"
        yield Problem("Messages", place, text)
        return
    for index, message in enumerate(messages):
        here = f"{place}[{index}]"
        if isinstance(message, dict):
            yield from _check_message(message, here)
        else:
            yield Problem("Messages", here, f"is {kind(message)} instead of a message object")
    images = sum(_images(message) for message in messages if isinstance(message, dict))
    if images > MAX_IMAGES:
        yield Problem("Content", place, f"holds {images} pictures; {MAX_IMAGES} are allowed")


def _check_message(message: Mapping[str, Any], place: str) -> Iterator[Problem]:
    role = message.get("role")
    if not isinstance(role, str) or role not in KEYS:
        text = "is missing" if role is None else f"is {quote(str(role))}"
        yield Problem("Roles", f"{place}.role", text)
        return
    for key in sorted(message.keys() - KEYS[role]):
        if key == "weight":
            yield Problem("Weights", f"{place}.weight", f"stands in a {role} message; only assistant messages have one")
        else:
            yield Problem("Messages", f"{place}", f"holds the unknown key {quote(key)}")
    if "weight" in message and role == "assistant" and not _is_zero_or_one(message["weight"]):
        yield Problem("Weights", f"{place}.weight", f"is {quote(str(message['weight']))} instead of 0 or 1")
    if role == "function" and not isinstance(message.get("name"), str):
        yield Problem("Messages", f"{place}.name", "is missing; a function message names its function")
    yield from _check_content(message, role, f"{place}.content")


def _is_zero_or_one(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in (0, 1)


def _check_content(message: Mapping[str, Any], role: str, place: str) -> Iterator[Problem]:
    content = message.get("content")
    if content is None:
        replaced = role == "function" or (role == "assistant" and _says_something_else(message))
        if not replaced:
            yield Problem("Content", place, "is missing")
    elif isinstance(content, str):
        if role == "assistant" and not content.strip() and not _says_something_else(message):
            yield Problem("Content", place, "is empty; there is nothing to learn from it")
    elif isinstance(content, list) and content:
        for index, part in enumerate(content):
            yield from _check_part(part, PARTS.get(role, TEXT_ONLY), f"{place}[{index}]")
    else:
        yield Problem("Content", place, f"is {'an empty list' if content == [] else kind(content)} instead of a text")


def _says_something_else(message: Mapping[str, Any]) -> bool:
    return bool(calls_of(message) or message.get("function_call") or message.get("refusal"))


def _check_part(part: object, allowed: frozenset[str], place: str) -> Iterator[Problem]:
    type_ = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or type_ not in allowed:
        names = " or ".join(sorted(allowed))
        yield Problem("Content", place, f"has the type {quote(str(type_))}; allowed here: {names}")
    elif type_ == "image_url":
        image = part.get("image_url")
        if not isinstance(image, dict) or not isinstance(image.get("url"), str):
            yield Problem("Content", place, 'needs "image_url": {"url": "..."}')
    elif not isinstance(part.get(type_), str):
        yield Problem("Content", place, f"needs a text under {type_}")


def _images(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return sum(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)
