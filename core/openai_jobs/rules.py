"""The rules for one line of a training file, by method."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..models.hosted.providers import Method
from ..untrusted import quote
from .lines import Problem, kind
from .messages import check_messages
from .tool_calls import check_calls, check_tools

CONVERSATION_KEYS = frozenset(("messages", "tools", "parallel_tool_calls", "functions"))
PREFERENCE_KEYS = frozenset(("input", "preferred_output", "non_preferred_output"))

Record = Mapping[str, Any]


def check_supervised(record: Record) -> Iterator[Problem]:
    """The problems of a conversation whose assistant turns are learnt."""
    yield from _unknown_keys(record, CONVERSATION_KEYS, "")
    yield from _conversation(record, "")
    messages = _messages(record)
    if not messages:
        return
    if messages[-1].get("role") != "assistant":
        yield Problem("Last Message", "messages", f"ends with {_role(messages[-1])} instead of an assistant message")
    answers = [message for message in messages if message.get("role") == "assistant"]
    if answers and all(message.get("weight") == 0 for message in answers):
        yield Problem("Weights", "messages", "gives every assistant message the weight 0; there is nothing to learn")


def check_preference(record: Record) -> Iterator[Problem]:
    """The problems of a prompt with a better and a worse answer."""
    yield from _unknown_keys(record, PREFERENCE_KEYS, "")
    asked = record.get("input")
    if isinstance(asked, dict):
        yield from _unknown_keys(asked, CONVERSATION_KEYS, "input")
        yield from _conversation(asked, "input.")
        if (messages := _messages(asked)) and messages[-1].get("role") == "assistant":
            yield Problem(
                "Last Message", "input.messages", "ends with an assistant message; the outputs are the answers"
            )
    else:
        yield Problem("Preference Pairs", "input", f"is {kind(asked)} instead of an object with messages")
    for key in ("preferred_output", "non_preferred_output"):
        yield from _output(record.get(key), _tool_names(asked), key)
    better = record.get("preferred_output")
    if better is not None and better == record.get("non_preferred_output"):
        yield Problem("Preference Pairs", "", "prefers an answer to itself: both outputs are equal")


def check_reinforcement(record: Record) -> Iterator[Problem]:
    """The problems of a prompt whose answers a grader will judge; further keys are the grader's references."""
    yield from _conversation(record, "")
    if (messages := _messages(record)) and messages[-1].get("role") != "user":
        yield Problem("Last Message", "messages", f"ends with {_role(messages[-1])} instead of a user message")


CHECK_LINE: Mapping[Method, Callable[[Record], Iterator[Problem]]] = {
    "supervised": check_supervised,
    "dpo": check_preference,
    "reinforcement": check_reinforcement,
}


def _unknown_keys(record: Record, known: frozenset[str], place: str) -> Iterator[Problem]:
    unknown = sorted(record.keys() - known)
    if unknown:
        yield Problem("Line Keys", place, f"holds keys that the format does not know: {', '.join(map(quote, unknown))}")


def _conversation(owner: Record, place: str) -> Iterator[Problem]:
    if "messages" in owner:
        yield from check_messages(owner["messages"], f"{place}messages")
    else:
        yield Problem("Messages", f"{place}messages", "is missing")
    yield from check_tools(owner, place)


def _messages(owner: Record) -> list[dict[str, Any]]:
    """The messages when all of them are objects, else none: then the order says nothing."""
    messages = owner.get("messages")
    whole = isinstance(messages, list) and all(isinstance(message, dict) for message in messages)
    return messages if whole and messages else []


def _role(message: Record) -> str:
    return f"a message of role {quote(str(message.get('role')))}"


def _tool_names(asked: object) -> set[str]:
    tools = asked.get("tools") if isinstance(asked, dict) else None
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return {str(function.get("name")) for function in functions if isinstance(function, dict)}


def _output(output: object, tools: set[str], key: str) -> Iterator[Problem]:
    if not isinstance(output, list) or len(output) != 1 or not isinstance(output[0], dict):
        yield Problem("Preference Pairs", key, "is not a list of exactly one assistant message")
        return
    yield from check_messages(output, key)
    yield from check_calls(output, tools, key)
    if output[0].get("role") not in (None, "assistant"):
        yield Problem("Preference Pairs", key, f"holds {_role(output[0])} instead of an assistant message")
    if "weight" in output[0]:
        yield Problem("Weights", f"{key}[0].weight", "has no meaning in a preference pair")
