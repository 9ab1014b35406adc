"""The rules for tools and their calls in one example: what is called is listed, and every call is answered."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from ..untrusted import quote
from .lines import Problem, kind

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The well-formed tool calls of a message."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def check_tools(owner: Mapping[str, Any], place: str) -> Iterator[Problem]:
    """The problems of `tools` and `parallel_tool_calls`, and of the calls in `messages`.

    Args:
        owner: The object that holds the three.
        place: Where it stands, with a dot at the end, or empty.
    """
    tools = owner.get("tools")
    if tools is not None and not isinstance(tools, list):
        yield Problem("Tools", f"{place}tools", f"is {kind(tools)} instead of a list")
    names: set[str] = set()
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        problem = _tool_problem(tool)
        if problem:
            yield Problem("Tools", f"{place}tools[{index}]", problem)
        else:
            names.add(tool["function"]["name"])
    if "parallel_tool_calls" in owner and not isinstance(owner["parallel_tool_calls"], bool):
        yield Problem("Tools", f"{place}parallel_tool_calls", "is neither true nor false")
    messages = owner.get("messages")
    if isinstance(messages, list):
        yield from check_calls(messages, names, f"{place}messages")


def _tool_problem(tool: object) -> str | None:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return 'needs "type": "function"'
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not NAME.fullmatch(name):
        return "needs a function with a name of 1 to 64 letters, digits, _ or -"
    if "parameters" in function and not isinstance(function["parameters"], dict):
        return "has parameters that are no JSON Schema object"
    return None


def check_calls(messages: Sequence[object], listed: set[str], place: str) -> Iterator[Problem]:
    """The problems of tool calls and their answers, in the order of the conversation.

    The calls of the last message need no answer: making them is what the example teaches.
    """
    open_calls: dict[str, str] = {}  # id to the place of the call
    for index, message in enumerate(messages):
        here = f"{place}[{index}]"
        if not isinstance(message, dict):
            continue
        if message.get("role") == "tool":
            if open_calls.pop(str(message.get("tool_call_id")), None) is None:
                yield Problem(
                    "Tools", f"{here}.tool_call_id", "answers no tool call of the assistant message before it"
                )
            continue
        yield from _unanswered(open_calls)
        open_calls = {}
        if message.get("role") == "assistant" and message.get("tool_calls") is not None:
            yield from _check_call_list(message["tool_calls"], listed, f"{here}.tool_calls")
            open_calls = {str(call.get("id")): here for call in calls_of(message)}
    ends_with_answers = messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "tool"
    if ends_with_answers:
        yield from _unanswered(open_calls)


def _unanswered(open_calls: Mapping[str, str]) -> Iterator[Problem]:
    for call_id, place in open_calls.items():
        yield Problem(
            "Tools", place, f"calls a tool ({quote(call_id, 40)}) that no tool message right after it answers"
        )


def _check_call_list(calls: object, listed: set[str], place: str) -> Iterator[Problem]:
    if not isinstance(calls, list) or not calls:
        yield Problem("Tools", place, "is not a list with at least one call")
        return
    for index, call in enumerate(calls):
        problem = _call_problem(call, listed)
        if problem:
            yield Problem("Tools", f"{place}[{index}]", problem)


def _call_problem(call: object, listed: set[str]) -> str | None:
    if not isinstance(call, dict) or call.get("type") != "function" or not isinstance(call.get("id"), str):
        return 'needs "type": "function" and an id'
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return "needs a function with a name"
    if function["name"] not in listed:
        return f"calls {quote(function['name'])}, which tools does not list"
    arguments = function.get("arguments")
    if not isinstance(arguments, str) or not _is_json_object(arguments):
        return "needs arguments as a text that holds a JSON object"
    return None


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
