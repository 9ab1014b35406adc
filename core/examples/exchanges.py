"""Logged exchanges with a model's API: a request and the response to it, as one conversation.

Known are the responses of OpenAI (chat completions, completions, Responses), Anthropic, Google, Bedrock, Ollama and
LangChain, and what logs wrap around them (`body`, `params`, `inputs` and `outputs`, ...).
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import DataError
from .field_names import ANSWER_PAIRS, QUESTION_FIELDS, TURN_FIELDS
from .field_names import plain as plain_name
from .items import is_items, is_output, turns_of
from .langchain import as_turn
from .recognise import recognise
from .text import parsed
from .turns import ends_answered, names_speakers

REQUESTS = ("request", "request_body", "body", "params", "inputs", "input")
RESPONSES = ("response", "response_body", "outputs", "output", "result")
OF_ANYTHING = ("params", "input")  # names that objects have which are no request, though a `prompt` is in them
API_PARTS = ("choices", "candidates", "generations")  # of a response that lies open in the record
FIELDS = frozenset({*REQUESTS, *RESPONSES, *API_PARTS})
ASKED = ("messages", "contents", "input", "prompt", "chat_history")
REQUEST_WRAPS = ("body", "inputBodyJson", "json", "params", "request")
RESPONSE_WRAPS = ("body", "outputBodyJson", "json", "output", "message", "result", "response")
ASKED_IN_A_TEXT = ("contents", "input", "prompt")
MARKS = frozenset({"object", "usage", "usageMetadata", "stop_reason", "created_at"})  # of a response, beside its answer
TEXTS = ("output_text", "answer", "text", "completion", "response", "content", "output", "generated_text")
ANSWER = "response"  # the field that the plain record keeps the answer in
QUESTIONS = frozenset({*ASKED, *TURN_FIELDS, *QUESTION_FIELDS})
JOIN = (
    "Put both into one row, the request in `request` and the answer in `response`; "
    "a batch has them in its input and its output, under the same `custom_id`."
)
METADATA = "response_metadata"  # and that for what else the response says
TURN_KEYS = ("role", "content", "tool_calls", "reasoning_content")
WORSE = frozenset(worse for _, worse in ANSWER_PAIRS)  # with one of these a record is a preference pair


class _Answer(NamedTuple):
    """The answer that a response holds."""

    said: Any
    """A text, a turn or several turns."""

    rest: dict[str, Any]
    """What else the response says."""


def read_exchange(record: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]] | None:
    """The plain record of an exchange, its answer in `response` and what else the API said beside it; None for others.

    Raises:
        DataError: There is no answer but an error, or an answer without its question.
    """
    if not WORSE.isdisjoint(record):
        return None
    left_out: Counter[str] = Counter()
    asked_in, asked = _request(record)
    answered_in, answer = _response(record, asked_in, left_out)
    # Turns are a request; a text under a request's name may be anything.
    if not (asked is not None and _asks_in_turns(asked)) and (answer is None or _is_said_in_texts(record, asked_in)):
        return None
    rest = {field: value for field, value in record.items() if field not in (asked_in, answered_in)}
    plain = _as_chat(rest if asked is None else asked, left_out)
    if asked is not None:
        _add(plain, rest)
    if answer is not None:
        if asked is None and not any(plain_name(field) in QUESTIONS for field in plain):
            raise DataError("An answer without its question", JOIN)
        own = {name: plain.pop(name) for name in (ANSWER, METADATA) if name in plain}
        plain |= {ANSWER: answer.said, **({METADATA: answer.rest} if answer.rest else {})}
        _add(plain, own)
    return plain, left_out


def _add(plain: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put what else a record says beside the conversation, under a name that is free and means nothing here."""
    for name, value in more.items():
        free = name
        while free in plain or free in FIELDS:
            free += "_original"
        plain[free] = value


def _is_said_in_texts(record: Mapping[str, Any], asked_in: str | None) -> bool:
    """Whether a record has a question and an answer in texts of other fields than its request."""
    dialect = None if asked_in in (None, "inputs") else recognise(record)
    return dialect is not None and all(
        field != asked_in and isinstance(record[field], str) and not is_logged(record[field]) for field in dialect.parts
    )


def is_logged(text: str) -> bool:
    """Whether a text is surely that of a request or a response, and no text to be learned that happens to be JSON."""
    value = parsed(text)
    if isinstance(value, Mapping):
        asked = _asking(value)
        return (asked is not None and _asks_in_turns(asked)) or (
            not MARKS.isdisjoint(value) and _answer(value, Counter()) is not None
        )
    return is_output(value)


def _request(record: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any] | None]:
    """The field with the request, and the part of it that asks."""
    for field in REQUESTS:
        value = _value(record.get(field))
        if isinstance(value, Mapping):
            asked = _asking(value) or (value if field == "inputs" and "outputs" in record else None)
            if asked is not None and (field not in OF_ANYTHING or _asks_in_turns(asked)):
                return field, asked
    return None, None


def _asking(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The request itself, without what is wrapped around it; None where nothing asks."""
    if _asks_in_turns(value) or any(value.get(field) and isinstance(value[field], str) for field in ASKED_IN_A_TEXT):
        return value
    for wrap in REQUEST_WRAPS:
        inner = _value(value.get(wrap))
        if isinstance(inner, Mapping) and (found := _asking(inner)) is not None:
            return {**{key: part for key, part in value.items() if key != wrap}, **found}
    return None


def _asks_in_turns(asked: Mapping[str, Any]) -> bool:
    """Whether what asks are turns, or items, with speakers: nothing but a request says so."""
    for field in ASKED:
        value = _value(asked.get(field))
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
            value = value[0]  # a batch of one, as LangChain logs it
        if isinstance(value, list) and (names_speakers(value) or is_items(value) or is_output(value)):
            return True
    return False


def _response(
    record: Mapping[str, Any], asked_in: str | None, left_out: Counter[str]
) -> tuple[str | None, _Answer | None]:
    """The field with the response, and the answer in it."""
    for field in API_PARTS:
        if record.get(field) and (answer := _answer({field: _value(record[field])}, left_out)) is not None:
            return field, answer
    for field in RESPONSES:
        value = _value(record.get(field))
        if field == asked_in or value is None:
            continue
        answer = _answer(value, left_out)
        if answer is None and _is_error(value, asked_in is not None or _asks_in_turns(record)):
            raise DataError("The response is an error and no answer.", "Drop the record.")
        if answer is None and asked_in is not None:
            answer = _plain_answer(value, any_text=asked_in == "inputs" and field == "outputs")
        if answer is not None:
            return field, answer
    return None, None


def _is_error(value: Any, of_request: bool) -> bool:
    """Whether a response says what went wrong; without a request beside it only one in the shape that APIs give it."""
    if not isinstance(value, Mapping):
        return False
    inside = [inner for wrap in RESPONSE_WRAPS if isinstance(inner := _value(value.get(wrap)), Mapping)]
    if inside:
        return any(_is_error(inner, of_request) for inner in inside)
    error = value.get("error")
    return bool(error) if of_request else isinstance(error, Mapping) and "message" in error


def _plain_answer(value: Any, *, any_text: bool) -> _Answer | None:
    """The answer to a known request in a log of its own making: a text, a turn, or an object that holds a text.

    Args:
        value: What the log calls the response.
        any_text: Whether a text under any name will do, where it is the only one.
    """
    if isinstance(value, str) or _is_of_assistant(value):
        return _Answer(value, {})
    if not isinstance(value, Mapping):
        return None
    texts = [name for name, part in value.items() if isinstance(part, str)]
    name = next((name for name in TEXTS if name in texts), texts[0] if any_text and len(texts) == 1 else None)
    return None if name is None else _Answer(value[name], _without(value, name))


def _answer(value: Any, left_out: Counter[str]) -> _Answer | None:
    """The answer in a response as an API gives it; None for anything else."""
    if is_output(value):
        return _Answer(turns_of(value, left_out), {})
    if not isinstance(value, Mapping):
        return None
    for read in (_choice, _candidate, _generation):
        if (found := read(value, left_out)) is not None:
            return found
    if is_output(value.get("output")):
        return _Answer(turns_of(value["output"], left_out), _without(value, "output"))
    if (turn := as_turn(value)) is not None and turn["role"] == "assistant":
        return _Answer([turn], {})
    if _is_of_assistant(value) and "content" in value:
        return _Answer([{key: value[key] for key in TURN_KEYS if key in value}], _without(value, *TURN_KEYS, "type"))
    return _wrapped(value, left_out)


def _wrapped(value: Mapping[str, Any], left_out: Counter[str]) -> _Answer | None:
    """The answer of a response in something around it."""
    for wrap in RESPONSE_WRAPS:
        inner = _value(value.get(wrap))
        if isinstance(inner, Mapping) and (found := _answer(inner, left_out)) is not None:
            return _Answer(found.said, {**_without(value, wrap), **found.rest})
    return None


def _is_of_assistant(value: Any) -> bool:
    """Whether it is a turn, or a list of turns, of which the last is the assistant's."""
    return names_speakers(value) and ends_answered(value)


def _without(value: Mapping[str, Any], *taken: str) -> dict[str, Any]:
    """What a response says that is neither taken nor null."""
    return {key: part for key, part in value.items() if key not in taken and part is not None}


def _first(value: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The first of several answers."""
    several = _value(value.get(name))
    return several[0] if isinstance(several, list) and several and isinstance(several[0], Mapping) else None


def _count_others(value: Mapping[str, Any], name: str, left_out: Counter[str]) -> None:
    if (others := len(_value(value[name])) - 1) > 0:
        left_out[f"{name} after the first"] += others


def _choice(value: Mapping[str, Any], left_out: Counter[str]) -> _Answer | None:
    """OpenAI's chat completions, and the completions before them."""
    choice = _first(value, "choices")
    if choice is None or not ("message" in choice or {"text", "finish_reason"} <= choice.keys()):
        return None  # the options of a question are called choices too
    _count_others(value, "choices", left_out)
    rest = {**_without(value, "choices"), **_without(choice, "message", "text", "index")}
    if not isinstance(choice.get("message"), Mapping):
        return _Answer(choice.get("text"), rest)
    message = {key: part for key, part in choice["message"].items() if part not in (None, [])}
    if "content" not in message and "refusal" in message:
        message["content"] = message.pop("refusal")
    return _Answer([{"role": "assistant", "content": "", **message}], rest)


def _candidate(value: Mapping[str, Any], left_out: Counter[str]) -> _Answer | None:
    """Google's."""
    candidate = _first(value, "candidates")
    if candidate is None or not isinstance(candidate.get("content"), Mapping):
        return None
    _count_others(value, "candidates", left_out)
    rest = {**_without(value, "candidates"), **_without(candidate, "content", "index")}
    return _Answer([{"role": "model", "parts": candidate["content"].get("parts", [])}], rest)


def _generation(value: Mapping[str, Any], left_out: Counter[str]) -> _Answer | None:
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
    return _Answer(one["text"] if said is None else [said], _without(value, "generations"))


def _as_chat(asked: Mapping[str, Any], left_out: Counter[str]) -> dict[str, Any]:
    """A request as one for chat completions: items are turns, instructions the system's text, tools in their shape."""
    plain = dict(asked)
    for field in ("input", "messages"):
        value = _value(plain.get(field))
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
            plain[field] = value = value[0]  # a batch of one, as LangChain logs it
        if is_items(value) or is_output(value):
            del plain[field]
            plain["messages"] = turns_of(value, left_out)
    if isinstance(plain.get("instructions"), str) and "input" in asked and "system" not in plain:
        plain["system"] = plain.pop("instructions")
    tools = plain.get("tools")
    if isinstance(tools, list):
        plain["tools"] = [_tool(tool) if isinstance(tool, Mapping) else tool for tool in tools]
    return plain


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool as chat completions define it; those of Responses and Anthropic are flat."""
    if not isinstance(tool.get("name"), str) or "function" in tool:
        return tool
    function = {key: value for key, value in tool.items() if key not in ("type", "input_schema")}
    if "input_schema" in tool:
        function["parameters"] = tool["input_schema"]
    return {"type": "function", "function": function}


def _value(value: Any) -> Any:
    """A field's value, also where a table's cell holds it as text."""
    return (parsed(value) or value) if isinstance(value, str) else value
