"""Logged exchanges with a model's API: a request and the response to it, as one conversation.

Known are the requests and responses of the common APIs, and what logs wrap around them (`body`, `params`, `inputs` and
`outputs`, ...).
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..errors import DataError
from .field_names import QUESTION_FIELDS, TURN_FIELDS
from .field_names import plain as plain_name
from .items import is_items, is_output, turns_of
from .recognise import recognise
from .responses import Answer, answer_in, is_error, is_of_assistant, opened, without
from .text import parsed
from .turns import names_speakers

REQUESTS = ("request", "request_body", "body", "params", "inputs", "input")
OF_ANYTHING = ("params", "input")  # names that objects have which are no request, though a `prompt` is in them
REQUEST_WRAPS = ("body", "inputBodyJson", "json", "params", "request")
ASKED = ("messages", "contents", "input", "prompt", "chat_history")
ASKED_IN_A_TEXT = ("contents", "input", "prompt")
QUESTIONS = frozenset({*ASKED, *TURN_FIELDS, *QUESTION_FIELDS})

RESPONSES = ("response", "response_body", "outputs", "output", "result")
API_PARTS = ("choices", "candidates", "generations")  # of a response that lies open in the record
TEXTS = ("output_text", "answer", "text", "completion", "response", "content", "output", "generated_text")
MARKS = frozenset({"object", "usage", "usageMetadata", "stop_reason", "created_at"})  # of a response, beside its answer

FIELDS = frozenset({*REQUESTS, *RESPONSES, *API_PARTS})
ANSWER = "response"  # the field that the plain record keeps the answer in
METADATA = "response_metadata"  # and that for what else the response says
JOIN = (
    "Put both into one row, the request in `request` and the answer in `response`; "
    "a batch has them in its input and its output, under the same `custom_id`."
)


def read_exchange(record: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]] | None:
    """The plain record of an exchange, its answer in `response` and what else the API said beside it; None for others.

    Raises:
        DataError: There is no answer but an error, or an answer without its question.
    """
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
            not MARKS.isdisjoint(value) and answer_in(value, Counter()) is not None
        )
    return is_output(value)


def _request(record: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any] | None]:
    """The field with the request, and the part of it that asks."""
    for field in REQUESTS:
        value = opened(record.get(field))
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
        inner = opened(value.get(wrap))
        if isinstance(inner, Mapping) and (found := _asking(inner)) is not None:
            return {**{key: part for key, part in value.items() if key != wrap}, **found}
    return None


def _asks_in_turns(asked: Mapping[str, Any]) -> bool:
    """Whether what asks are turns, or items, with speakers: nothing but a request says so."""
    for field in ASKED:
        value = opened(asked.get(field))
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
            value = value[0]  # a batch of one, as LangChain logs it
        if isinstance(value, list) and (names_speakers(value) or is_items(value) or is_output(value)):
            return True
    return False


def _response(
    record: Mapping[str, Any], asked_in: str | None, left_out: Counter[str]
) -> tuple[str | None, Answer | None]:
    """The field with the response, and the answer in it."""
    for field in API_PARTS:
        if record.get(field) and (answer := answer_in({field: opened(record[field])}, left_out)) is not None:
            return field, answer
    for field in RESPONSES:
        value = opened(record.get(field))
        if field == asked_in or value is None:
            continue
        answer = answer_in(value, left_out)
        if answer is None and is_error(value, of_request=asked_in is not None or _asks_in_turns(record)):
            raise DataError("The response is an error and no answer.", "Drop the record.")
        if answer is None and asked_in is not None:
            answer = _plain_answer(value, any_text=asked_in == "inputs" and field == "outputs")
        if answer is not None:
            return field, answer
    return None, None


def _plain_answer(value: Any, *, any_text: bool) -> Answer | None:
    """The answer to a known request in a log of its own making: a text, a turn, or an object that holds a text.

    Args:
        value: What the log calls the response.
        any_text: Whether a text under any name will do, where it is the only one.
    """
    if isinstance(value, str) or is_of_assistant(value):
        return Answer(value, {})
    if not isinstance(value, Mapping):
        return None
    texts = [name for name, part in value.items() if isinstance(part, str)]
    name = next((name for name in TEXTS if name in texts), texts[0] if any_text and len(texts) == 1 else None)
    return None if name is None else Answer(value[name], without(value, name))


def _as_chat(asked: Mapping[str, Any], left_out: Counter[str]) -> dict[str, Any]:
    """A request as one for chat completions: items are turns, instructions the system's text, tools in their shape."""
    plain = dict(asked)
    for field in ("input", "messages"):
        value = opened(plain.get(field))
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
