"""Which dialect a record is in: by the names of its fields, and by their values where names alone do not tell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import DataError
from ..untrusted import quote
from .choices import find_choices
from .comparisons import find_comparison
from .field_names import (
    AFTER_PAST,
    ANSWER_FIELDS,
    ANSWER_PAIRS,
    ANSWERS_AFTER_PAST,
    CONTEXT_FIELDS,
    FINDINGS,
    IDS,
    LABEL_FIELDS,
    LAST_ANSWERS,
    MESSAGE_MARKS,
    PARALLEL,
    PART_WORDS,
    PAST,
    QUESTION_FIELDS,
    REASONING_FIELDS,
    SEARCHES,
    SYSTEM_FIELDS,
    TEXT_FIELDS,
    TITLED,
    TURN_FIELDS,
    TWO_TEXTS,
    Part,
    plain,
)
from .text import parsed
from .turns import begins_asked, ends_asking, has_roles, is_langchain, looks_like_turns, names_speakers

# fmt: off
DialectName = Literal[
    "alpaca", "sharegpt", "openai", "langchain", "completion", "preference", "comparison", "pair", "choice",
    "translation", "text", "columns",
]
# fmt: on

Names = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one record spells its example."""

    name: DialectName
    """alpaca, sharegpt, openai, langchain, completion: the format it is in. pair: a question and an answer field.
    preference: a chosen and a rejected answer. comparison: two answers and which is better. choice: a question with
    options. translation: a text in two languages. text: one text without a prompt. columns: as the caller said."""

    parts: Mapping[str, Part]
    """Field of the record -> the part of the example it holds."""

    @property
    def label(self) -> str:
        """The dialect for a person, such as `pair (question, answer)`."""
        return f"{self.name} ({', '.join(self.parts)})"


def recognise(record: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> Dialect | None:
    """The dialect of a record, or None when its fields say nothing known; of two that fit, the more explicit.

    Records with the same fields filled are of one dialect, unless a value is a list or an object or the text of one.

    `columns` maps fields to roles (system, user, context, assistant, prompt, completion, messages, history, or a
    common word for one) and then decides alone; role -> field is understood too.

    Raises:
        DataError: `columns` names a role that is not known, or none of its fields is in the record.
    """
    if columns:
        return _mapped(record, columns)
    names = {plain(field): field for field in reversed(list(record)) if record[field] is not None}
    for attempt in _ATTEMPTS:
        dialect = attempt(record, names)
        if dialect is not None:
            return dialect
    return None


def is_reasoning(value: Any) -> bool:
    """Whether a value can be the reasoning before an answer; a word (`on`, `math`) is none."""
    return isinstance(value, str) and len(value.split(None, 1)) > 1


def first(names: Names, wanted: Iterable[str]) -> str | None:
    """The record's spelling of the first wanted name that it has."""
    return next((names[name] for name in wanted if name in names), None)


def _optional(names: Names, wanted: tuple[str, ...], part: Part) -> dict[str, Part]:
    field = first(names, wanted)
    return {} if field is None else {field: part}


def _preference(record: Mapping[str, Any], names: Names) -> Dialect | None:
    pair = next((pair for pair in ANSWER_PAIRS if pair[0] in names and pair[1] in names), None)
    if pair is None:
        return None
    chosen, rejected = names[pair[0]], names[pair[1]]
    if not (_is_answer(record[chosen]) and _is_answer(record[rejected])):
        return None
    whole = all(names_speakers(record[field]) and begins_asked(record[field]) for field in (chosen, rejected))
    asked = _asked(record, names, whole=whole)
    part: Part = "completion" if list(asked.values()) == ["prompt"] else "assistant"
    return Dialect("preference", {**asked, chosen: part, rejected: "rejected"})


def _comparison(record: Mapping[str, Any], names: Names) -> Dialect | None:
    found = find_comparison(names)
    if found is None or first(names, LAST_ANSWERS) is not None:  # with an answer of its own, two more are a remark
        return None
    one, other = (names[name] for name in found.answers)
    context, history = names.get("context"), names.get("history")
    if begins_asked(record[one]) and begins_asked(record[other]):
        asked: dict[str, Part] = _asked(record, names, whole=True)
    elif context is not None and names_speakers(record[context]):
        asked = {**_optional(names, SYSTEM_FIELDS, "system"), context: "messages"}
    else:
        asked = _asked(record, names, whole=False)
        if not asked and history is not None and isinstance(record[history], str):
            asked = {history: "prompt"}  # the post and its comments, as SHP has them
        if not set(asked.values()) - {"system"}:
            return None
    better: dict[str, Part] = {names[name]: "better" for name in found.better}
    return Dialect("comparison", {**asked, one: "assistant", other: "rejected", **better})


def _asked(record: Mapping[str, Any], names: Names, *, whole: bool) -> dict[str, Part]:
    """The fields of a preference pair's prompt, explicit ones first; `whole` when both answers repeat the prompt."""
    system = _optional(names, SYSTEM_FIELDS, "system")
    prompt, request = names.get("prompt"), names.get("input")
    if prompt is not None and (record[prompt] == [] or names_speakers(record[prompt])):
        return {**system, prompt: "messages"}
    if request is not None and isinstance(record[request], Mapping) and "messages" in record[request]:
        return {request: "request"}
    turns = _turn_field(record, names)
    if turns is None and record.get("conversations") == []:
        turns = "conversations"  # as `to_record` writes a pair without a prompt
    if whole:
        text: dict[str, Part] = {prompt: "prompt"} if prompt is not None and isinstance(record[prompt], str) else {}
        return {**system, **text, **({turns: "messages"} if turns is not None else {})}
    if turns is not None:
        asked = _goes_on(record, names, turns)
        return {**system, turns: "messages"} if asked is None else {**system, turns: "history", asked: "user"}
    history = _optional(names, ("history",), "history")
    if "instruction" in names and "input" in names:
        return {**system, **history, names["instruction"]: "user", names["input"]: "context"}
    if prompt is not None:
        return {**system, prompt: "prompt"}
    question = first(names, QUESTION_FIELDS)
    return system if question is None else {**system, **history, question: "user", **_context(names, question)}


def _is_answer(value: Any) -> bool:
    return isinstance(value, str) or names_speakers(value)


def _turn_field(record: Mapping[str, Any], names: Names) -> str | None:
    return next((names[name] for name in TURN_FIELDS if name in names and looks_like_turns(record[names[name]])), None)


def _turns(record: Mapping[str, Any], names: Names) -> Dialect | None:
    field = _turn_field(record, names)
    if field is None:
        return None
    return (plain(field) in PAST and _after_history(record, names, field)) or _conversation(record, names, field)


def _after_history(record: Mapping[str, Any], names: Names, history: str) -> Dialect | None:
    """A question and its answer that go on with what was said before, where both have fields of their own."""
    others = {name: field for name, field in names.items() if isinstance(record[field], str)}
    answer = first(others, ANSWERS_AFTER_PAST)
    if answer is None:
        return _message_and_text(record, names)
    question = _goes_on(record, names, history)
    if question is None or find_choices(record, names) is not None:
        return None
    asked: dict[str, Part] = {**_optional(names, SYSTEM_FIELDS, "system"), history: "history", question: "user"}
    return Dialect("pair", {**asked, **_context(others, question), answer: "assistant"})


def _message_and_text(record: Mapping[str, Any], names: Names) -> Dialect | None:
    """Cohere's `message` and the `text` that answers it; elsewhere these are two texts of any kind."""
    if "message" not in names or "text" not in names or MESSAGE_MARKS.isdisjoint(names):
        return None
    asked, answer, history = names["message"], names["text"], names.get("chat_history")
    if not isinstance(record[asked], str) or not isinstance(record[answer], str):
        return None
    parts: dict[str, Part] = _optional(names, ("preamble",), "system")
    if history is None or not record[history]:
        return Dialect("pair", {**parts, asked: "user", answer: "assistant"})
    if ends_asking(record[history]):  # a response repeats what was asked
        return Dialect("pair", {**parts, history: "messages", answer: "assistant"})
    if _ends_with(record[history], record[answer]):
        return Dialect("pair", {**parts, history: "messages"})
    return Dialect("pair", {**parts, history: "history", asked: "user", answer: "assistant"})


def _goes_on(record: Mapping[str, Any], names: Names, history: str) -> str | None:
    """The field with the question that goes on with what was said before; None where no question is due."""
    if plain(history) not in PAST or ends_asking(record[history]):
        return None
    return first({name: field for name, field in names.items() if isinstance(record[field], str)}, AFTER_PAST)


def _ends_with(talk: Any, text: str) -> bool:
    turns = parsed(talk) if isinstance(talk, str) else talk
    last = turns[-1] if isinstance(turns, (list, tuple)) and turns else None
    return isinstance(last, Mapping) and text in last.values()


def _conversation(record: Mapping[str, Any], names: Names, field: str) -> Dialect:
    name: DialectName = "openai" if has_roles(record[field]) else _family(record[field])
    parts: dict[str, Part] = {field: "messages", **_optional(names, SYSTEM_FIELDS, "system")}
    answer = first(names, LAST_ANSWERS)
    if answer is not None and answer != field and ends_asking(record[field]):
        parts[answer] = "assistant"
    return Dialect(name, parts)


def _family(turns: Any) -> DialectName:
    first_turn = turns[0] if isinstance(turns, (list, tuple)) and turns else turns
    return "langchain" if is_langchain(first_turn) else "sharegpt"


def _alpaca(record: Mapping[str, Any], names: Names) -> Dialect | None:
    if "instruction" not in names or "output" not in names:
        return None
    parts: dict[str, Part] = {**_optional(names, SYSTEM_FIELDS, "system"), **_optional(names, ("history",), "history")}
    # A null `input` belongs to the dialect as much as an empty one.
    context: dict[str, Part] = {field: "context" for field in record if plain(field) == "input"}
    if not context:
        context = _context(names, names["instruction"])
    parts |= _optional(names, REASONING_FIELDS, "reasoning")
    return Dialect("alpaca", {**parts, names["instruction"]: "user", **context, names["output"]: "assistant"})


def _completion(record: Mapping[str, Any], names: Names) -> Dialect | None:
    if "prompt" not in names or "completion" not in names:
        return None
    system = _optional(names, SYSTEM_FIELDS, "system")
    if system and not names_speakers(record[names["prompt"]]):
        return Dialect("pair", {**system, names["prompt"]: "user", names["completion"]: "assistant"})
    return Dialect("completion", {**system, names["prompt"]: "prompt", names["completion"]: "completion"})


def _choice(record: Mapping[str, Any], names: Names) -> Dialect | None:
    choices = find_choices(record, names)
    question = None if choices is None else first(names, QUESTION_FIELDS)
    if choices is None or question is None or question == choices.key:
        return None
    parts: dict[str, Part] = {**_optional(names, SYSTEM_FIELDS, "system"), question: "user"}
    parts |= {**_context(names, question), **dict.fromkeys(choices.options, "options"), choices.key: "key"}
    return Dialect("choice", parts)


def _pair(record: Mapping[str, Any], names: Names) -> Dialect | None:
    several = _parallel(record, names)
    if several is not None:
        return several
    # Where a problem has both, the solution is the working and the answer only its last line.
    answer = names.get("solution") if "problem" in names else None
    answer = answer or first(names, ANSWER_FIELDS)
    if answer is None and any(name in names for name in SEARCHES):
        answer = first(names, FINDINGS)
    if answer is None:
        return None
    asked = _question(record, {name: field for name, field in names.items() if field != answer})
    if not asked:
        return None
    system = _optional(names, SYSTEM_FIELDS, "system")
    reasoning = _optional(names, REASONING_FIELDS, "reasoning")
    return Dialect("pair", {**system, **asked, **reasoning, answer: "assistant"})


def _question(record: Mapping[str, Any], names: Names) -> dict[str, Part]:
    field = first(names, QUESTION_FIELDS)
    if field is None:
        texts = next((two for two in TWO_TEXTS if two[0] in names and two[1] in names), ())
        return dict.fromkeys([names[name] for name in texts], "user")
    if names_speakers(record[field]):
        return {field: "messages"}
    if "title" in names and plain(field) in TITLED:
        return {names["title"]: "user", field: "user"}
    return {field: "user", **_context(names, field)}


def _context(names: Names, question: str) -> dict[str, Part]:
    """What a question is asked about; a vague name (text, document) is the question itself, not about something."""
    wanted = CONTEXT_FIELDS if plain(question) in ("question", "query", "problem") else CONTEXT_FIELDS[:4]
    return _optional({name: field for name, field in names.items() if field != question}, wanted, "context")


def _parallel(record: Mapping[str, Any], names: Names) -> Dialect | None:
    """Questions in one list and their answers in another of the same length."""
    for one, other in PARALLEL:
        if one in names and other in names:
            asked, answered = texts_in(record[names[one]]), texts_in(record[names[other]])
            if asked and answered and len(asked) == len(answered):
                about = _optional(names, SYSTEM_FIELDS, "system") | _optional(names, CONTEXT_FIELDS[1:], "context")
                return Dialect("pair", {**about, names[one]: "questions", names[other]: "answers"})
    return None


def texts_in(value: Any) -> list[str] | None:
    """The texts of a list, also where each is the `input_text` of an object (CoQA); None for anything else."""
    if isinstance(value, Mapping):
        value = value.get("input_text")
    if not isinstance(value, list):
        return None
    texts = [one.get("input_text") if isinstance(one, Mapping) else one for one in value]
    return [text for text in texts if isinstance(text, str)] if all(isinstance(text, str) for text in texts) else None


def _translation(record: Mapping[str, Any], names: Names) -> Dialect | None:
    field = names.get("translation")
    value = None if field is None else record[field]
    value = parsed(value) if isinstance(value, str) else value
    if field is None or not isinstance(value, Mapping) or len(value) != 2:
        return None
    return Dialect("translation", {field: "translation"}) if all(isinstance(v, str) for v in value.values()) else None


def _text(record: Mapping[str, Any], names: Names) -> Dialect | None:
    field = first(names, TEXT_FIELDS)
    if field is None:
        return None
    label = first(names, LABEL_FIELDS)
    if label is not None and len(names.keys() - IDS) == 2 and isinstance(record[label], (str, int)):
        return Dialect("pair", {field: "user", label: "assistant"})
    return Dialect("text", {field: "completion"})


def _unnamed_turns(record: Mapping[str, Any], names: Names) -> Dialect | None:
    """The one field, whatever its name, that holds turns with known speakers."""
    fields = [field for field, value in record.items() if isinstance(value, (list, str)) and names_speakers(value)]
    return _conversation(record, names, fields[0]) if len(fields) == 1 else None


def _other_turns(record: Mapping[str, Any], names: Names) -> Dialect | None:
    """A conversation by its name alone: a transcript, or something of which reading says what is wrong with it."""
    named = {names[name]: record[names[name]] for name in TURN_FIELDS if name in names}
    fields = [field for field, value in named.items() if value and isinstance(value, (list, dict, str))]
    if not fields and names.keys() - IDS == {"data"} and looks_like_turns(record[names["data"]]):
        fields = [names["data"]]
    return _conversation(record, names, fields[0]) if fields else None


_ATTEMPTS = (
    _preference,
    _comparison,
    _turns,
    _alpaca,
    _completion,
    _choice,
    _translation,
    _pair,
    _unnamed_turns,
    _message_and_text,
    _text,
    _other_turns,
)


def _mapped(record: Mapping[str, Any], columns: Mapping[str, str]) -> Dialect:
    parts: dict[str, Part] = {}
    for key, value in columns.items():
        turned_round = key not in record and value in record and plain(key) in PART_WORDS
        field, word = (value, key) if turned_round else (key, value)
        part = PART_WORDS.get(plain(word))
        if part is None:
            known = ", ".join(dict.fromkeys(PART_WORDS.values()))
            raise DataError(f"`columns` gives {quote(field)} the unknown role {quote(word)}.", f"Use one of: {known}.")
        if field in record:
            parts[field] = part
    if not parts:
        raise DataError("None of the fields in `columns` is in the record.", "Name fields that the records have.")
    return Dialect("columns", parts)
