"""Lists of turns, as ShareGPT, OpenAI and their many relatives write them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import DataError
from ..lossless_json import is_zero
from ..untrusted import quote
from .content import is_content, read_content
from .langchain import as_turn
from .text import json_text, parsed
from .tool_calls import FIX, call, calls_in, read_calls
from .tool_calls import arguments_of as arguments_of
from .tool_calls import call_text as call_text
from .transcripts import transcript
from .types import Message, Role

ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter", "customer", "client"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatgpt", "ai", "model", "chatbot", "agent", "llm"), "assistant"),
    **dict.fromkeys(("claude", "bard", "bing", "function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "observation", "function", "function_response", "tool_response"), "tool"),
    **dict.fromkeys(("tool_result", "tool_output", "function_result", "ipython"), "tool"),
}
# A turn that is a question and its answer in one: {"human": ..., "assistant": ...}, {"instruction": ..., "output": ...}
PAIR_ROLES: dict[str, Role] = {
    **ROLES,
    **dict.fromkeys(("question", "instruction", "prompt", "input", "query", "q"), "user"),
    **dict.fromkeys(("answer", "response", "output", "reply", "completion", "a"), "assistant"),
}
PAIR_ORDER = {"system": 0, "user": 1, "tool": 2, "assistant": 3}
SPEAKER_KEYS = ("role", "from", "speaker", "author", "sender")
CONTENT_KEYS = ("content", "value", "text", "message", "parts", "utterance")
CALL_WORDS = ("function_call", "tool_call")
UNTRAINED = ("train", "loss", "loss_weight")  # Axolotl's, ms-swift's and LLaMA-Factory's names for what `weight` says
SPOKEN = re.compile(r"(\w+):\s*", re.ASCII)


def looks_like_turns(value: Any) -> bool:
    """Whether a field holds turns: objects that name a speaker or are a pair, texts, pairs of texts, a text of these.

    A text counts only when it is the JSON or Python list of objects that name their speakers, or of pairs.
    """
    if isinstance(value, str):
        turns = parsed(value)
        return turns is not None and not _all_texts(turns) and looks_like_turns(turns)
    if isinstance(value, Mapping):
        return _key(value, SPEAKER_KEYS) is not None and _key(value, CONTENT_KEYS) is not None
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if isinstance(value[0], Mapping):
        return all(isinstance(turn, Mapping) and _is_turn(turn) for turn in value)
    return _all_texts(value) or _all_pairs(value)


def names_speakers(value: Any) -> bool:
    """Whether a turn or a list of turns (or the text of one) names each speaker by a known word."""
    turns: Any = parsed(value) if isinstance(value, str) else value
    if isinstance(turns, Mapping):
        return _role(turns) is not None
    if not isinstance(turns, (list, tuple)) or not turns:
        return False
    return all(isinstance(turn, Mapping) and _role(turn) is not None for turn in turns)


def begins_asked(value: Any) -> bool:
    """Whether an answer repeats the conversation before it: its first turn is not the assistant's."""
    if isinstance(value, str):
        value = parsed(value) or transcript(value)
    first = value[0] if isinstance(value, (list, tuple)) and value else None
    return isinstance(first, Mapping) and _role(first) in ("system", "user")


def ends_asking(value: Any) -> bool:
    """Whether the last turn of a list (or of the text of one) is the user's, or a tool's reply: an answer is due."""
    turns = parsed(value) if isinstance(value, str) else value
    last = turns[-1] if isinstance(turns, (list, tuple)) and turns else None
    return isinstance(last, Mapping) and _role(last) in ("user", "tool")


def ends_answered(value: Any) -> bool:
    """Whether a turn, or the last one of a list (or the text of one), is the assistant's."""
    turns = parsed(value) if isinstance(value, str) else value
    last = turns[-1] if isinstance(turns, (list, tuple)) and turns else turns
    return isinstance(last, Mapping) and _role(last) == "assistant"


def has_roles(value: Any) -> bool:
    """Whether a list of turns (or the JSON text of one) names its speakers in `role`, as OpenAI does."""
    turns = parsed(value) if isinstance(value, str) else value
    first = turns[0] if isinstance(turns, (list, tuple)) and turns else turns
    return isinstance(first, Mapping) and "role" in first


def read_turns(value: Any) -> tuple[Message, ...]:
    """The messages of a list of turns, of one turn, or of the text of either (JSON, Python, transcript).

    A turn is {role|from|speaker, content|value|text|message}, a {user, assistant} pair, a [question, answer] pair, a
    [role, text] pair, or a bare text (user first). One object of equal lists, {role: [...], content: [...]}, is a
    list of turns too.

    Raises:
        DataError: A turn has no known role, or content that is not text.
    """
    if isinstance(value, str):
        value = parsed(value) or transcript(value)
    if isinstance(value, Mapping):
        value = _rows(value)
    if not isinstance(value, (list, tuple)):
        raise DataError("The conversation is not a list of turns.", FIX)
    if value and not isinstance(value[0], Mapping):
        value = _spelled_out(value)
    messages: list[Message] = []
    for index, turn in enumerate(value):
        messages += _read_turn(turn, index)
    return tuple(messages)


def unread_calls(value: Any) -> list[int]:
    """Numbers, from 1, of the turns that say that they are a call while their text is none; reading keeps the text."""
    if isinstance(value, str):
        if "_call" not in value:
            return []
        value = parsed(value)
    if isinstance(value, Mapping):
        try:
            value = _rows(value)
        except DataError:
            return []
    if not isinstance(value, (list, tuple)):
        return []
    return [number for number, turn in enumerate(value, start=1) if isinstance(turn, Mapping) and _is_unread(turn)]


def _is_unread(turn: Mapping[str, Any]) -> bool:
    speaker = _key(turn, SPEAKER_KEYS)
    if speaker is None or _word(turn[speaker]) not in CALL_WORDS or turn.get("tool_calls"):
        return False
    content = _key(turn, CONTENT_KEYS)
    return content is not None and isinstance(turn[content], str) and calls_in(turn[content]) is None


def text_of(value: Any) -> str:
    """A field's value as text: None is empty, a list of text parts is joined, anything else is its JSON.

    A number is written as its record writes it.

    Raises:
        DataError: A content part is not text (an image, audio, a file).
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) and value and all(map(is_content, value)):
        messages = read_content(value, "user", {})
        if messages is not None:
            return "".join(message.content for message in messages)
    return json_text(value) if isinstance(value, (Mapping, list, tuple, bool)) else str(value)


def content_text(value: Any) -> str:
    """The text of a turn's content: `text_of`, and the parts of a turn as the APIs write them."""
    messages = read_content(value, "user", {}) if isinstance(value, (Mapping, list, tuple)) else None
    return text_of(value) if messages is None else "".join(message.content for message in messages)


def join(values: Iterable[Any]) -> str:
    """The texts of several fields with a blank line between; empty ones are left out."""
    return "\n\n".join(text for text in map(text_of, values) if text)


def _key(turn: Mapping[str, Any], wanted: tuple[str, ...]) -> str | None:
    """The first wanted key that has a value, else the first that is there."""
    there = None
    for key in wanted:
        if key in turn:
            if turn[key] is not None:
                return key
            there = there or key
    return there


def _role(turn: Mapping[str, Any]) -> Role | None:
    speaker = _key(turn, SPEAKER_KEYS)
    if speaker is not None:
        return ROLES.get(_word(turn[speaker]))
    message = as_turn(turn)
    return None if message is None else ROLES.get(_word(message["role"]))


def _word(value: Any) -> str:
    return str(value).strip().lower().replace("-", "_").replace(" ", "_")


def is_langchain(turn: Any) -> bool:
    """Whether it is a message as LangChain writes it."""
    return isinstance(turn, Mapping) and as_turn(turn) is not None


def _is_turn(turn: Mapping[str, Any]) -> bool:
    return (
        "role" in turn or "from" in turn or _key(turn, SPEAKER_KEYS) is not None or _is_pair(turn) or is_langchain(turn)
    )


def _is_pair(turn: Mapping[str, Any]) -> bool:
    return any(_word(key) in PAIR_ROLES for key in turn)


def _all_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(turn, str) for turn in value)


def _all_pairs(value: Sequence[Any]) -> bool:
    return all(
        isinstance(turn, (list, tuple))
        and len(turn) == 2
        and all(text is None or isinstance(text, str) for text in turn)
        for turn in value
    )


def _rows(turns: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """{role: [...], content: [...]} as a list of turns; any other object as a list of that one."""
    speaker = _key(turns, SPEAKER_KEYS)
    if speaker is None or not isinstance(turns[speaker], (list, tuple)):
        return [turns]
    columns = {key: cells for key, cells in turns.items() if isinstance(cells, (list, tuple))}
    if len(columns) != len(turns) or len({len(cells) for cells in columns.values()}) != 1:
        raise DataError("The columns of the conversation are not of one length.", FIX)
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _spelled_out(turns: Sequence[Any]) -> Sequence[Any]:
    """Turns that are no objects as objects, where each says who speaks; else as they are."""
    if _all_pairs(turns):
        if all(turn[0] is not None and _word(turn[0]) in ROLES for turn in turns):
            return [{"role": role, "content": text} for role, text in turns]
        return [{"user": question, "assistant": answer} for question, answer in turns]
    if _all_texts(turns):
        spoken = [SPOKEN.match(turn) for turn in turns]
        if all(match is not None and match[1].lower() in ROLES for match in spoken):
            return [
                {"role": match[1], "content": turn[match.end() :]}
                for match, turn in zip(spoken, turns, strict=True)
                if match
            ]
    return turns


def _read_turn(turn: Any, index: int) -> list[Message]:
    if isinstance(turn, str):
        return [Message("user" if index % 2 == 0 else "assistant", turn)]
    if not isinstance(turn, Mapping):
        raise DataError(f"Turn {index + 1} is neither an object nor a text.", FIX)
    if len(turn) == 2:  # the usual turn, read without a detour
        role, content = turn.get("role"), turn.get("content")
        if isinstance(content, str) and isinstance(role, str) and role in ROLES and role not in CALL_WORDS:
            return [Message(ROLES[role], content)]
    speaker = _key(turn, SPEAKER_KEYS)
    if speaker is None and (message := as_turn(turn)) is not None:
        turn, speaker = message, "role"
    return _read_pair(turn, index) if speaker is None else _read_message(turn, speaker, index)


def _read_message(turn: Mapping[str, Any], speaker: str, index: int) -> list[Message]:
    word = _word(turn[speaker])
    if word not in ROLES:
        raise DataError(f"Turn {index + 1} has the unknown role {quote(word)}.", f"Known roles: {', '.join(ROLES)}.")
    content = _key(turn, CONTENT_KEYS)
    more = {key: value for key, value in turn.items() if value is not None and key != speaker and key != content}
    if ROLES[word] == "assistant" and "weight" not in more and any(is_zero(more.get(key)) for key in UNTRAINED):
        more["weight"] = 0
    calls = _calls(more)
    if content is None and calls is None:
        raise DataError(f"Turn {index + 1} has no content.", FIX)
    name = more.pop("name", None)
    said = None if content is None else turn[content]
    if isinstance(said, (list, tuple, Mapping)):
        messages = read_content(said, ROLES[word], more)
        if messages is not None:
            last = messages[-1]
            own = (*(last.tool_calls or ()), *(calls or ())) or None
            messages[-1] = Message(last.role, last.content, _name(name) or last.name, own, {**last.fields, **more})
            return messages
    text = text_of(said)
    if word in CALL_WORDS and calls is None:
        calls = _with_ids(calls_in(text), more)
        text = "" if calls else text
    return [Message(ROLES[word], text, _name(name), calls, more)]


def _name(value: Any) -> str | None:
    return None if value is None else str(value)


def _calls(more: dict[str, Any]) -> tuple[Mapping[str, Any], ...] | None:
    """The tool calls of a turn in OpenAI's shape, also those of its older `function_call`; taken out of `more`."""
    if more.get("tool_calls"):
        return read_calls(more.pop("tool_calls"))
    more.pop("tool_calls", None)
    older = more.get("function_call")
    if isinstance(older, Mapping) and older.get("name") is not None:
        del more["function_call"]
        return (call(str(older["name"]), older.get("arguments", {})),)
    return None


def _with_ids(
    calls: tuple[Mapping[str, Any], ...] | None, more: dict[str, Any]
) -> tuple[Mapping[str, Any], ...] | None:
    """The calls with the ids that a ShareGPT turn keeps beside their text."""
    ids = more.get("tool_call_ids")
    if calls is None or not isinstance(ids, (list, tuple)) or len(ids) != len(calls):
        return calls
    del more["tool_call_ids"]
    return tuple({"id": id, **one} for id, one in zip(ids, calls, strict=True))


def _read_pair(turn: Mapping[str, Any], index: int) -> list[Message]:
    said: list[tuple[Role, Any]] = [
        (PAIR_ROLES[word], value) for key, value in turn.items() if (word := _word(key)) in PAIR_ROLES
    ]
    if not said:
        keys = ", ".join(quote(str(key), 40) for key in list(turn)[:6])
        raise DataError(f"Turn {index + 1} has no role; its fields are {keys}.", FIX)
    said.sort(key=lambda one: PAIR_ORDER[one[0]])
    messages = [Message(role, text_of(value)) for role, value in said if value is not None]
    more = {key: value for key, value in turn.items() if value is not None and _word(key) not in PAIR_ROLES}
    if more and messages:
        last = messages[-1]
        messages[-1] = Message(last.role, last.content, None, None, more)
    return messages
