"""A row as training reads it, to be looked at."""

import numpy as np
import orjson

from ..examples.chat import ChatTokenizer
from ..examples.dialects import read_record
from ..examples.mask import render_example
from ..examples.types import Example
from .store import Store
from .trained_checks import ROW_TOKENS

SHOWN = 400  # characters of one stretch of the preview


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
