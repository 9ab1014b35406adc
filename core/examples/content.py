"""The content of one turn that is a list of parts: texts, thoughts, tool calls and results."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DataError
from ..untrusted import quote
from .text import json_text
from .tool_calls import ARGUMENT_KEYS, FIX, call, calls_in
from .types import Message, Role

ONLY_TEXT = "only text can be trained"
TEXTS = ("text", "input_text", "output_text")
THOUGHTS = ("thinking", "reasoning")
SAID = ("text", "value", "content")  # where a part of text keeps it: OpenAI's way, LLaMA-Factory's, OpenTelemetry's
CALLS = ("tool_use", "toolUse", "functionCall", "function_call", "tool_call")
RESULTS = (
    *("tool_result", "toolResult", "functionResponse", "function_response"),
    *("tool_response", "tool_call_response", "function_call_output"),
)
IDS = ("call_id", "tool_call_id", "tool_use_id", "toolUseId", "toolCallId", "id")
REPLIES = ("content", "response", "result", "output", "value")
MEDIA = ("image", "image_url", "input_image", "audio", "input_audio", "video", "video_url", "file", "input_file")


def read_content(content: Any, role: Role, more: Mapping[str, Any]) -> list[Message] | None:
    """The messages that a turn's content parts are: tool results apart, all else of the turn in one message.

    OpenAI's, Anthropic's, Google's (`parts`), Bedrock's, OpenTelemetry's, Vercel's and LLaMA-Factory's parts are known.
    None when the content is a plain value.

    Args:
        content: The content as the record has it.
        role: Who speaks.
        more: Other fields of the turn; reasoning that is there is not written over.

    Raises:
        DataError: A part is an image, audio or another thing that is not text.
    """
    if isinstance(content, Mapping):
        if isinstance(content.get("parts"), (list, tuple)):
            content = content["parts"]
            if all(isinstance(part, str) for part in content):
                return [Message(role, "".join(content))]
        elif is_content(content) or content.keys() == {"text"}:
            content = [content]
        else:
            return None
    if isinstance(content, (list, tuple)) and any(isinstance(part, Mapping) for part in content):
        content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    if not content:
        return [Message(role, "")]
    if not all(isinstance(part, Mapping) and _kind(part) is not None for part in content):
        return None
    return _Turn(role, more).read(content)


def is_content(value: Any) -> bool:
    """Whether a value outside of a conversation is a content part: a text with its `type`, or a picture or a sound."""
    return isinstance(value, Mapping) and value.get("type") in (*TEXTS, *MEDIA, "refusal")


def _kind(part: Mapping[str, Any]) -> str | None:
    """What a part is, by its `type` or else by its one telling key; None when it is no content part."""
    if isinstance(part.get("type"), str):
        return part["type"]
    if isinstance(part.get("text"), str):
        return "thinking" if part.get("thought") is True else "text"
    known = ("functionCall", "function_call", "functionResponse", "function_response", "toolUse", "toolResult")
    other = ("inlineData", "inline_data", "fileData", "file_data", "image", "video", "document")
    return next((key for key in (*known, *other) if isinstance(part.get(key), Mapping)), None)


class _Turn:
    """One turn being read."""

    def __init__(self, role: Role, more: Mapping[str, Any]) -> None:
        self.role: Role = role
        self.more = more
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[Mapping[str, Any]] = []
        self.messages: list[Message] = []

    def read(self, parts: Sequence[Any]) -> list[Message]:
        for part in parts:
            self.add(_kind(part) or "", part)
        if self.texts or self.calls or self.thoughts or not self.messages:
            self.flush()
        return self.messages

    def add(self, kind: str, part: Mapping[str, Any]) -> None:
        kind = kind.replace("-", "_")
        if kind in TEXTS:
            self.texts.append(_text_in(part))
        elif kind == "refusal":
            self.texts.append(str(part.get("refusal") or ""))
        elif kind in THOUGHTS:
            self.thoughts.append(_thought(kind, part))
        elif kind in CALLS:
            self.calls += _calls(kind, part)
        elif kind in RESULTS:
            self.result(kind, part)
        elif kind == "step_start":  # Vercel's mark between the steps of an answer
            pass
        else:
            raise DataError(f"A message has a part of type {quote(kind)}; {ONLY_TEXT}.", "Drop it.")

    def result(self, kind: str, part: Mapping[str, Any]) -> None:
        """A tool's result, which is a message of its own."""
        if self.texts:
            self.flush()
        body = _body(kind, part)
        fields = _id("tool_call_id", body)
        if body.get("is_error") or body.get("status") == "error":
            fields["is_error"] = True
        said = next((body[key] for key in REPLIES if body.get(key) is not None), None)
        if isinstance(said, Mapping) and said.keys() == {"type", "value"}:
            said = said["value"]
        self.messages.append(Message("tool", _result_text(said), body.get("name", body.get("toolName")), None, fields))

    def flush(self) -> None:
        fields = {}
        if self.thoughts and not any(key in self.more for key in ("reasoning_content", *THOUGHTS)):
            fields["reasoning_content"] = "\n\n".join(self.thoughts)
        calls = tuple(self.calls) or None
        self.messages.append(Message(self.role, "".join(self.texts), None, calls, fields))
        self.texts, self.thoughts, self.calls = [], [], []


def _text_in(part: Mapping[str, Any]) -> str:
    said = next((part[key] for key in SAID if isinstance(part.get(key), str)), None)
    if said is None and not any(part.get(key, "") is None for key in SAID):
        keys = ", ".join(quote(str(key), 40) for key in list(part)[:6])
        raise DataError(f"A text part holds no text; its fields are {keys}.", FIX)
    return said or ""


def _thought(kind: str, part: Mapping[str, Any]) -> str:
    """The text of a thought, which some APIs cut up into parts of its own, or only sum up."""
    for said in (part.get(key) for key in (kind, *SAID, "summary")):
        if said and isinstance(said, (list, tuple)) and all(isinstance(one, Mapping) for one in said):
            return "\n\n".join(map(_only_text, said))
        if said and isinstance(said, str):
            return said
    return ""


def _calls(kind: str, part: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The calls that a part is: one by its fields, or those of the JSON text in its `value`."""
    body = _body(kind, part)
    name = body.get("name", body.get("toolName"))
    if isinstance(name, str):
        arguments = next((body[key] for key in ARGUMENT_KEYS if body.get(key) is not None), {})
        return [call(name, arguments, **_id("id", body))]
    value = body.get("value")
    calls = calls_in(value if isinstance(value, str) else json_text(value))
    if calls is None:
        raise DataError("A tool call has no name.", FIX)
    return calls


def _body(kind: str, part: Mapping[str, Any]) -> Mapping[str, Any]:
    """What holds a part's fields: its member of the part's kind (Google, Bedrock), or the part itself."""
    body = part.get(kind)
    return body if isinstance(body, Mapping) else part


def _id(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    value = next((body[name] for name in IDS if body.get(name) is not None), None)
    return {} if value is None else {key: value}


def _result_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, (list, tuple)) and all(isinstance(part, Mapping) for part in value):
        return "\n".join(json_text(part["json"]) if "json" in part else _only_text(part) for part in value)
    return json_text(value)


def _only_text(part: Mapping[str, Any]) -> str:
    if isinstance(part.get("text"), str):
        return part["text"]
    kind = quote(str(part.get("type")))
    raise DataError(f"A tool result has a part of type {kind}; {ONLY_TEXT}.", "Drop it.")
