"""What an example is: a conversation to learn an answer in, or a plain text to continue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..lossless_json import is_zero

Role = Literal["system", "user", "assistant", "tool"]
Format = Literal["alpaca", "sharegpt", "openai", "completion"]


@dataclass(slots=True)  # not frozen: some are made of every row, and freezing triples the cost
class Message:
    """One turn of a conversation; never changed, but replaced."""

    role: Role
    """Who speaks."""

    content: str
    """The text; empty for a turn that only calls tools."""

    name: str | None = None
    """Name of the speaker or of the tool, where the record gives one."""

    tool_calls: tuple[Mapping[str, Any], ...] | None = None
    """The calls in OpenAI's shape, `{"type": "function", "function": {"name", "arguments"}}`; None without any."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """What else the record says about this turn: `weight`, `tool_call_id`, `reasoning_content`, ..."""

    alpaca_input: str | None = field(default=None, compare=False)
    """The end of `content` that an Alpaca record called `input`, so that writing Alpaca again splits it there."""

    @property
    def trained(self) -> bool:
        """Whether a model learns this turn: an answer that is not weighted 0."""
        return self.role == "assistant" and not is_zero(self.fields.get("weight"))


@dataclass(frozen=True, slots=True)
class Rejected:
    """The answer of a preference pair that was not preferred."""

    after: int
    """How many messages are the prompt that both answers share."""

    turns: tuple[Message, ...]
    """What stands in place of `messages[after:]`."""


@dataclass(slots=True)  # not frozen: one is made of every row, and freezing triples the cost
class ChatExample:
    """A conversation whose assistant turns are to be learned; never changed, but replaced."""

    messages: tuple[Message, ...]
    """The turns; in a preference pair the prompt and the chosen answer."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the record that are not part of the conversation: category, id, tools, ..."""

    rejected: Rejected | None = None
    """The other answer of a preference pair; None when it is no pair."""


@dataclass(frozen=True, slots=True)
class CompletionExample:
    """A plain text whose end is to be learned; the prompt is empty when the whole text is."""

    prompt: str
    completion: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the record that are neither prompt nor completion."""

    rejected: str | None = None
    """The completion of a preference pair that was not preferred; None when it is no pair."""


Example = ChatExample | CompletionExample


def prompt_of(example: Example) -> tuple[Message, ...] | str:
    """Everything before the last assistant answer (all messages when there is none), or the completion's prompt."""
    if isinstance(example, CompletionExample):
        return example.prompt
    last = _last_answer(example)
    return example.messages if last is None else example.messages[:last]


def answer_of(example: Example) -> str:
    """The text of the last assistant answer, or the completion; empty when the conversation has no answer."""
    if isinstance(example, CompletionExample):
        return example.completion
    last = _last_answer(example)
    return "" if last is None else example.messages[last].content


def _last_answer(example: ChatExample) -> int | None:
    for index in range(len(example.messages) - 1, -1, -1):
        if example.messages[index].role == "assistant":
            return index
    return None
