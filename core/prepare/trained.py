"""What training would make of each row: its length, what is cut off, what is learned, what the template loses."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import DataError
from ..examples.chat import ChatTokenizer
from ..examples.convert import SHAREGPT_ROLES
from ..examples.mask import Marked, Rendered, mark_many, render_example
from ..examples.types import ChatExample, Example, Format
from .faults import faults_of


class Trained(NamedTuple):
    """One row as training sees it."""

    total: int = 0
    """Tokens of the whole row, template included; 0 where the template refuses it."""

    trained: int = 0
    """Tokens with a loss, before cutting."""

    lost: int = 0
    """Tokens beyond max_length."""

    lost_trained: int = 0
    """Trained tokens among those."""

    trained_left: int = 0
    """Trained tokens that are left; 0 when the row teaches nothing."""

    loses_end: int = 0
    """Answers that are cut short, so that their end is not learned."""

    unended: int = 0
    """Answers after which the template writes no end-of-turn token."""

    refused: str | None = None
    """Why the template refuses the row."""

    faults: tuple[str, ...] = ()
    """Names, of `FAULTS`, of what the round trip through the template found."""

    by_text: tuple[int, ...] = ()
    """Tokens of each message (of prompt and completion), as they stand in the training text."""

    input_tokens: int = 0
    """Those of them that are the `input` of an Alpaca record."""


def look(examples: Sequence[Example], chat: ChatTokenizer, max_length: int | None) -> list[Trained]:
    """Render, mask and count rows with the code that training uses, in their order."""
    rendered: list[Rendered] = []
    found: list[str | None] = []
    for example in examples:
        try:
            rendered.append(_encodable(render_example(example, chat)))
            found.append(None)
        except DataError as error:
            found.append(error.problem)
    marked = iter(mark_many(rendered, chat))
    return [
        Trained(refused=reason) if reason else _look(example, next(marked), chat, max_length)
        for example, reason in zip(examples, found, strict=True)
    ]


def _encodable(rendered: Rendered) -> Rendered:
    try:
        if not rendered.text.isascii():
            rendered.text.encode()
    except UnicodeEncodeError as error:
        raise DataError("The text holds half a character (a lone surrogate).", "Repair the row.") from error
    return rendered


def _look(example: Example, marked: Marked, chat: ChatTokenizer, max_length: int | None) -> Trained:
    total = len(marked)
    trained = left = marked.trained_before(total)
    lost = loses_end = 0
    if max_length is not None and total > max_length:
        lost, left = total - max_length, marked.trained_before(max_length)
        loses_end = sum(first < max_length < last for first, last in _answers(marked))
    places = list(_places(example, marked.rendered.text))
    return Trained(
        total=total,
        trained=trained,
        lost=lost,
        lost_trained=trained - left,
        trained_left=left,
        loses_end=loses_end,
        unended=sum([not span.ends_turn for span in marked.rendered.spans]),
        faults=tuple(faults_of(example, marked, chat, places)),
        by_text=tuple([_covered(marked, place) for place in places]),
        input_tokens=_input_tokens(example, marked, places),
    )


def _answers(marked: Marked) -> list[tuple[int, int]]:
    """The trained stretches with the end-of-text token of a completion joined to its text."""
    if marked.rendered.last_ids:
        return [(marked.trained[0][0], len(marked))]
    return list(marked.trained)


def _places(example: Example, text: str) -> Iterator[tuple[int, int] | None]:
    """Where each message's text stands in the rendering, in their order; None where it is missing."""
    if not isinstance(example, ChatExample):
        yield 0, len(example.prompt)
        yield len(example.prompt), len(text)
        return
    after = 0
    for message in example.messages:
        said = message.content.strip()
        at = text.find(said, after)
        if at >= 0:
            after = at + len(said)
            yield at, after
        else:  # moved to the front, as some templates do with a late system turn
            at = text.find(said)
            again = sum(other.content.strip() == said for other in example.messages)
            yield (at, at + len(said)) if at >= 0 and text.count(said) >= again else None


def _covered(marked: Marked, place: tuple[int, int] | None) -> int:
    if place is None or place[0] == place[1]:
        return 0
    first, last = marked.tokens.covering(*place)
    return last - first


def _input_tokens(example: Example, marked: Marked, places: list[tuple[int, int] | None]) -> int:
    if not isinstance(example, ChatExample):
        return 0
    count = 0
    for message, place in zip(example.messages, places, strict=False):
        if message.alpaca_input and place is not None:
            count += _covered(marked, (max(place[0], place[1] - len(message.alpaca_input.strip())), place[1]))
    return count


def tokens_by_field(example: Example, found: Trained, format: Format) -> dict[str, int]:
    """The tokens of a row's fields in this format, or of its roles; without what the template writes around them."""
    if not isinstance(example, ChatExample):
        return dict(zip(("prompt", "completion"), found.by_text, strict=False))
    names = [message.role for message in example.messages]
    if format == "sharegpt":
        names = [SHAREGPT_ROLES[name] for name in names]
    elif format == "alpaca":
        names = [name if name == "system" else "history" for name in names]
        names[-2:] = ("instruction", "output")[-len(names) :]
    counts: dict[str, int] = {}
    for name, count in zip(names, found.by_text, strict=False):
        counts[name] = counts.get(name, 0) + count
    if format == "alpaca" and found.input_tokens:
        counts["instruction"] -= found.input_tokens
        counts["input"] = found.input_tokens
    return counts
