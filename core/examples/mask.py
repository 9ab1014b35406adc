"""Which tokens are trained: the assistant's answers through their end-of-turn token, and nothing else.

The one masking code: what `prepare` checks is what `train` learns and `evaluate` measures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import DataError
from .chat import ChatTokenizer, Tokens, tools_of
from .types import ChatExample, CompletionExample, Example, Message

NOT_TRAINED = -100
SENTINEL = "\ue000answer\ue001"  # private use: in no real text, and no template splits or trims it


@dataclass(slots=True)  # not frozen: some are made of every row, and freezing triples the cost
class Span:
    """A trained stretch of a text, from character `start` up to `end`."""

    start: int
    end: int

    ends_turn: bool
    """Whether an end-of-turn token closes it; without one a model does not learn to stop."""

    located: bool
    """Whether it was found by its place in the text, because the text before it is not the generation prompt."""


@dataclass(slots=True)  # not frozen: some are made of every row, and freezing triples the cost
class Rendered:
    """An example as text, before tokenising."""

    text: str
    spans: tuple[Span, ...]

    first_ids: tuple[int, ...] = ()
    """Tokens put before the text (a begin-of-text token, for a plain text)."""

    last_ids: tuple[int, ...] = ()
    """Trained tokens put after the text (an end-of-text token, for a plain text)."""


@dataclass(frozen=True, slots=True)
class Tokenized:
    """An example as a model is trained on it; `labels[n]` is `input_ids[n]` where it is trained, else -100."""

    input_ids: list[int]
    labels: list[int]

    lost_tokens: int
    """Tokens beyond `max_length`, which were cut off."""

    lost_trained_tokens: int
    """Trained tokens among those."""

    trained_tokens: int
    """Trained tokens that are left; 0 when the model learns nothing from this example."""

    located_turns: int = 0
    """Answers found by their place: the template writes them otherwise than it asks for them, or alters older ones."""

    unended_turns: int = 0
    """Answers after which the template writes no end-of-turn token: the model does not learn to stop there."""


@dataclass(slots=True)  # not frozen: some are made of every row, and freezing triples the cost
class Marked:
    """A rendered example as tokens, whole."""

    rendered: Rendered
    tokens: Tokens
    """Those of the text alone."""

    trained: tuple[tuple[int, int], ...]
    """First token and the one after the last of each trained stretch, `first_ids` counted too."""

    def __len__(self) -> int:
        return len(self.rendered.first_ids) + len(self.tokens.ids) + len(self.rendered.last_ids)

    def ids(self) -> list[int]:
        """All tokens."""
        inner = self.tokens.ids
        inner = inner.tolist() if isinstance(inner, np.ndarray) else inner
        return [*self.rendered.first_ids, *inner, *self.rendered.last_ids]

    def trained_before(self, cut: int) -> int:
        """How many of the first `cut` tokens are trained."""
        count = done = 0
        for first, last in self.trained:  # a token that ends one answer and starts the next counts once
            first, last = max(first, done), min(last, cut)
            count += max(0, last - first)
            done = max(done, last)
        return count


def tokenize(example: Example, tokenizer: ChatTokenizer, max_length: int | None) -> Tokenized:
    """Tokens and labels of one example, cut after the first `max_length` tokens (None: never cut).

    Raises:
        DataError: The chat template refuses the conversation or leaves out an answer.
    """
    rendered = render_example(example, tokenizer)
    return _labelled(_marked(rendered, tokenizer.encode_with_offsets(rendered.text)), max_length)


def tokenize_many(examples: Iterable[Example], tokenizer: ChatTokenizer, max_length: int | None) -> list[Tokenized]:
    """`tokenize` of many examples, several times faster than one by one.

    Raises:
        DataError: The chat template refuses an example; the error names its number, counted from 1.
    """
    rendered = []
    for number, example in enumerate(examples, start=1):
        try:
            rendered.append(render_example(example, tokenizer))
        except DataError as error:
            raise DataError(f"Example {number}: {error.problem}", error.next_step) from error
    return tokenize_rendered(rendered, tokenizer, max_length)


def tokenize_rendered(
    rendered: Sequence[Rendered], tokenizer: ChatTokenizer, max_length: int | None
) -> list[Tokenized]:
    """Tokens and labels of rendered examples, in their order."""
    return [_labelled(one, max_length) for one in mark_many(rendered, tokenizer)]


def mark_many(rendered: Sequence[Rendered], tokenizer: ChatTokenizer) -> list[Marked]:
    """The tokens of rendered examples and which of them are trained, in their order."""
    encoded = tokenizer.encode_many(one.text for one in rendered)
    return [_marked(one, tokens) for one, tokens in zip(rendered, encoded, strict=True)]


def _marked(rendered: Rendered, tokens: Tokens) -> Marked:
    """A token is trained when it covers at least one character of a span."""
    shift = len(rendered.first_ids)
    covering = [tokens.covering(span.start, span.end) for span in rendered.spans]
    trained = [(shift + first, shift + last) for first, last in covering]
    if rendered.last_ids:
        end = shift + len(tokens.ids)
        trained.append((end, end + len(rendered.last_ids)))
    return Marked(rendered, tokens, tuple(trained))


def render_example(example: Example, tokenizer: ChatTokenizer) -> Rendered:
    """The example's text and the stretches of it that are trained.

    Raises:
        DataError: The chat template refuses the conversation or leaves out an answer.
    """
    if isinstance(example, CompletionExample):
        return _rendered_completion(example, tokenizer)
    written = None if tools_of(example) else tokenizer.layouts.write(example)
    if written is None:
        return _rendered_chat(example, tokenizer)
    spans = (_ended(written.text, start, end, tokenizer.end_texts) for start, end in written.answers)
    rendered = Rendered(written.text, tuple(spans))
    if written.check and rendered != (slowly := _rendered_chat(example, tokenizer)):
        tokenizer.layouts.distrust()
        return slowly
    return rendered


def _rendered_chat(example: ChatExample, tokenizer: ChatTokenizer) -> Rendered:
    chat = _Chat(example, tokenizer)
    return Rendered(chat.text, tuple(chat.span(i) for i, message in enumerate(example.messages) if message.trained))


def _rendered_completion(example: CompletionExample, tokenizer: ChatTokenizer) -> Rendered:
    text = example.prompt + example.completion
    first = () if not tokenizer.bos_text(text) or tokenizer.bos_id is None else (tokenizer.bos_id,)
    ended = text.endswith(tokenizer.end_texts)
    last = () if ended or tokenizer.eos_id is None else (tokenizer.eos_id,)
    return Rendered(text, (Span(len(example.prompt), len(text), ended or bool(last), located=False),), first, last)


class _Chat:
    """One conversation with its rendering, in which answers are looked up."""

    def __init__(self, example: ChatExample, tokenizer: ChatTokenizer) -> None:
        self.messages = example.messages
        self.tokenizer = tokenizer
        self.tools = tools_of(example)
        self.text = self.render(example.messages)

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
        return self.tokenizer.render(messages, add_generation_prompt, self.tools)

    def span(self, index: int) -> Span:
        """The answer at `index`: what the template writes between the generation prompt and the next turn."""
        try:
            before = self.render(self.messages[:index], add_generation_prompt=True)
            last = index == len(self.messages) - 1
            after = self.text if last else self.render(self.messages[: index + 1])
        except DataError:  # some templates refuse a beginning of a conversation that they accept as a whole
            return self.located(index)
        if self.text.startswith(after) and after.startswith(before):
            return _ended(self.text, len(before), len(after), self.tokenizer.end_texts)
        return self.located(index)

    def located(self, index: int) -> Span:
        """The answer found by rendering the conversation with a stand-in at its place."""
        marked = replace(self.messages[index], content=SENTINEL, tool_calls=None)
        text = self.render([*self.messages[:index], marked, *self.messages[index + 1 :]])
        start = text.find(SENTINEL)
        if start < 0 or not self.text.startswith(text[:start]):
            raise DataError(
                f"The chat template does not write answer {index + 1} where it can be found.",
                "Train on a model whose chat template writes each answer as it is.",
            )
        rest = text[start + len(SENTINEL) :]
        end = max(start, len(self.text) - len(rest)) if self.text.endswith(rest) else self.first_end(start)
        mark = next((mark for mark in self.tokenizer.end_texts if self.text[end:].lstrip().startswith(mark)), None)
        if mark is not None:
            end = self.text.index(mark, end) + len(mark)
        return replace(_ended(self.text, start, end, self.tokenizer.end_texts), located=True)

    def first_end(self, start: int) -> int:
        """Where the first end-of-turn token after `start` begins; the end of the text when there is none."""
        found = [self.text.find(mark, start) for mark in self.tokenizer.end_texts]
        return min((at for at in found if at >= 0), default=len(self.text))


def _ended(text: str, start: int, end: int, end_texts: tuple[str, ...]) -> Span:
    """The stretch without the white space and the closing tokens that follow its first end-of-turn token."""
    stretch = text[start:end].rstrip()
    while mark := _end_mark(stretch, end_texts):
        inner = stretch.removesuffix(mark).rstrip()
        if not _end_mark(inner, end_texts):
            return Span(start, start + len(stretch), ends_turn=True, located=False)
        stretch = inner
    return Span(start, start + len(stretch), ends_turn=False, located=False)


def _end_mark(stretch: str, end_texts: tuple[str, ...]) -> str:
    if not stretch.endswith(end_texts):
        return ""
    return next(mark for mark in end_texts if stretch.endswith(mark))


def _labelled(marked: Marked, max_length: int | None) -> Tokenized:
    ids = marked.ids()
    labels = [NOT_TRAINED] * len(ids)
    for first, last in marked.trained:
        labels[first:last] = ids[first:last]
    cut = len(ids) if max_length is None else max_length
    left = marked.trained_before(cut)
    return Tokenized(
        input_ids=ids[:cut],
        labels=labels[:cut],
        lost_tokens=len(ids) - len(ids[:cut]),
        lost_trained_tokens=marked.trained_before(len(ids)) - left,
        trained_tokens=left,
        located_turns=sum(span.located for span in marked.rendered.spans),
        unended_turns=sum(not span.ends_turn for span in marked.rendered.spans),
    )
