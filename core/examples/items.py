"""The items of OpenAI's Responses API, as turns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .tool_calls import call

CALLS = ("function_call", "custom_tool_call")
REPLIES = ("function_call_output", "custom_tool_call_output")


def is_items(value: Any) -> bool:
    """Whether it is a list of items: messages with a role, and at least one thing that is no message."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return False
    others = [item for item in value if "role" not in item]
    return bool(others) and all(map(_is_other, others))


def is_output(value: Any) -> bool:
    """Whether it is what a response puts out: items, or messages of the assistant with parts."""
    if is_items(value):
        return True
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and one.get("type") == "message" and "role" in one for one in value)
    )


def _is_other(item: Mapping[str, Any]) -> bool:
    kind = item.get("type")
    if not isinstance(kind, str):
        return False
    if kind in CALLS:
        return "call_id" in item or ("name" in item and "arguments" in item)
    return kind in REPLIES or kind == "reasoning" or (kind.endswith("_call") and "status" in item)


def turns_of(items: Sequence[Mapping[str, Any]], left_out: Counter[str]) -> list[dict[str, Any]]:
    """The turns that items are; what is no text, call, reply or readable thought is counted in `left_out`.

    The calls and the text of one answer, which are items each, become one turn.
    """
    turns: list[dict[str, Any]] = []
    thoughts: list[str] = []
    for item in items:
        kind = item.get("type")
        if kind == "reasoning":
            if said := _thoughts(item):
                thoughts.append(said)
            else:
                left_out["reasoning without text"] += 1
            continue
        turn = _turn(item)
        if turn is None:
            left_out[str(kind)] += 1
            continue
        last = turns[-1] if turns else None
        if last is not None and last["role"] == "assistant" and "tool_calls" in turn and not thoughts:
            last["tool_calls"] = [*last.get("tool_calls", ()), *turn["tool_calls"]]
            continue
        if thoughts and turn["role"] == "assistant":
            turn["reasoning_content"], thoughts = "\n\n".join(thoughts), []
        turns.append(turn)
    if thoughts:
        left_out["reasoning without an answer"] += len(thoughts)
    return turns


def _turn(item: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = item.get("type")
    if "role" in item:
        kept = {key: value for key, value in item.items() if key not in ("type", "id", "status")}
        return {"content": "", **kept}
    called = {"id": item["call_id"]} if item.get("call_id") is not None else {}
    if kind in CALLS:
        arguments = item.get("arguments", item.get("input", {}))
        return {"role": "assistant", "content": "", "tool_calls": [call(str(item.get("name")), arguments, **called)]}
    if kind in REPLIES:
        reply = {"tool_call_id": called["id"]} if called else {}
        return {"role": "tool", "content": item.get("output", ""), **reply}
    return None


def _thoughts(item: Mapping[str, Any]) -> str:
    """The text of a reasoning item, or of its summary where the text itself is not given out."""
    for parts in (item.get("content"), item.get("summary")):
        if isinstance(parts, str) and parts:
            return parts
        if isinstance(parts, (list, tuple)):
            texts = [part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)]
            if texts:
                return "\n\n".join(texts)
    return ""
