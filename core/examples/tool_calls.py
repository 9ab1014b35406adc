"""Tool calls, as OpenAI, ShareGPT, Anthropic and Google write them, in OpenAI's shape."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .. import lossless_json
from ..errors import DataError
from .text import json_text, parsed

FIX = "Correct the record, or say with `columns` which field holds what."
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    """One tool call in OpenAI's shape, whose arguments are JSON text."""
    text = arguments if isinstance(arguments, str) else json_text(arguments)
    return {**more, "type": "function", "function": {"name": name, "arguments": text}}


def call_text(tool_calls: Iterable[Mapping[str, Any]]) -> str:
    """Tool calls as the JSON text that ShareGPT writes: one object, or a list of them."""
    bare = []
    for function in map(function_of, tool_calls):
        arguments = function.get("arguments", {})
        value = parsed(arguments) if isinstance(arguments, str) else arguments
        bare.append({"name": function["name"], "arguments": arguments if value is None else value})
    return json_text(bare[0] if len(bare) == 1 else bare)


def arguments_of(function: Mapping[str, Any]) -> Any:
    """A call's arguments as a value: OpenAI writes them as JSON text, templates want the object."""
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            value = json.loads(arguments)
        except ValueError:
            return arguments
        return value if isinstance(value, (dict, list)) else arguments
    return arguments


def fault_of(function: Mapping[str, Any]) -> str | None:
    """Why a call's arguments are not the object that training needs; None when they are one."""
    arguments = function.get("arguments", {})
    if not isinstance(arguments, str):
        return None if isinstance(arguments, Mapping) else f"the arguments are {_kind(arguments)} in place of an object"
    if not arguments.strip():
        return "the arguments are an empty text; a call without any has {}"
    try:
        value = lossless_json.loads(arguments.encode())
    except ValueError as error:  # a lone surrogate too
        python = isinstance(parsed(arguments), Mapping)
        where = f" ({error.msg} at character {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else ""
        return "the arguments are written as Python writes an object" if python else f"the arguments are no JSON{where}"
    if isinstance(value, str) and isinstance(parsed(value), Mapping):
        return "the arguments are JSON in a JSON text, encoded twice"
    return None if isinstance(value, Mapping) else f"the arguments are {_kind(value)} in place of an object"


def _kind(value: Any) -> str:
    known = ((str, "a text"), (bool, "true or false"), ((list, tuple), "a list"), (type(None), "null"))
    return next((name for kinds, name in known if isinstance(value, kinds)), "a number")


def read_calls(value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """The calls of a message's `tool_calls` (a list, or the JSON text of one); None when there are none.

    Raises:
        DataError: It is not a list of calls, or a call has no name.
    """
    calls = parsed(value) if isinstance(value, str) else value
    if not calls and (calls is not None or value == ""):
        return None
    if not isinstance(calls, (list, tuple)) or not all(isinstance(one, Mapping) for one in calls):
        raise DataError("`tool_calls` is not a list of calls.", FIX)
    if not all("name" in function_of(one) for one in calls):
        raise DataError("A tool call has no name.", FIX)
    return tuple(map(_normal, calls))


def calls_in(text: str) -> tuple[Mapping[str, Any], ...] | None:
    """The calls that a text is the JSON of, one object or a list, as ShareGPT writes them; None for other text."""
    value = parsed(text)
    calls = value if isinstance(value, list) else [value]
    if not calls or not all(_is_call(one) for one in calls):
        return None
    return tuple(map(_normal, calls))


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(function_of(value).get("name"), str)


def function_of(tool_call: Mapping[str, Any]) -> Mapping[str, Any]:
    """What holds a call's name and arguments: its `function`, or the call itself where that is no object."""
    function = tool_call.get("function")
    return function if isinstance(function, Mapping) else tool_call


def _normal(tool_call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = function_of(tool_call)
    if function is not tool_call:
        arguments = function.get("arguments", {})
        if isinstance(arguments, str) and "type" in tool_call and "arguments" in function:
            return tool_call
        named = call(str(function["name"]), arguments)
        return {**tool_call, "type": tool_call.get("type", "function"), "function": {**function, **named["function"]}}
    key = next((key for key in ARGUMENT_KEYS if key in tool_call), None)
    rest = {name: part for name, part in tool_call.items() if name not in ("name", "type", key) and part is not None}
    return call(str(tool_call["name"]), {} if key is None else tool_call[key], **rest)
