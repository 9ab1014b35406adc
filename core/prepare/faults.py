"""What a row loses on its way through the model's chat template, and what the template adds to it."""

from collections.abc import Iterator, Sequence

from ..examples.chat import ChatTokenizer
from ..examples.mask import Marked
from ..examples.template import REASONING_FIELDS
from ..examples.tool_names import loses_tools
from ..examples.types import ChatExample, Example, Message

FAULTS = {
    "text_missing_system": "the template leaves out text of the system turn",
    "text_missing_user": "the template leaves out text of a user turn",
    "text_missing_assistant": "the template leaves out text of an answer",
    "text_missing_tool": "the template leaves out text of a tool's reply",
    "tools_lost": "the template leaves out tool definitions or calls",
    "reasoning_lost": "the template leaves out reasoning",
    "double_bos": "the text begins with two begin-of-text tokens",
    "generation_prompt_not_prefix": "the text before the answer is not the prompt that generation starts from",
    "end_not_trained": "an answer's end of turn is not the token that ends generation",
}


def faults_of(
    example: Example, marked: Marked, chat: ChatTokenizer, places: Sequence[tuple[int, int] | None]
) -> Iterator[str]:
    """Names, of `FAULTS`, of what is wrong with a rendered row; places: where its messages stand, None for nowhere."""
    text, spans = marked.rendered.text, marked.rendered.spans
    if isinstance(example, ChatExample):
        yield from _lost(example, text, places)
    if _begins_twice(marked, chat):
        yield "double_bos"
    if spans and spans[-1].located:
        yield "generation_prompt_not_prefix"
    if not marked.rendered.last_ids:  # else the last trained token is the end-of-text token itself
        for span, (first, last) in zip(spans, marked.trained, strict=True):
            if span.ends_turn and (last <= first or marked.tokens.ids[last - 1] not in chat.eos_ids):
                yield "end_not_trained"
                return


def _begins_twice(marked: Marked, chat: ChatTokenizer) -> bool:
    if chat.bos_id is None or len(marked) < 2:
        return False
    if marked.rendered.first_ids:
        return marked.tokens.ids[0] == chat.bos_id
    return marked.tokens.ids[0] == chat.bos_id == marked.tokens.ids[1]


def _lost(example: ChatExample, text: str, places: Sequence[tuple[int, int] | None]) -> Iterator[str]:
    cut_reasoning = False
    if None in places:
        missing = [message for message, place in zip(example.messages, places, strict=True) if place is None]
        whole = [message for message in missing if not _only_reasoning_lost(message, text)]
        yield from sorted({f"text_missing_{message.role}" for message in whole})
        cut_reasoning = len(whole) < len(missing)
    if loses_tools(example, text):
        yield "tools_lost"
    if cut_reasoning or not _keeps_reasoning(example, text):
        yield "reasoning_lost"


def _only_reasoning_lost(message: Message, text: str) -> bool:
    """Whether just the thinking in front of an answer is left out, as templates do with earlier answers."""
    _, mark, answer = message.content.rpartition("</think>")
    return bool(mark) and answer.strip() in text


def _keeps_reasoning(example: ChatExample, text: str) -> bool:
    """Whether the reasoning that the answers to be learned carry beside their content is in the text."""
    for message in example.messages:
        if message.fields and message.trained:
            own = next((message.fields[name] for name in REASONING_FIELDS if message.fields.get(name)), None)
            if isinstance(own, str) and own.strip() not in text:
                return False
    return True
