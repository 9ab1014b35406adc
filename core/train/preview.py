"""Sample rows token by token, so that a person sees what is learned."""

from collections.abc import Sequence
from itertools import groupby

from ..examples.chat import ChatTokenizer
from ..examples.mask import NOT_TRAINED
from ..untrusted import clean
from .rows import Row

HEAD, TAIL = 24, 12  # tokens shown of a longer stretch
TRAINED, OPEN, CLOSE, BETWEEN = "trained", "[", "]", "|"
LEGEND = "Between | each token; in [ ] those that are trained; ⏎ is a line break."
LIMIT = 4_000  # characters of a row


def preview(rows: Sequence[Row], tokenizer: ChatTokenizer) -> str:
    """The first row, the one with the smallest trained share, and the longest one; each once, a pair with both answers.

    Stretches of many tokens are shortened in the middle, with the number of tokens that are left out.
    """
    share = {row.number: sum(label != NOT_TRAINED for label in row.labels) / len(row.labels) for row in rows}
    chosen = {
        rows[0].number: rows[0],
        **{row.number: row for row in (min(rows, key=lambda row: share[row.number]),)},
        **{row.number: row for row in (max(rows, key=lambda row: len(row.input_ids)),)},
    }
    shown = [_shown(row, name, tokenizer) for row in chosen.values() for name, row in _sides(row)]
    return "\n\n".join([LEGEND, *shown])


def _sides(row: Row) -> list[tuple[str, Row]]:
    if row.rejected is None:
        return [(f"Row {row.number}", row)]
    return [(f"Row {row.number}, chosen", row), (f"Row {row.number}, rejected", row.rejected)]


def _shown(row: Row, name: str, tokenizer: ChatTokenizer) -> str:
    trained = [label != NOT_TRAINED for label in row.labels]
    stretches = []
    for learned, group in groupby(zip(row.input_ids, trained, strict=True), key=lambda pair: pair[1]):
        text = _stretch([token for token, _ in group], tokenizer)
        stretches.append(OPEN + text + CLOSE if learned else text)
    head = f"{name}: {len(row.input_ids):,} tokens, {sum(trained):,} trained"
    return f"{head}\n{clean(BETWEEN.join(stretches), LIMIT)}"


def _stretch(tokens: list[int], tokenizer: ChatTokenizer) -> str:
    if len(tokens) <= HEAD + TAIL + 1:
        return BETWEEN.join(_text(token, tokenizer) for token in tokens)
    left_out = len(tokens) - HEAD - TAIL
    parts = (tokens[:HEAD], tokens[-TAIL:])
    first, last = (BETWEEN.join(_text(token, tokenizer) for token in part) for part in parts)
    return f"{first}{BETWEEN} … {left_out:,} more … {BETWEEN}{last}"


def _text(token: int, tokenizer: ChatTokenizer) -> str:
    """One token; a piece of a character that several tokens make up shows as its number."""
    text = tokenizer.decode([token], skip_special=False)
    return f"<{token}>" if "\ufffd" in text or not text else text.replace("\n", "⏎").replace("\t", "⇥")
