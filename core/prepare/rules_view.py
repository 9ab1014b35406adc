"""A row as the rules look at it: what was asked, what was answered, all of it in lower case."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..examples.types import ChatExample, Example, Message

MEDIA_FIELDS = ("image", "picture", "photo", "img", "audio", "video", "media", "attachment", "file_name", "filename")


@dataclass(slots=True)  # not frozen: one is made of every row, and freezing triples the cost
class View:
    """The texts of one row."""

    question: str
    """All that was said before the last answer by anybody but the assistant, system text first."""

    answers: tuple[str, ...]
    """Texts of the assistant's turns that are not mere tool calls; of a completion its one text."""

    context: str | None
    """What an Alpaca record calls `input`."""

    text: str
    """Everything, turn after turn, each on lines of its own."""

    lower: str
    """`text` in lower case."""

    question_lower: str
    """`question` in lower case."""

    chat: bool
    """Whether it is a conversation rather than a text to continue."""

    example: Example

    @property
    def answer(self) -> str:
        """The last answer; empty without one."""
        return self.answers[-1] if self.answers else ""

    @property
    def has_media(self) -> bool:
        """Whether a field of the record may hold an image, a recording or a file."""
        return _names_media(self.example.fields)


def view(example: Example) -> View:
    """The row as the rules look at it."""
    if not isinstance(example, ChatExample):
        prompt, text = example.prompt, f"{example.prompt}\n{example.completion}"
        return View(prompt, (example.completion,), None, text, text.lower(), prompt.lower(), False, example)
    messages = example.messages
    if len(messages) == 2 and messages[0].role == "user" and messages[1].role == "assistant":
        return _pair(example, *messages)
    question = "\n".join(message.content for message in messages[: _last(messages)] if message.role != "assistant")
    answers = tuple(m.content for m in messages if m.role == "assistant" and (m.content or not m.tool_calls))
    contexts = [message.alpaca_input for message in messages if message.alpaca_input]
    text = "\n".join(message.content for message in messages)
    return View(
        question, answers, contexts[-1] if contexts else None, text, text.lower(), question.lower(), True, example
    )


def _pair(example: ChatExample, asked: Message, answered: Message) -> View:
    question, answer = asked.content, answered.content
    text = f"{question}\n{answer}"
    answers = () if answered.tool_calls and not answer else (answer,)
    return View(question, answers, asked.alpaca_input or None, text, text.lower(), question.lower(), True, example)


def _last(messages: tuple[Message, ...]) -> int:
    return next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "assistant"), len(messages))


def _names_media(fields: Mapping[str, Any]) -> bool:
    return any(value and any(word in str(name).lower() for word in MEDIA_FIELDS) for name, value in fields.items())
