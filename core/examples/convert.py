"""Examples written as records of the four formats, and what each format cannot hold."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

from .comparisons import STARTS
from .exports import consumed, may_be_export
from .field_names import ANSWER_PAIRS, LAST_ANSWERS, REASONING_FIELDS, SYSTEM_FIELDS, TURN_FIELDS, plain
from .recognise import is_reasoning, recognise
from .text import json_text
from .tool_calls import call_text, calls_in
from .turns import CONTENT_KEYS, SPEAKER_KEYS, names_speakers, read_turns
from .types import ChatExample, CompletionExample, Example, Format, Message

SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
TRANSCRIPT_ROLES = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}
# Fields of a turn that would be read as another part of it.
OPENAI_KEYS = frozenset({"role", "content", "name", "tool_calls"})
SHAREGPT_KEYS = frozenset({*SPEAKER_KEYS, *CONTENT_KEYS, "name", "tool_calls", "function_call", "tool_call_ids"})
# Names beside a record that may change how it is read; those of a preference pair are looked for in more places.
NAMES = frozenset(
    {
        *(*TURN_FIELDS, *SYSTEM_FIELDS, *chain(*ANSWER_PAIRS), *LAST_ANSWERS, *REASONING_FIELDS, *STARTS),
        *("history", "instruction"),
    }
)
PAIR_NAMES = NAMES | {"prompt", "input"}
AFTER_ANSWER = "Turns after the last answer are dropped."
READ_OTHERWISE = "A text that is the JSON of turns or tool calls is read as these."
RENAMED_TURN_FIELD = "A field of a turn that the format itself has is kept as `<name>_original`."


def to_record(example: Example, format: Format) -> dict[str, Any]:
    """The example as a JSON record of a format; leftover fields are kept beside it, and `losses` says what is not.

    openai: `messages`. sharegpt: `conversations`. alpaca: `instruction`, `input`, `output`, with `system` and
    `history` (pairs of earlier turns) where there are any. completion: `prompt`, `completion`; a conversation's prompt
    ends in a blank line, and is a transcript when it has several turns.

    A preference pair has `chosen` and `rejected` in place of the answer. openai: `prompt`, `chosen` and `rejected` are
    lists of messages, as TRL reads them. sharegpt: a turn each beside `conversations`, as LLaMA-Factory reads them.
    alpaca and completion: texts.

    Where the format has no turns, the reasoning of the only answer stands beside it as `reasoning_content`.

    A leftover field that a reader would take for a part of the example is kept as `<name>_original`.
    """
    record = _WRITERS[format](example)
    if example.fields:
        names = _names(example, record)
        record |= example.fields if names is None else {names[field]: part for field, part in example.fields.items()}
    return record


def losses(example: Example, format: Format) -> tuple[str, ...]:
    """What `to_record` does not carry over into a format, one short sentence each; empty when nothing is lost."""
    lost = list(
        _completion_losses(example, format) if isinstance(example, CompletionExample) else _chat_losses(example, format)
    )
    if example.fields and _names(example, _WRITERS[format](example)) is not None:
        lost.append("A field that the format itself has is kept as `<name>_original`.")
    return tuple(lost)


def as_chat(example: Example) -> tuple[Message, ...]:
    """The example as a conversation: a completion becomes a question and its answer."""
    if isinstance(example, ChatExample):
        return example.messages
    question = (Message("user", example.prompt),) if example.prompt else ()
    return (*question, Message("assistant", example.completion))


def _names(example: Example, record: Mapping[str, Any]) -> dict[str, str] | None:
    """Another name for each leftover field beside a record that it would change; None when all keep their own."""
    fields = example.fields
    names = PAIR_NAMES if example.rejected is not None else NAMES
    if not any(field in record or plain(field) in names for field in fields) and not may_be_export(fields):
        return None
    renamed = {field: field for field in fields}
    own = _read_fields(record)
    clashing = [field for field in fields if field in record]
    while True:
        for field in clashing:
            taken = {*record, *renamed.values()}
            while renamed[field] in taken:
                renamed[field] += "_original"
        read = _read_fields({**record, **{renamed[field]: value for field, value in fields.items()}})
        clashing = [field for field, name in renamed.items() if name in read and name not in own]
        if not clashing:
            return renamed if any(field != name for field, name in renamed.items()) else None


def _read_fields(record: Mapping[str, Any]) -> set[str]:
    dialect = recognise(record)
    parts = {} if dialect is None else dialect.parts
    read = {field for field, part in parts.items() if part != "reasoning" or is_reasoning(record[field])}
    return read | consumed(record)


def _sides(example: Example) -> tuple[tuple[Message, ...], tuple[Message, ...], tuple[Message, ...]]:
    """A preference pair as prompt, chosen and rejected turns."""
    messages = as_chat(example)
    if isinstance(example, CompletionExample):
        return messages[:-1], messages[-1:], (Message("assistant", example.rejected or ""),)
    if example.rejected is None:
        return messages, (), ()
    return messages[: example.rejected.after], messages[example.rejected.after :], example.rejected.turns


def _openai(example: Example) -> dict[str, Any]:
    if example.rejected is None:
        return {"messages": [_openai_message(message) for message in as_chat(example)]}
    prompt, chosen, rejected = ([_openai_message(message) for message in turns] for turns in _sides(example))
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _openai_message(message: Message) -> dict[str, Any]:
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        record["name"] = message.name
    if message.tool_calls:
        record["tool_calls"] = [_openai_call(call) for call in message.tool_calls]
    return {**record, **_renamed(message.fields, OPENAI_KEYS)} if message.fields else record


def _openai_call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function", {})
    arguments = function.get("arguments", "")
    if isinstance(arguments, str):
        return call
    return {**call, "function": {**function, "arguments": json_text(arguments)}}


def _renamed(fields: Mapping[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {f"{field}_original" if field in keys else field: value for field, value in fields.items()}


def _sharegpt(example: Example) -> dict[str, Any]:
    if example.rejected is None:
        return {"conversations": _sharegpt_turns(as_chat(example))}
    prompt, chosen, rejected = map(_sharegpt_turns, _sides(example))
    return {"conversations": prompt, "chosen": _one(chosen), "rejected": _one(rejected)}


def _one(turns: list[dict[str, Any]]) -> Any:
    return turns[0] if len(turns) == 1 else turns


def _sharegpt_turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    turns = []
    for message in messages:
        rest = _renamed(message.fields, SHAREGPT_KEYS) if message.fields else {}
        if message.name is not None:
            rest = {"name": message.name, **rest}
        if message.content or not message.tool_calls:
            turns.append({"from": SHAREGPT_ROLES[message.role], "value": message.content, **rest})
        if message.tool_calls:
            ids = [call.get("id") for call in message.tool_calls]
            kept = {"tool_call_ids": ids} if all(isinstance(id, str) for id in ids) else {}
            turns.append({"from": "function_call", "value": call_text(message.tool_calls), **kept, **rest})
    return turns


def _alpaca(example: Example) -> dict[str, Any]:
    if isinstance(example, CompletionExample):
        return {"instruction": example.prompt, "input": "", **_answers(example, example.completion, "output")}
    thought = _only_thought(example)
    prompt = example.messages if example.rejected is None else example.messages[: example.rejected.after]
    rounds = _rounds(prompt)
    if example.rejected is None and len(rounds) > 1 and not rounds[-1].answers:
        rounds.pop()
    elif example.rejected is not None and rounds[-1].answers:
        rounds.append(_Round())
    last = rounds.pop()
    record: dict[str, Any] = _split(last.question, prompt)
    record |= _answers(example, last.answer, "output")
    if system := _blocks(message.content for message in prompt if message.role == "system"):
        record["system"] = system
    if rounds:
        record["history"] = [[one.question, one.answer] for one in rounds]
    return record if thought is None else {**record, "reasoning_content": thought}


def _only_thought(example: ChatExample) -> str | None:
    """The reasoning of the last message, if that and nothing else is said of any message beside its text."""
    last = example.messages[-1] if example.messages else None
    if last is None or last.role != "assistant" or last.fields.keys() != {"reasoning_content"}:
        return None
    thought, others = last.fields["reasoning_content"], example.messages[:-1]
    alone = example.rejected is None and not any(message.role == "assistant" or message.fields for message in others)
    return thought if alone and is_reasoning(thought) and "<think>" not in last.content else None


def _answers(example: Example, answer: str, field: str) -> dict[str, str]:
    """The answer under the format's name for it; those of a preference pair under theirs."""
    if example.rejected is None:
        return {field: answer}
    if isinstance(example, CompletionExample):
        return {"chosen": answer, "rejected": example.rejected}
    _, chosen, rejected = _sides(example)
    return {"chosen": _blocks(map(_plain_text, chosen)), "rejected": _blocks(map(_plain_text, rejected))}


def _split(question: str, messages: Sequence[Message]) -> dict[str, str]:
    last = next((message for message in reversed(messages) if message.role == "user"), None)
    end = f"\n\n{last.alpaca_input}" if last is not None and last.alpaca_input else None
    if end is not None and question.endswith(end) and len(question) > len(end):
        return {"instruction": question[: -len(end)], "input": end[2:]}
    return {"instruction": question, "input": ""}


class _Round:
    """What was asked, by user and tools, and what was answered."""

    __slots__ = ("answers", "questions")

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.answers: list[str] = []

    @property
    def question(self) -> str:
        return _blocks(self.questions)

    @property
    def answer(self) -> str:
        return _blocks(self.answers)


def _rounds(messages: Iterable[Message]) -> list[_Round]:
    """The rounds of a conversation; neighbouring turns of one side are in one round."""
    rounds = [_Round()]
    for message in messages:
        if message.role == "system":
            continue
        if message.role == "assistant":
            rounds[-1].answers.append(_plain_text(message))
            continue
        if rounds[-1].answers:
            rounds.append(_Round())
        rounds[-1].questions.append(_plain_text(message))
    return rounds


def _blocks(texts: Iterable[str]) -> str:
    return "\n\n".join(filter(None, texts))


def _plain_text(message: Message) -> str:
    return _blocks((message.content, call_text(message.tool_calls))) if message.tool_calls else message.content


def _completion(example: Example) -> dict[str, Any]:
    if isinstance(example, CompletionExample):
        return {"prompt": example.prompt, **_answers(example, example.completion, "completion")}
    messages = example.messages
    last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=len(messages))
    answer = _plain_text(messages[last]) if last < len(messages) else ""
    prompt = messages[:last] if example.rejected is None else messages[: example.rejected.after]
    answers = _answers(example, answer, "completion")
    if sum(message.role != "system" for message in prompt) == 1:
        asked = "".join(f"{_plain_text(message)}\n\n" for message in prompt)
        thought = _only_thought(example)
        return {"prompt": asked, **answers, **({} if thought is None else {"reasoning_content": thought})}
    lines = [f"{TRANSCRIPT_ROLES[message.role]}:\n{_plain_text(message)}\n\n" for message in prompt]
    return {"prompt": "".join([*lines, "Assistant:\n"]) if lines else "", **answers}


_WRITERS = {"openai": _openai, "sharegpt": _sharegpt, "alpaca": _alpaca, "completion": _completion}


def _completion_losses(example: CompletionExample, format: Format) -> Iterator[str]:
    if format != "completion" and not example.prompt:
        yield "A text without a prompt becomes an answer without a question."
    if any(_read_otherwise(text, example) for text in (example.prompt, example.completion, example.rejected or "")):
        yield READ_OTHERWISE


def _chat_losses(example: ChatExample, format: Format) -> Iterator[str]:
    turns = example.messages if example.rejected is None else (*example.messages, *example.rejected.turns)
    if format == "openai":
        if any(message.fields and not OPENAI_KEYS.isdisjoint(message.fields) for message in turns):
            yield RENAMED_TURN_FIELD
    elif format == "sharegpt":
        yield from _sharegpt_losses(turns)
    else:
        if format == "completion":
            yield "The roles of a conversation become plain text."
        if any(message.tool_calls or message.role == "tool" for message in turns):
            yield "Tool calls and tool results become plain text."
        kept = _only_thought(example) is not None and (format == "alpaca" or len(_talk(example)) == 2)
        if any(message.name is not None or (message.fields and not kept) for message in turns):
            yield "Names and other fields of single messages are dropped."
        if any(_read_otherwise(message.content, example) for message in turns):
            yield READ_OTHERWISE
        if format == "alpaca":
            yield from _order_losses(example)
        elif example.rejected is None and example.messages and example.messages[-1].role != "assistant":
            yield AFTER_ANSWER


def _talk(example: ChatExample) -> list[Message]:
    return [message for message in example.messages if message.role != "system"]


def _sharegpt_losses(turns: Sequence[Message]) -> Iterator[str]:
    if any(message.fields and not SHAREGPT_KEYS.isdisjoint(message.fields) for message in turns):
        yield RENAMED_TURN_FIELD
    calling = [message for message in turns if message.tool_calls]
    if any(message.content for message in calling):
        yield "A message with both text and tool calls becomes two turns."
    if any(not _calls_survive(message) for message in calling):
        yield "Tool calls keep no more than name, arguments and id, and their JSON is spaced anew."


def _calls_survive(message: Message) -> bool:
    (turn,) = _sharegpt_turns([Message(message.role, "", None, message.tool_calls)])
    return read_turns(turn)[0].tool_calls == message.tool_calls


def _order_losses(example: ChatExample) -> Iterator[str]:
    """What Alpaca's rounds of one question and one answer, after one system text, cannot hold."""
    prompt, chosen, rejected = _sides(example)
    roles = [message.role for message in (*prompt, *chosen)]
    talk = [role for role in roles if role != "system"]
    if roles.count("system") > 1 or "system" in roles[1:]:
        yield "System messages are joined at the start."
    elif any(message.role == "system" and not message.content for message in prompt):
        yield "An empty system message is dropped."
    if talk[-1:] != ["assistant"]:
        yield AFTER_ANSWER if "assistant" in talk else "A conversation without an answer gets an empty one."
    if talk[:1] == ["assistant"]:
        yield "An answer without a question gets an empty one."
    several = bool(rejected) and (len(chosen), len(rejected)) != (1, 1)
    if several or any(one == other for one, other in pairwise(talk)):
        yield "Neighbouring turns of one side become one."


def _read_otherwise(text: str, example: Example) -> bool:
    """Whether a text is the JSON of turns, or of tool calls beside tools, so that it is read as these."""
    if text.lstrip()[:1] not in ("[", "{"):
        return False
    return names_speakers(text) or ("tools" in example.fields and calls_in(text) is not None)
