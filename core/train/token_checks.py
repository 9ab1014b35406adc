"""Whether the tokens of all rows are what the model will meet when it is used: begin, end, padding, whole texts."""

import json
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from ..checks import Check
from ..errors import DataError, ModelError
from ..examples.chat import ChatTokenizer, tools_of
from ..examples.files import Prepared
from ..examples.mask import NOT_TRAINED, Rendered, render_example
from ..examples.template import REASONING_FIELDS
from ..examples.tool_names import loses_tools
from ..examples.types import ChatExample, Example
from ..untrusted import quote
from .rows import Row, Rows

RENDERED_ROWS = 500  # whose text is compared with the messages; rendering all would double the time of tokenising
SHOWN_TEXT = 30  # characters before an answer


def token_checks(
    rows: Rows, prepared: Prepared, tokenizer: ChatTokenizer, base: Path, vocabulary: int
) -> tuple[Check, ...]:
    """The checks of all rows' tokens, and of a sample's texts.

    Args:
        rows: The tokenised data.
        prepared: The examples it was made of.
        tokenizer: The base model's.
        base: The base model's folder.
        vocabulary: Tokens that the model has a vector for.

    Raises:
        ModelError: A row has a token that the model has no vector for.
    """
    parts = [part for row in chain(rows.train, rows.valid) for part in row.parts]
    _refuse_unknown(parts, vocabulary)
    return (
        _begin_check(parts, tokenizer),
        _stop_check(parts, tokenizer, base),
        _padding_check(parts, tokenizer),
        *_template_checks(prepared.train, tokenizer),
    )


def _refuse_unknown(parts: Sequence[Row], vocabulary: int) -> None:
    worst = max(parts, key=lambda part: max(part.input_ids))
    highest = max(worst.input_ids)
    if highest >= vocabulary:
        raise ModelError(
            f"The tokenizer writes token {highest} (row {worst.number}), but the model has vectors for {vocabulary:,} "
            "tokens only.",
            "Use the tokenizer that belongs to this model; tokens that were added to it need new vectors first.",
        )


def _begin_check(parts: Sequence[Row], tokenizer: ChatTokenizer) -> Check:
    name, begin = "Begin of text", tokenizer.bos_id
    if begin is None or begin in tokenizer.eos_ids:
        return Check(name=name, status="pass", details="The model has no begin-of-text token of its own.", count=0)
    shown = quote(tokenizer.decode([begin], skip_special=False))
    double = [part.number for part in parts if part.input_ids[:2] == [begin, begin]]
    if double:
        return Check(
            name=name,
            status="fail",
            details=f"{len(double)} rows begin with {shown} twice (row {double[0]} first), which the model never saw.",
            count=len(double),
            next_step="Take the token out of the rows' text: the chat template writes it already.",
        )
    without = [part.number for part in parts if part.input_ids[0] != begin]
    if tokenizer.adds_bos and without:
        return Check(
            name=name,
            status="warn",
            details=f"{len(without)} rows do not begin with {shown} (row {without[0]} first), though the tokenizer "
            "puts it before a plain text.",
            count=len(without),
            next_step="Look whether the chat template should write it: the model may not know texts without it.",
        )
    return Check(name=name, status="pass", details=f"No row begins with {shown} twice.", count=0)


def _stop_check(parts: Sequence[Row], tokenizer: ChatTokenizer, base: Path) -> Check:
    """Whether what is trained as the end of an answer is what generation stops at."""
    name = "Stop token"
    last = Counter(_last_trained(part) for part in parts)
    ends = {token: count for token, count in last.items() if token in tokenizer.eos_ids}
    file, stops = _stops(base)
    if not ends or file is None:
        details = "no answer ends with a token that ends a turn" if not ends else "the model names none"
        return Check(name=name, status="pass", details=f"Not compared: {details}.")
    shown = ", ".join(quote(tokenizer.decode([token], skip_special=False)) for token in ends)
    missed = {token: count for token, count in ends.items() if token not in stops}
    if missed:
        return Check(
            name=name,
            status="warn",
            details=f"The answers end with {shown}, but {file} lets generation stop at token "
            f"{', '.join(map(str, stops))} only: {sum(missed.values())} rows teach an end that nobody listens to.",
            count=sum(missed.values()),
            next_step=f"Add {', '.join(map(str, missed))} to eos_token_id in the model's {file}.",
        )
    return Check(name=name, status="pass", details=f"The answers end with {shown}, where {file} stops too.", count=0)


def _last_trained(part: Row) -> int:
    return next(label for label in reversed(part.labels) if label != NOT_TRAINED)


def _stops(base: Path) -> tuple[str | None, tuple[int, ...]]:
    """The file that says where generation stops, and the tokens."""
    for file in ("generation_config.json", "config.json"):
        try:
            found = json.loads((base / file).read_bytes()).get("eos_token_id")
        except (OSError, ValueError, AttributeError):
            continue
        if found is not None:
            return file, tuple(found) if isinstance(found, list) else (found,)
    return None, ()


def _padding_check(parts: Sequence[Row], tokenizer: ChatTokenizer) -> Check:
    name, pad = "Padding", tokenizer.pad_id
    if pad is None or pad not in tokenizer.eos_ids:
        own = "no padding token, so the end token pads" if pad is None else "a padding token of its own"
        return Check(name=name, status="pass", details=f"The tokenizer has {own}; padding is never trained.", count=0)
    trained = sum(part.labels.count(pad) for part in parts)
    return Check(
        name=name,
        status="pass",
        details=f"The padding token is an end token too. Padding is left out by its place, not by its token, so the "
        f"end stays trained: {trained:,} times.",
        count=0,
    )


def _template_checks(examples: Sequence[Example], tokenizer: ChatTokenizer) -> tuple[Check, ...]:
    """Whether the template writes all that the rows say, and before an answer what it writes to ask for one."""
    every = -(-len(examples) // RENDERED_ROWS)
    numbered = [(n, one) for n, one in enumerate(examples, start=1) if (n - 1) % every == 0]
    looked = [(n, one, render_example(one, tokenizer)) for n, one in numbered if isinstance(one, ChatExample)]
    losses = {
        "what a message says": [n for n, one, rendered in looked if _loses_text(one, rendered.text)],
        "the tools": [n for n, one, rendered in looked if loses_tools(one, rendered.text)],
    }
    unasked = [(n, one, rendered) for n, one, rendered in looked if _begun_otherwise(one, rendered, tokenizer)]
    checks = (_whole_check(losses, len(numbered)), _prompt_check(unasked, len(numbered), tokenizer))
    return tuple(check for check in checks if check)


def _whole_check(losses: dict[str, list[int]], looked: int) -> Check:
    found = [
        f"{what} in {len(rows)} of {looked} rows looked at (row {rows[0]} first)"
        for what, rows in losses.items()
        if rows
    ]
    if not found:
        details = f"The chat template writes every message whole, in {looked} rows looked at."
        return Check(name="Template", status="pass", details=details, count=0)
    return Check(
        name="Template",
        status="warn",
        details=f"The chat template leaves out or alters {', and '.join(found)}: the model learns from less than the "
        "data has.",
        count=len({row for rows in losses.values() for row in rows}),
        next_step="Compare such a row with the mask preview; reasoning in earlier turns and definitions of tools are "
        "the usual victims. A model whose template writes them learns from them.",
    )


def _prompt_check(
    unasked: Sequence[tuple[int, ChatExample, Rendered]], looked: int, tokenizer: ChatTokenizer
) -> Check | None:
    """Whether the text before an answer is the one that a server begins an answer with; None when it is."""
    if not unasked:
        return None
    number, example, rendered = unasked[0]
    asked, written = _asked(example, tokenizer), rendered.text[: rendered.spans[-1].start]
    details = f"In {len(unasked)} of {looked} rows looked at (row {number} first) the last answer comes after "
    details += quote(written[-SHOWN_TEXT:])
    details += f", but a server asks for it with {quote(asked[-SHOWN_TEXT:])}." if asked else ", which no server asks."
    return Check(
        name="Generation prompt",
        status="warn",
        details=f"{details} The model is trained on another beginning than it will meet.",
        count=len(unasked),
        next_step="Where the template opens a thinking part, give the answers their reasoning (reasoning_content), or "
        "serve with thinking switched off; then compare the samples of `evaluate`.",
    )


def _begun_otherwise(example: ChatExample, rendered: Rendered, tokenizer: ChatTokenizer) -> bool:
    if not rendered.spans or not rendered.spans[-1].located:
        return False
    asked = _asked(example, tokenizer)
    return asked is None or not rendered.text.startswith(asked)


def _asked(example: ChatExample, tokenizer: ChatTokenizer) -> str | None:
    """What a server writes to ask for the last answer to learn; None when the template refuses that."""
    last = max(place for place, message in enumerate(example.messages) if message.trained)
    try:
        return tokenizer.render(example.messages[:last], add_generation_prompt=True, tools=tools_of(example))
    except DataError:
        return None


def _loses_text(example: ChatExample, text: str) -> bool:
    said = [message.content for message in example.messages]
    thought = [message.fields.get(name) for message in example.messages for name in REASONING_FIELDS]
    return any(isinstance(one, str) and one.strip() not in text for one in (*said, *thought))
