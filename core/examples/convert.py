"""Examples written as records of the four formats, and what each format cannot hold."""

import json
from collections.abc import Mapping
from typing import Any

from .turns import call_text
from .types import ChatExample, CompletionExample, Example, Format, Message, Rejected

SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
TRANSCRIPT_ROLES = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


def to_record(example: Example, format: Format) -> dict[str, Any]:
    """The example as a JSON record of a format; leftover fields are kept beside it, and `losses` says what is not.

    openai: `messages`. sharegpt: `conversations`. alpaca: `instruction`, `input`, `output`, with `system` and
    `history` (pairs of earlier turns) where there are any. completion: `prompt`, `completion`; a conversation's prompt
    ends in a blank line, and is a transcript when it has several turns.
    """
    record = _WRITERS[format](example)
    for field, value in example.fields.items():
        record[field if field not in record else f"{field}_original"] = value
    return record


def losses(example: Example, format: Format) -> tuple[str, ...]:
    """What `to_record` does not carry over into a format, one short sentence each; empty when nothing is lost."""
    if isinstance(example, CompletionExample):
        if example.prompt or format == "completion":
            return ()
        return ("A text without a prompt becomes an answer without a question.",)
    if format in ("openai", "sharegpt"):
        return _turn_losses(example) if format == "sharegpt" else ()
    lost = []
    if format == "completion":
        lost.append("The roles of a conversation become plain text.")
    if any(message.tool_calls or message.role == "tool" for message in example.messages):
        lost.append("Tool calls and tool results become plain text.")
    if any(message.name or message.fields for message in example.messages):
        lost.append("Names and other fields of single messages are dropped.")
    if example.messages and example.messages[-1].role != "assistant":
        lost.append("Turns after the last answer are dropped.")
    return tuple(lost)


def _turn_losses(example: ChatExample) -> tuple[str, ...]:
    if any(message.tool_calls and message.content for message in example.messages):
        return ("A message with both text and tool calls becomes two turns.",)
    return ()


def _pair_of_answers(example: Example) -> dict[str, tuple[Message, ...]]:
    """A preference pair as conversations: `prompt`, `chosen` and `rejected`."""
    messages = as_chat(example)
    if isinstance(example, CompletionExample):
        return {
            "prompt": messages[:-1],
            "chosen": messages[-1:],
            "rejected": (Message("assistant", example.rejected or ""),),
        }
    rejected = example.rejected or Rejected(len(messages), ())
    return {"prompt": messages[: rejected.after], "chosen": messages[rejected.after :], "rejected": rejected.turns}


def as_chat(example: Example) -> tuple[Message, ...]:
    """The example as a conversation: a completion becomes a question and its answer."""
    if isinstance(example, ChatExample):
        return example.messages
    question = (Message("user", example.prompt),) if example.prompt else ()
    return (*question, Message("assistant", example.completion))


def _openai(example: Example) -> dict[str, Any]:
    if example.rejected is not None:
        return {
            part: [_openai_message(message) for message in turns] for part, turns in _pair_of_answers(example).items()
        }
    return {"messages": [_openai_message(message) for message in as_chat(example)]}


def _openai_message(message: Message) -> dict[str, Any]:
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        record["name"] = message.name
    if message.tool_calls:
        record["tool_calls"] = [_openai_call(call) for call in message.tool_calls]
    return {**message.fields, **record}


def _openai_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function", {}))
    if not isinstance(function.get("arguments", ""), str):
        function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    return {**call, "function": function}


def _sharegpt(example: Example) -> dict[str, Any]:
    if example.rejected is not None:
        prompt, *answers = (
            [turn for message in turns for turn in _sharegpt_turns(message)]
            for turns in _pair_of_answers(example).values()
        )
        chosen, rejected = (turns[0] if len(turns) == 1 else turns for turns in answers)
        return {"conversations": prompt, "chosen": chosen, "rejected": rejected}
    return {"conversations": [turn for message in as_chat(example) for turn in _sharegpt_turns(message)]}


def _sharegpt_turns(message: Message) -> list[dict[str, Any]]:
    rest = {**({"name": message.name} if message.name is not None else {}), **message.fields}
    turns = []
    if message.content or not message.tool_calls:
        turns.append({"from": SHAREGPT_ROLES[message.role], "value": message.content, **rest})
    if message.tool_calls:
        turns.append({"from": "function_call", "value": call_text(message.tool_calls), **rest})
    return turns


def _alpaca(example: Example) -> dict[str, Any]:
    if isinstance(example, CompletionExample):
        return {"instruction": example.prompt, "input": "", **_answers(example.completion, example.rejected, "output")}
    pairs = _pairs(example.messages)
    question, answer = pairs[-1]
    rejected = None
    if example.rejected is not None:
        rejected = "\n\n".join(filter(None, map(_plain_text, example.rejected.turns)))
    record = {**_split(question, example.messages), **_answers(answer, rejected, "output")}
    if system := _system(example.messages):
        record["system"] = system
    if len(pairs) > 1:
        record["history"] = [list(pair) for pair in pairs[:-1]]
    return record


def _answers(answer: str, rejected: str | None, field: str) -> dict[str, Any]:
    return {field: answer} if rejected is None else {"chosen": answer, "rejected": rejected}


def _split(question: str, messages: tuple[Message, ...]) -> dict[str, Any]:
    last = next((message for message in reversed(messages) if message.role == "user"), None)
    end = f"\n\n{last.alpaca_input}" if last is not None and last.alpaca_input else None
    if end is not None and question.endswith(end) and len(question) > len(end):
        return {"instruction": question[: -len(end)], "input": end[2:]}
    return {"instruction": question, "input": ""}


def _pairs(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    """Question and answer of each round, the unanswered end left out; neighbours of one side are joined."""
    pairs: list[tuple[list[str], list[str]]] = [([], [])]
    for message in messages:
        if message.role == "system":
            continue
        if message.role != "assistant" and pairs[-1][1]:
            pairs.append(([], []))
        pairs[-1][0 if message.role != "assistant" else 1].append(_plain_text(message))
    if len(pairs) > 1 and not pairs[-1][1]:
        pairs.pop()
    return [("\n\n".join(filter(None, question)), "\n\n".join(filter(None, answer))) for question, answer in pairs]


def _system(messages: tuple[Message, ...]) -> str:
    return "\n\n".join(message.content for message in messages if message.role == "system" and message.content)


def _plain_text(message: Message) -> str:
    texts = [message.content, call_text(message.tool_calls) if message.tool_calls else ""]
    return "\n\n".join(filter(None, texts))


def _completion(example: Example) -> dict[str, Any]:
    if isinstance(example, CompletionExample):
        return {"prompt": example.prompt, **_answers(example.completion, example.rejected, "completion")}
    messages = example.messages
    last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=len(messages))
    answer = _plain_text(messages[last]) if last < len(messages) else ""
    prompt = messages[:last]
    answers = _answers(answer, None, "completion")
    if example.rejected is not None:
        prompt = messages[: example.rejected.after]
        chosen = "\n\n".join(filter(None, map(_plain_text, messages[example.rejected.after :])))
        rejected = "\n\n".join(filter(None, map(_plain_text, example.rejected.turns)))
        answers = _answers(chosen, rejected, "completion")
    talk = [message for message in prompt if message.role != "system"]
    if len(talk) == 1:
        return {"prompt": "".join(f"{_plain_text(message)}\n\n" for message in prompt), **answers}
    lines = [f"{TRANSCRIPT_ROLES[message.role]}:\n{_plain_text(message)}\n\n" for message in prompt]
    return {"prompt": "".join([*lines, "Assistant:\n"]) if lines else "", **answers}


_WRITERS = {"openai": _openai, "sharegpt": _sharegpt, "alpaca": _alpaca, "completion": _completion}
