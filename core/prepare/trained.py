"""What training would make of each row: its length, what is cut off, what is learned, what the template loses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from ..checks import Check, CheckStatus
from ..errors import DataError
from ..examples.chat import ChatTokenizer, tools_of
from ..examples.convert import SHAREGPT_ROLES
from ..examples.dialects import read_record
from ..examples.mask import Marked, Rendered, mark_many, render_example
from ..examples.template import REASONING_FIELDS
from ..examples.types import ChatExample, Example, Format, Message
from .result import Truncation
from .row import Place
from .store import Store
from .wording import counted

MANY = 0.01  # share of rows that teach nothing, or not what they say, from which the set is not fit for training
ROW_TOKENS = "tokens:row"  # the column of whole rows that `measure` reads: tokens + 1, 0 for none
SHOWN = 400  # characters of one stretch of the preview
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
FATAL = ("text_missing_system", "text_missing_user", "text_missing_assistant", "text_missing_tool", "tools_lost")
REFUSED = 1 << len(FAULTS)  # in the column of faults, beside one bit for each


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
        faults=tuple(_faults(example, marked, chat, places)),
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


def _faults(
    example: Example, marked: Marked, chat: ChatTokenizer, places: list[tuple[int, int] | None]
) -> Iterator[str]:
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


def _lost(example: ChatExample, text: str, places: list[tuple[int, int] | None]) -> Iterator[str]:
    cut_reasoning = False
    if None in places:
        missing = [message for message, place in zip(example.messages, places, strict=True) if place is None]
        whole = [message for message in missing if not _only_reasoning_lost(message, text)]
        yield from sorted({f"text_missing_{message.role}" for message in whole})
        cut_reasoning = len(whole) < len(missing)
    if "tools" in example.fields or any(message.tool_calls for message in example.messages):
        names = _tool_names(example)
        if not names <= _found(names, text):
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


def _tool_names(example: ChatExample) -> set[str]:
    """The names of the tools that the row defines or calls."""
    calls = [call for message in example.messages for call in message.tool_calls or ()]
    names = (_tool_name(tool) for tool in (*(tools_of(example) or ()), *calls))
    return {name for name in names if name}


def _tool_name(tool: Mapping[str, Any]) -> str | None:
    function = tool.get("function")
    name = (function if isinstance(function, Mapping) else tool).get("name")
    return name if isinstance(name, str) else None


def _found(names: set[str], text: str) -> set[str]:
    return {name for name in names if name in text or orjson.dumps(name).decode()[1:-1] in text}


def columns(found: Sequence[Trained]) -> dict[str, NDArray[Any]]:
    """The numbers of rows as `truncation` and `checks` read them; the whole row's tokens as `Measure` writes them."""
    bits = {name: 1 << number for number, name in enumerate(FAULTS)}
    return {
        ROW_TOKENS: np.array([0 if one.refused else one.total + 1 for one in found], dtype=np.int32),
        "lost_trained": np.array([one.lost_trained for one in found], dtype=np.int32),
        "trained_left": np.array([one.trained_left for one in found], dtype=np.int32),
        "loses_end": np.array([min(one.loses_end, 255) for one in found], dtype=np.uint8),
        "unended": np.array([one.unended > 0 for one in found], dtype=bool),
        "faults": np.array(
            [REFUSED if one.refused else sum(bits[name] for name in one.faults) for one in found], dtype=np.uint16
        ),
    }


def truncation(store: Store, max_length: int | None) -> Truncation:
    """What training at max_length would cut off from the rows that are left and that the template takes."""
    totals = _kept(store, ROW_TOKENS)
    taken = totals > 0
    totals = totals[taken] - 1
    over = totals[totals > max_length] - max_length if max_length is not None else totals[:0]
    return Truncation(
        max_length=max_length,
        rows_over=len(over),
        lost_tokens=int(over.sum(dtype=np.int64)),
        lost_trained_tokens=int(_kept(store, "lost_trained").sum(dtype=np.int64)),
        answers_without_end=int(_kept(store, "loses_end").sum(dtype=np.int64)),
        rows_without_trained_token=int((_kept(store, "trained_left")[taken] == 0).sum()),
        length_for_99_percent=_holds_99_percent(totals),
    )


def _kept(store: Store, name: str) -> NDArray[Any]:
    return store.column(name)[store.kept]


def _holds_99_percent(totals: NDArray[Any]) -> int:
    """The smallest length that keeps 99% of the rows whole; 0 without rows."""
    if not len(totals):
        return 0
    place = max(0, -(-len(totals) * 99 // 100) - 1)
    return int(np.partition(totals, place)[place])


def checks(store: Store, max_length: int | None, refused: Mapping[str, Place]) -> list[Check]:
    """Max Length, Chat Template and Loss Mask over the rows that are left.

    Args:
        store: With the columns that `columns` made.
        max_length: Tokens after which training cuts a row; None: never.
        refused: Reasons for which the template refuses rows, with one place each.
    """
    cut = truncation(store, max_length)
    return [_length_check(cut), _template_check(store, refused), _mask_check(store, cut)]


def _length_check(cut: Truncation) -> Check:
    enough = f"{cut.length_for_99_percent:,} tokens hold 99% of the rows whole"
    if cut.max_length is None:
        return Check(name="Max Length", status="pass", details=f"no max_length asked for; {enough}")
    if not cut.rows_over:
        return Check(name="Max Length", status="pass", details=f"0 rows above {cut.max_length:,} tokens", count=0)
    details = (
        f"{counted(cut.rows_over, 'row')} above {cut.max_length:,} tokens: training would cut off "
        f"{cut.lost_tokens:,} tokens, {cut.lost_trained_tokens:,} of them trained"
    )
    if cut.answers_without_end:
        details += f", and {counted(cut.answers_without_end, 'answer')} would lose the end"
    return Check(name="Max Length", status="warn", details=details, count=cut.rows_over, next_step=f"{enough}.")


def _template_check(store: Store, refused: Mapping[str, Place]) -> Check:
    bits = _kept(store, "faults")
    if count := int((bits & REFUSED > 0).sum()):
        why = next(iter(refused), "it raised an error")
        details = f"the model's chat template refuses {counted(count, 'row')}: {why}"
        step = "Read the rows flagged template_refused in ledger.jsonl; training cannot use them."
        return Check(name="Chat Template", status="fail", details=details, count=count, next_step=step)
    counts = {name: int((bits >> number & 1).sum()) for number, name in enumerate(FAULTS)}
    found = {name: count for name, count in counts.items() if count and name != "end_not_trained"}
    if not found:
        details = "every row comes through whole: all text in, one begin of text, the generation prompt before answers"
        return Check(name="Chat Template", status="pass", details=details, count=0)
    details = "; ".join(f"{FAULTS[name]} ({counted(count, 'row')})" for name, count in found.items())
    fatal = any(count > MANY * len(bits) for name, count in found.items() if name in FATAL)
    step = "Read the rows flagged in ledger.jsonl; choose a model whose template writes all of them, or drop them."
    status: CheckStatus = "fail" if fatal else "warn"
    count = int((bits & ~np.uint16(1 << list(FAULTS).index("end_not_trained")) > 0).sum())
    return Check(name="Chat Template", status=status, details=details, count=count, next_step=step)


def _mask_check(store: Store, cut: Truncation) -> Check:
    bare = cut.rows_without_trained_token
    if bare:
        status: CheckStatus = "fail" if bare > MANY * store.kept_count else "warn"
        details, step = f"{counted(bare, 'row')} with no trained token left", "Raise max_length or shorten these rows."
        return Check(name="Loss Mask", status=status, details=details, count=bare, next_step=step)
    other_end = _kept(store, "faults") >> list(FAULTS).index("end_not_trained") & 1 > 0
    unended = int((_kept(store, "unended") | other_end).sum())
    if unended:
        details = f"{counted(unended, 'row')} with an answer without end-of-turn token"
        step = "Check the model's chat template: it would not learn to stop."
        return Check(name="Loss Mask", status="warn", details=details, count=unended, next_step=step)
    details = "every row has trained tokens, and every answer an end-of-turn token"
    return Check(name="Loss Mask", status="pass", details=details, count=0)


def preview_of(store: Store, chat: ChatTokenizer) -> str | None:
    """The preview of a row of middling length; None when the template refuses all rows."""
    totals = store.column(ROW_TOKENS)
    rows = np.flatnonzero(store.kept & (totals > 0))
    if not len(rows):
        return None
    middle = rows[np.argsort(totals[rows], kind="stable")[len(rows) // 2]]
    return preview(read_record(orjson.loads(store.line(int(middle)))), chat)


def preview(example: Example, chat: ChatTokenizer) -> str:
    """The row as training reads it, special tokens and all: trained stretches between ⟦ and ⟧, long ones shortened.

    Raises:
        DataError: The template refuses the row.
    """
    rendered = render_example(example, chat)
    text, shown, at = rendered.text, [chat.decode(rendered.first_ids, skip_special=False)], 0
    for span in rendered.spans:
        end = chat.decode(rendered.last_ids, skip_special=False)
        shown += [_shortened(text[at : span.start]), "⟦", _shortened(text[span.start : span.end]), end, "⟧"]
        at = span.end
    return "".join([*shown, _shortened(text[at:])])


def _shortened(text: str) -> str:
    """The stretch with its middle left out when it is long; brackets of its own cannot be taken for the marks."""
    text = text.replace("⟦", "[").replace("⟧", "]")
    if len(text) <= SHOWN:
        return text
    return f"{text[: SHOWN * 2 // 3]} … {len(text) - SHOWN:,} characters … {text[-(SHOWN // 3) :]}"
