"""The answers in what APIs respond: those of OpenAI, Anthropic, Google, Bedrock, Ollama and LangChain."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from .items import is_output, turns_of
from .langchain import as_turn
from .text import parsed
from .turns import ends_answered, names_speakers

RESPONSE_WRAPS = ("body", "outputBodyJson", "json", "output", "message", "result", "response")
TURN_KEYS = ("role", "content", "tool_calls", "reasoning_content")


class Answer(NamedTuple):
    """The answer that a response holds."""

    said: Any
    """A text, a turn or several turns."""

    rest: dict[str, Any]
    """What else the response says."""


def answer_in(value: Any, left_out: Counter[str]) -> Answer | None:
    """The answer in a response as an API gives it; None for anything else."""
    if is_output(value):
        return Answer(turns_of(value, left_out), {})
    if not isinstance(value, Mapping):
        return None
    for read in (_choice, _candidate, _generation):
        if (found := read(value, left_out)) is not None:
            return found
    if is_output(value.get("output")):
        return Answer(turns_of(value["output"], left_out), without(value, "output"))
    if (turn := as_turn(value)) is not None and turn["role"] == "assistant":
        return Answer([turn], {})
    if is_of_assistant(value) and "content" in value:
        return Answer([{key: value[key] for key in TURN_KEYS if key in value}], without(value, *TURN_KEYS, "type"))
    return _wrapped(value, left_out)


def _choice(value: Mapping[str, Any], left_out: Counter[str]) -> Answer | None:
    """OpenAI's chat completions, and the completions before them."""
    choice = _first(value, "choices")
    if choice is None or not ("message" in choice or {"text", "finish_reason"} <= choice.keys()):
        return None  # the options of a question are called choices too
    _count_others(value, "choices", left_out)
    rest = {**without(value, "choices"), **without(choice, "message", "text", "index")}
    if not isinstance(choice.get("message"), Mapping):
        return Answer(choice.get("text"), rest)
    message = {key: part for key, part in choice["message"].items() if part not in (None, [])}
    if "content" not in message and "refusal" in message:
        message["content"] = message.pop("refusal")
    return Answer([{"role": "assistant", "content": "", **message}], rest)


def _candidate(value: Mapping[str, Any], left_out: Counter[str]) -> Answer | None:
    """Google's."""
    candidate = _first(value, "candidates")
    if candidate is None or not isinstance(candidate.get("content"), Mapping):
        return None
    _count_others(value, "candidates", left_out)
    rest = {**without(value, "candidates"), **without(candidate, "content", "index")}
    return Answer([{"role": "model", "parts": candidate["content"].get("parts", [])}], rest)


def _generation(value: Mapping[str, Any], left_out: Counter[str]) -> Answer | None:
    """LangChain's: a list for each prompt of a list of answers."""
    several = value.get("generations")
    if isinstance(several, list) and several and isinstance(several[0], list):
        value = {**value, "generations": several[0]}
    one = _first(value, "generations")
    if one is None:
        return None
    message = one.get("message")
    said = as_turn(message) if isinstance(message, Mapping) else None
    if said is None and not isinstance(one.get("text"), str):
        return None
    _count_others(value, "generations", left_out)
    return Answer(one["text"] if said is None else [said], without(value, "generations"))


def _first(value: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The first of several answers."""
    several = opened(value.get(name))
    return several[0] if isinstance(several, list) and several and isinstance(several[0], Mapping) else None


def _count_others(value: Mapping[str, Any], name: str, left_out: Counter[str]) -> None:
    if (others := len(opened(value[name])) - 1) > 0:
        left_out[f"{name} after the first"] += others


def _wrapped(value: Mapping[str, Any], left_out: Counter[str]) -> Answer | None:
    """The answer of a response in something around it."""
    for wrap in RESPONSE_WRAPS:
        inner = opened(value.get(wrap))
        if isinstance(inner, Mapping) and (found := answer_in(inner, left_out)) is not None:
            return Answer(found.said, {**without(value, wrap), **found.rest})
    return None


def is_error(value: Any, *, of_request: bool) -> bool:
    """Whether a response says what went wrong; where it is of no known request, only in the shape that APIs give it."""
    if not isinstance(value, Mapping):
        return False
    inside = [inner for wrap in RESPONSE_WRAPS if isinstance(inner := opened(value.get(wrap)), Mapping)]
    if inside:
        return any(is_error(inner, of_request=of_request) for inner in inside)
    error = value.get("error")
    return bool(error) if of_request else isinstance(error, Mapping) and "message" in error


def is_of_assistant(value: Any) -> bool:
    """Whether it is a turn, or a list of turns, of which the last is the assistant's."""
    return names_speakers(value) and ends_answered(value)


def without(value: Mapping[str, Any], *taken: str) -> dict[str, Any]:
    """What a response says that is neither taken nor null."""
    return {key: part for key, part in value.items() if key not in taken and part is not None}


def opened(value: Any) -> Any:
    """A field's value, also where a table's cell holds it as text."""
    return (parsed(value) or value) if isinstance(value, str) else value
