"""How records spell an example: which dialect one is in, and how to read it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import DataError
from ..untrusted import quote
from .choices import read_options, right_option, written
from .comparisons import second_is_better, talk
from .convert import losses as losses
from .convert import to_record as to_record
from .exports import unfold
from .field_names import ANSWER_FIELDS as ANSWER_FIELDS
from .field_names import CONTEXT_FIELDS as CONTEXT_FIELDS
from .field_names import PART_WORDS as PART_WORDS
from .field_names import QUESTION_FIELDS as QUESTION_FIELDS
from .field_names import SYSTEM_FIELDS as SYSTEM_FIELDS
from .field_names import TURN_FIELDS as TURN_FIELDS
from .field_names import Part, plain
from .recognise import Dialect as Dialect
from .recognise import is_reasoning, texts_in
from .recognise import recognise as recognise
from .text import parsed
from .tool_calls import calls_in
from .transcripts import transcript
from .turns import begins_asked, content_text, join, names_speakers, read_turns, text_of
from .types import ChatExample, CompletionExample, Example, Message, Rejected
from .types import Format as Format

Parts = dict[Part, dict[str, Any]]  # the record's fields by the part of the example that they hold
SEVERAL = ("answer", "answers", "ideal", "positive", "pos")  # fields that may list several right answers
BEST = ("is_accepted", "accepted", "selected")
SCORES = ("pm_score", "score")
TEXTS = ("text", "answer", "body", "content")


def read_record(record: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> Example:
    """The example that a record of any known dialect spells; what it does not use stays in `fields`.

    Raises:
        DataError: The record is in no known dialect, or a part of it is not what the dialect needs.
    """
    if not columns and (unfolded := unfold(record)) is not None:
        record = unfolded.record
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
    parts: Parts = {}
    used = dialect.parts
    for field, part in used.items():
        value = record.get(field)
        if value is None:
            continue
        if part in parts:
            parts[part][field] = value
        else:
            parts[part] = {field: value}
    left = {field: value for field, value in record.items() if field not in used}
    read = _question_and_answer
    for part, reader in _READERS:
        if part in parts:
            read = reader
            break
    example = read(parts, left)
    for fields in parts.values():  # what the reader did not take
        left.update(fields)
    if "functions" in left and "tools" not in left and _are_functions(left["functions"]):
        left["tools"] = [{"type": "function", "function": function} for function in left.pop("functions")]
    return example


def _are_functions(value: Any) -> bool:
    """Whether it is the list in which OpenAI once kept what `tools` keeps."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) and "name" in one for one in value)


def _preference(parts: Parts, left: dict[str, Any]) -> Example:
    plain_text = "completion" in parts
    chosen = _only(parts.pop("completion" if plain_text else "assistant"))
    rejected = _only(parts.pop("rejected"))
    if plain_text and not names_speakers(chosen) and not names_speakers(rejected):
        return CompletionExample(_text(parts, "prompt"), text_of(chosen), left, text_of(rejected))
    repeats = begins_asked(chosen) and begins_asked(rejected)
    turns = tuple(
        read_turns(answer) if repeats or names_speakers(answer) else (Message("assistant", text_of(answer)),)
        for answer in (chosen, rejected)
    )
    if repeats and (example := _repeated(parts, left, *turns)) is not None:
        return example
    if not parts.keys() - {"system"}:
        if begins_asked(chosen) and turns[0][-1].role == "assistant":  # only the chosen answer stands in a conversation
            messages = _with_system(turns[0], parts)
            return ChatExample(messages, left, Rejected(len(messages) - 1, turns[1]))
        raise DataError("The two answers have no prompt.", "Correct the record, or name the prompt with `columns`.")
    asked = _prompt(parts, left)
    return ChatExample((*asked, *turns[0]), left, Rejected(len(asked), turns[1]))


def _comparison(parts: Parts, left: dict[str, Any]) -> Example:
    """The better answer as the chosen one; what said so stays a field."""
    said = parts.pop("better")
    left |= said
    [(one, first_answer)], [(other, second_answer)] = parts["assistant"].items(), parts["rejected"].items()
    if second_is_better((plain(one), plain(other)), {plain(field): value for field, value in said.items()}):
        first_answer, second_answer = second_answer, first_answer
    for field, asked in parts.get("user", {}).items():
        if isinstance(asked, Mapping) and isinstance(asked.get("full_text"), str):  # as WebGPT's comparisons write it
            parts["user"][field] = asked["full_text"]
    asked = _only(parts["prompt"]) if "prompt" in parts else None
    chosen, rejected = talk(asked, first_answer), talk(asked, second_answer)
    if chosen is not None and rejected is not None:
        del parts["prompt"]
        first_answer, second_answer = chosen, rejected
    parts |= {"assistant": {one: first_answer}, "rejected": {other: second_answer}}
    return _preference(parts, left)


def _repeated(
    parts: Parts, left: dict[str, Any], chosen: tuple[Message, ...], rejected: tuple[Message, ...]
) -> ChatExample | None:
    """The pair whose answers both repeat the prompt; None when a given prompt says that they do not."""
    after = _shared(chosen, rejected)
    if "messages" in parts:
        given = _only(parts["messages"])
        asked = read_turns(given) if given != [] else ()
        if asked == chosen[: len(asked)] == rejected[: len(asked)] and 0 < len(asked) < min(len(chosen), len(rejected)):
            after = len(asked)
        elif asked != chosen:
            return None
        del parts["messages"]
    prompt = parts.get("prompt", {})
    if any(message.role == "user" and message.content in prompt.values() for message in chosen[:after]):
        del parts["prompt"]
    messages = _with_system(chosen, parts)
    return ChatExample(messages, left, Rejected(after + len(messages) - len(chosen), rejected[after:]))


def _shared(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> int:
    """How many messages both answers begin with; each keeps at least its last one."""
    longest = min(len(chosen), len(rejected)) - 1
    return next((i for i in range(longest) if chosen[i] != rejected[i]), max(longest, 0))


def _prompt(parts: Parts, left: dict[str, Any]) -> tuple[Message, ...]:
    """The turns before the answers of a preference pair."""
    if "request" in parts:
        request = dict(_only(parts.pop("request")))
        turns = read_turns(request.pop("messages"))
        for name, value in request.items():
            left[name if name not in left else f"input_{name}"] = value
        return turns
    if "messages" in parts:
        given = _only(parts.pop("messages"))
        return _with_system(read_turns(given) if given != [] else (), parts)
    return _question(parts)


def _choice(parts: Parts, left: dict[str, Any]) -> Example:
    """A question with its options, answered with the right one's letter and text."""
    names = [plain(field) for field in parts["options"]]
    options = read_options(parts.pop("options"))
    key, said = next(iter(parts.pop("key").items()))
    right = right_option(options, names, plain(key), said)
    answer = text_of(said) if right is None else "{}. {}".format(*options[right])
    parts["context"] = {**parts.get("context", {}), "options": written(options)}
    return ChatExample((*_question(parts), Message("assistant", answer)), left)


def _translation(parts: Parts, left: dict[str, Any]) -> Example:
    """A text and its translation, in the record's order; the languages are kept."""
    value = _only(parts.pop("translation"))
    (source, text), (target, translated) = (parsed(value) if isinstance(value, str) else value).items()
    left |= {
        name: said for name, said in (("source_language", source), ("target_language", target)) if name not in left
    }
    return ChatExample((Message("user", text), Message("assistant", translated)), left)


def _interleaved(parts: Parts, left: dict[str, Any]) -> Example:
    left |= {field: v for part in ("questions", "answers") for field, v in parts[part].items() if not _all_texts(v)}
    asked, said = (texts_in(_only(parts.pop(part))) or [] for part in ("questions", "answers"))
    messages = [
        message
        for question, answer in zip(asked, said, strict=True)
        for message in (Message("user", question), Message("assistant", answer))
    ]
    if context := _text(parts, "context"):
        messages[0] = Message("user", f"{asked[0]}\n\n{context}", alpaca_input=context)
    return ChatExample(_with_system(tuple(messages), parts), left)


def _all_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _conversation(parts: Parts, left: dict[str, Any]) -> Example:
    messages = _with_system(read_turns(_only(parts.pop("messages"))), parts)
    for part in ("assistant", "completion"):
        if part in parts:
            messages += _answers(parts.pop(part), left)
    if not messages:
        raise DataError("The conversation has no turns.", "Drop the record or fill it.")
    return ChatExample(messages, left)


def _completion(parts: Parts, left: dict[str, Any]) -> Example:
    prompt = next(iter(parts.get("prompt", {}).values()), None)
    if prompt is not None and names_speakers(prompt):
        parts["messages"] = parts.pop("prompt")
        return _conversation(parts, left)
    text = _text(parts, "completion")
    if prompt is None and "prompt" not in parts and (turns := transcript(text)) is not None:
        return ChatExample(_with_system(read_turns(turns), parts), left)
    return CompletionExample(_text(parts, "prompt"), text, left)


def _question_and_answer(parts: Parts, left: dict[str, Any]) -> Example:
    messages = _question(parts)
    if "assistant" in parts:
        messages += _reasoned(_answers(parts.pop("assistant"), left), parts)
    return ChatExample(messages, left)


def _reasoned(answers: tuple[Message, ...], parts: Parts) -> tuple[Message, ...]:
    """The answer with the reasoning of a column of its own, unless it begins with its reasoning already."""
    text = _only(parts["reasoning"]) if "reasoning" in parts else None
    if not is_reasoning(text) or "<think>" in answers[0].content:
        return answers
    del parts["reasoning"]
    return (replace(answers[0], fields={"reasoning_content": text, **answers[0].fields}), *answers[1:])


_READERS = (
    ("better", _comparison),
    ("rejected", _preference),
    ("options", _choice),
    ("translation", _translation),
    ("questions", _interleaved),
    ("messages", _conversation),
    ("completion", _completion),
)


def _only(fields: Mapping[str, Any]) -> Any:
    """The value of the first field; a part that is no text cannot be several fields."""
    return next(iter(fields.values()))


def _text(parts: Parts, part: Part) -> str:
    """The text of a part, which is taken; empty when the record has none."""
    fields = parts.pop(part, None)
    if fields is None:
        return ""
    if len(fields) > 1:
        return join(fields.values())
    value = _only(fields)
    return value if isinstance(value, str) else text_of(value)


def _with_system(messages: tuple[Message, ...], parts: Parts) -> tuple[Message, ...]:
    """The conversation with the record's system text, unless it has one of its own; another text is not taken."""
    if "system" not in parts:
        return messages
    given = [message.content for message in messages if message.role == "system"]
    text = join(map(content_text, parts["system"].values()))
    if not given or text == given[0] or not text:
        del parts["system"]
    return (Message("system", text), *messages) if text and not given else messages


def _question(parts: Parts) -> tuple[Message, ...]:
    messages: list[Message] = []
    if "system" in parts and (system := _text(parts, "system")):
        messages.append(Message("system", system))
    if "history" in parts:
        messages += _history(_only(parts.pop("history")))
    question = _text(parts, "user")
    if "prompt" in parts:
        question = join((question, _text(parts, "prompt")))
    context = _text(parts, "context")
    if question and context:
        messages.append(Message("user", f"{question}\n\n{context}", alpaca_input=context))
    else:
        messages.append(Message("user", question or context))
    return tuple(messages)


def _history(value: Any) -> list[Message]:
    pairs = parsed(value) or [] if isinstance(value, str) else value
    if names_speakers(pairs):
        return list(read_turns(pairs))
    messages: list[Message] = []
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise DataError("`history` is not a list of [question, answer] pairs.", "Correct the record.")
        messages += [Message("user", text_of(pair[0])), Message("assistant", text_of(pair[1]))]
    return messages


def _answers(fields: Mapping[str, Any], left: dict[str, Any]) -> tuple[Message, ...]:
    if len(fields) > 1:
        return (Message("assistant", join(fields.values())),)
    field, value = next(iter(fields.items()))
    if isinstance(value, str):
        if value[:1] not in ("[", "{"):
            return (Message("assistant", value),)
        if "tools" in left and (calls := calls_in(value)):
            return (Message("assistant", "", None, calls),)
    elif names_speakers(value):
        turns = read_turns(value)
        if all(turn.role in ("assistant", "tool") for turn in turns):
            return turns
    if plain(field) in SEVERAL and (best := _best(parsed(value) if isinstance(value, str) else value)) is not None:
        if value != [best]:
            left[field] = value
        return (Message("assistant", best),)
    return (Message("assistant", text_of(value)),)


def _best(value: Any) -> str | None:
    """The first of several right answers, or the one that is marked or scored best; None for another value."""
    if isinstance(value, Mapping):
        value = value.get("text", value.get("value"))
        return value if isinstance(value, str) else _best(value)
    if not isinstance(value, (list, tuple)):
        return None
    if all(isinstance(one, str) for one in value):
        return value[0] if value else ""
    key = next(
        (key for key in TEXTS if all(isinstance(one, Mapping) and isinstance(one.get(key), str) for one in value)), None
    )
    if key is None:
        return None
    score = next((score for score in SCORES if all(isinstance(one.get(score), (int, float)) for one in value)), None)
    marked = next((one for one in value if any(one.get(mark) is True for mark in BEST)), None)
    return (marked or (value[0] if score is None else max(value, key=lambda one: one[score])))[key]
