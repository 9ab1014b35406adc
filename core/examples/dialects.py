"""How records spell an example: which dialect one is in, and how to read it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import DataError
from ..untrusted import quote
from .convert import losses as losses
from .convert import to_record as to_record
from .turns import has_roles, join, looks_like_turns, read_turns, text_of
from .types import ChatExample, CompletionExample, Example, Message, Rejected
from .types import Format as Format

DialectName = Literal["alpaca", "sharegpt", "openai", "completion", "preference", "pair", "text", "columns"]
Part = Literal["system", "user", "context", "assistant", "prompt", "completion", "messages", "history", "rejected"]

TURN_FIELDS = ("messages", "conversations", "conversation", "turns", "dialog", "dialogue", "chat")
SYSTEM_FIELDS = ("system", "system_prompt", "system_message")
CONTEXT_FIELDS = ("input", "context", "passage", "background")
# First one found wins; both lists go from the clearest name to the vaguest.
QUESTION_FIELDS = (
    *("question", "instruction", "query", "prompt", "user", "human", "problem", "input"),
    *("text", "sentence", "source", "document", "article", "review", "message"),
)
ANSWER_FIELDS = (
    *("answer", "response", "output", "completion", "assistant", "reply", "solution", "best_answer"),
    *("label", "target", "labels", "summary", "class", "sentiment", "intent"),
)

# What a person may write as the role of a column, beside the parts' own names.
PART_WORDS: dict[str, Part] = {
    **dict.fromkeys(("system", *SYSTEM_FIELDS), "system"),
    **dict.fromkeys(("user", "human", "question", "instruction", "query"), "user"),
    **dict.fromkeys(("context", "input", "passage"), "context"),
    **dict.fromkeys(
        ("assistant", "gpt", "bot", "answer", "response", "output", "label", "target", "chosen"), "assistant"
    ),
    "prompt": "prompt",
    **dict.fromkeys(("completion", "text"), "completion"),
    **dict.fromkeys(TURN_FIELDS, "messages"),
    "history": "history",
    "rejected": "rejected",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one record spells its example."""

    name: DialectName
    """alpaca, sharegpt, openai, completion: the format it is in. pair: a question and an answer field. preference:
    a chosen and a rejected answer. text: one text without a prompt. columns: as the caller said."""

    parts: Mapping[str, Part]
    """Field of the record -> the part of the example it holds."""

    @property
    def label(self) -> str:
        """The dialect for a person, such as `pair (question, answer)`."""
        return f"{self.name} ({', '.join(self.parts)})"


def recognise(record: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> Dialect | None:
    """The dialect of a record, or None when its fields say nothing known.

    `columns` maps fields to roles (system, user, context, assistant, prompt, completion, messages, history, or a
    common word for one) and then decides alone; role -> field is understood too.

    Raises:
        DataError: `columns` names a role that is not known, or none of its fields is in the record.
    """
    if columns:
        return _mapped(record, columns)
    names = {_plain(field): field for field in reversed(list(record)) if record[field] is not None}
    for attempt in (_preference, _turns, _alpaca, _completion, _pair, _text):
        dialect = attempt(record, names)
        if dialect is not None:
            return dialect
    return None


def read_record(record: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> Example:
    """The example that a record of any known dialect spells; what it does not use stays in `fields`.

    Raises:
        DataError: The record is in no known dialect, or a part of it is not what the dialect needs.
    """
    dialect = recognise(record, columns)
    if dialect is None:
        fields = ", ".join(quote(str(field), 40) for field in list(record)[:8]) or "none"
        raise DataError(f"No known record format: the fields are {fields}.", "Say what they are with `columns`.")
    return read_dialect(record, dialect)


def read_dialect(record: Mapping[str, Any], dialect: Dialect) -> Example:
    """The example of a record whose dialect is known already.

    Raises:
        DataError: A part of the record is not what the dialect needs.
    """
    parts: dict[Part, list[Any]] = {}
    for field, part in dialect.parts.items():
        if record.get(field) is not None:
            parts.setdefault(part, []).append(record[field])
    left = {field: value for field, value in record.items() if field not in dialect.parts}
    if "rejected" in parts:
        return _pair_of_answers(parts, left)
    if "messages" in parts:
        return ChatExample(_conversation(parts), left)
    if looks_like_turns(parts.get("prompt", [None])[0]):
        turns = parts.pop("prompt")
        return ChatExample(_conversation({**parts, "messages": turns}), left)
    if "completion" in parts:
        prompt, completion = join(parts.get("prompt", [])), join(parts["completion"])
        return CompletionExample(prompt, completion, left)
    return ChatExample(_question_and_answer(parts), left)


def _pair_of_answers(parts: Mapping[Part, list[Any]], left: Mapping[str, Any]) -> Example:
    """A preference pair; a prompt that is not given is what both answers begin with."""
    answers = [
        (parts.get(part) or [""])[0] for part in ("completion" if "completion" in parts else "assistant", "rejected")
    ]
    prompt = parts.get("prompt", [""])[0]
    if "completion" in parts and not looks_like_turns(prompt) and all(isinstance(answer, str) for answer in answers):
        return CompletionExample(text_of(prompt), answers[0], left, answers[1])
    chosen, rejected = (
        read_turns(answer) if looks_like_turns(answer) else (Message("assistant", text_of(answer)),)
        for answer in answers
    )
    shared = _shared(chosen, rejected)
    before = {part: values for part, values in parts.items() if part not in ("assistant", "completion", "rejected")}
    if shared:
        return ChatExample(chosen, left, Rejected(shared, rejected[shared:]))
    if "messages" in before or looks_like_turns(prompt):
        asked = _conversation({"messages": [prompt], **before})
    else:
        asked = _question_and_answer(before)
    return ChatExample((*asked, *chosen), left, Rejected(len(asked), rejected))


def _shared(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> int:
    """How many messages both answers begin with; each keeps at least its last one."""
    longest = min(len(chosen), len(rejected)) - 1
    return next((i for i in range(longest) if chosen[i] != rejected[i]), max(longest, 0))


def _conversation(parts: Mapping[Part, list[Any]]) -> tuple[Message, ...]:
    messages = read_turns(parts["messages"][0])
    if "system" in parts and not any(message.role == "system" for message in messages):
        system = join(parts["system"])
        messages = (Message("system", system), *messages) if system else messages
    for answer in (*parts.get("assistant", ()), *parts.get("completion", ())):
        messages += read_turns(answer) if looks_like_turns(answer) else (Message("assistant", text_of(answer)),)
    if not messages:
        raise DataError("The conversation has no turns.", "Drop the record or fill it.")
    return messages


def _question_and_answer(parts: Mapping[Part, list[Any]]) -> tuple[Message, ...]:
    messages: list[Message] = []
    if system := join(parts.get("system", [])):
        messages.append(Message("system", system))
    for pair in parts.get("history", [[]])[0]:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise DataError("`history` is not a list of [question, answer] pairs.", "Correct the record.")
        messages += [Message("user", text_of(pair[0])), Message("assistant", text_of(pair[1]))]
    context = join(parts.get("context", []))
    question = join([*parts.get("user", []), *parts.get("prompt", [])])
    if question and context:
        messages.append(Message("user", f"{question}\n\n{context}", alpaca_input=context))
    else:
        messages.append(Message("user", question or context))
    if "assistant" in parts:
        messages += _answers(parts["assistant"])
    return tuple(messages)


def _answers(values: list[Any]) -> tuple[Message, ...]:
    if looks_like_turns(values[0]):
        return tuple(turn for turn in read_turns(values[0]) if turn.role == "assistant")
    return (Message("assistant", join(values)),)


def _plain(field: str) -> str:
    return re.sub(r"[\s\-]+", "_", str(field).strip().lower())


def _first(names: Mapping[str, str], wanted: tuple[str, ...]) -> str | None:
    return next((names[name] for name in wanted if name in names), None)


def _optional(names: Mapping[str, str], wanted: tuple[str, ...], part: Part) -> dict[str, Part]:
    field = _first(names, wanted)
    return {} if field is None else {field: part}


def _turn_field(record: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    fields = (names[name] for name in TURN_FIELDS if name in names)
    return next((field for field in fields if looks_like_turns(record[field])), None)


def _turns(record: Mapping[str, Any], names: Mapping[str, str]) -> Dialect | None:
    field = _turn_field(record, names)
    if field is None:
        return None
    name: DialectName = "openai" if has_roles(record[field]) else "sharegpt"
    return Dialect(name, {field: "messages", **_optional(names, SYSTEM_FIELDS, "system")})


def _preference(record: Mapping[str, Any], names: Mapping[str, str]) -> Dialect | None:
    if "chosen" not in names or "rejected" not in names:
        return None
    answers: dict[str, Part] = {names["chosen"]: "assistant", names["rejected"]: "rejected"}
    system = _optional(names, SYSTEM_FIELDS, "system")
    if field := _turn_field(record, names):
        return Dialect("preference", {**system, field: "messages", **answers})
    question = _first(names, QUESTION_FIELDS)
    if question is None:
        turns = looks_like_turns(record[names["chosen"]]) and looks_like_turns(record[names["rejected"]])
        return Dialect("preference", answers) if turns else None
    if names.get("prompt") == question and not system:
        return Dialect("preference", {question: "prompt", names["chosen"]: "completion", names["rejected"]: "rejected"})
    context: dict[str, Part] = {names["input"]: "context"} if "input" in names and names["input"] != question else {}
    history = _optional(names, ("history",), "history")
    return Dialect("preference", {**system, **history, question: "user", **context, **answers})


def _alpaca(record: Mapping[str, Any], names: Mapping[str, str]) -> Dialect | None:
    if "instruction" not in names or "output" not in names:
        return None
    parts: dict[str, Part] = {**_optional(names, SYSTEM_FIELDS, "system"), **_optional(names, ("history",), "history")}
    # A null `input` belongs to the dialect as much as an empty one.
    context: dict[str, Part] = {field: "context" for field in record if _plain(field) == "input"}
    return Dialect("alpaca", {**parts, names["instruction"]: "user", **context, names["output"]: "assistant"})


def _completion(record: Mapping[str, Any], names: Mapping[str, str]) -> Dialect | None:
    if "prompt" not in names or "completion" not in names:
        return None
    return Dialect("completion", {names["prompt"]: "prompt", names["completion"]: "completion"})


def _pair(record: Mapping[str, Any], names: Mapping[str, str]) -> Dialect | None:
    answer = _first(names, ANSWER_FIELDS)
    question = _first(names, QUESTION_FIELDS)
    if answer is None or question is None:
        return None
    rest = {name: field for name, field in names.items() if field != question}
    context = _optional(rest, CONTEXT_FIELDS, "context")
    return Dialect(
        "pair", {**_optional(names, SYSTEM_FIELDS, "system"), question: "user", **context, answer: "assistant"}
    )


def _text(record: Mapping[str, Any], names: Mapping[str, str]) -> Dialect | None:
    field = _first(names, ("text", "content", "completion"))
    return None if field is None else Dialect("text", {field: "completion"})


def _mapped(record: Mapping[str, Any], columns: Mapping[str, str]) -> Dialect:
    parts: dict[str, Part] = {}
    for key, value in columns.items():
        turned_round = key not in record and value in record and _plain(key) in PART_WORDS
        field, word = (value, key) if turned_round else (key, value)
        part = PART_WORDS.get(_plain(word))
        if part is None:
            known = ", ".join(dict.fromkeys(PART_WORDS.values()))
            raise DataError(f"`columns` gives {quote(field)} the unknown role {quote(word)}.", f"Use one of: {known}.")
        if field in record:
            parts[field] = part
    if not parts:
        raise DataError("None of the fields in `columns` is in the record.", "Name fields that the records have.")
    return Dialect("columns", parts)
