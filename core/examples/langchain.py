"""LangChain's messages, as its own functions write them, as turns with a role."""

from collections.abc import Mapping
from typing import Any

KINDS = {
    **{"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "function"},
    **{"HumanMessageChunk": "user", "AIMessageChunk": "assistant", "SystemMessageChunk": "system"},
}
CLASSES = {f"{kind.capitalize().replace('Ai', 'AI')}Message": kind for kind in ("human", "ai", "system", "tool")}
CLASSES["FunctionMessage"] = "function"
CALL_PARTS = ("tool_use", "tool_call", "function_call")  # in the content, beside the same calls in `tool_calls`


def as_turn(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """A LangChain message as a turn in OpenAI's shape; None for anything else.

    Known are `{"type": "human", "content"}`, `{"type": "human", "data": {"content"}}` (`messages_to_dict`) and
    `{"lc": 1, "type": "constructor", "id": [..., "HumanMessage"], "kwargs": {"content"}}` (`dumpd`).
    """
    kind, body = message.get("type"), message
    if kind == "constructor" and isinstance(message.get("kwargs"), Mapping):
        path, body = message.get("id"), message["kwargs"]
        name = path[-1] if isinstance(path, (list, tuple)) and path else None
        kind = CLASSES.get(str(name).removesuffix("Chunk"))
    elif isinstance(message.get("data"), Mapping):
        body = message["data"]
    if kind == "chat" and isinstance(body.get("role"), str):
        role = body["role"]
    elif isinstance(kind, str) and kind in KINDS and "content" in body:
        role = KINDS[kind]
    else:
        return None
    return _turn(role, body)


def _turn(role: str, body: Mapping[str, Any]) -> dict[str, Any]:
    more = {key: value for key, value in body.items() if key not in ("type", "role", "content") and _says(value)}
    if more.get("status") == "success":
        del more["status"]
    older = more.pop("additional_kwargs", None)
    if isinstance(older, Mapping):
        left = {key: value for key, value in older.items() if _says(value)}
        calls = ("tool_calls", "function_call")  # the same calls once more, as the provider wrote them
        if more.get("tool_calls"):
            left = {key: value for key, value in left.items() if key not in calls}
        for key in (*calls, "reasoning_content"):
            if key in left and key not in more:
                more[key] = left.pop(key)
        if left:
            more["additional_kwargs"] = left
    content = body.get("content")
    if more.get("tool_calls") and isinstance(content, (list, tuple)):
        content = [part for part in content if not (isinstance(part, Mapping) and part.get("type") in CALL_PARTS)]
    return {"role": role, "content": content, **more}


def _says(value: Any) -> bool:
    """Whether a field was filled at all: LangChain writes all fields of a message, most of them empty."""
    return value is not None and value is not False and value != "" and value != [] and value != {}
