"""What training would make of all rows together: what it cuts off, what the template loses, whether answers end."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import Check, CheckStatus
from .faults import FAULTS
from .result import Truncation
from .row import Place
from .store import Store
from .trained import Trained
from .wording import counted

MANY = 0.01  # share of rows that teach nothing, or not what they say, from which the set is not fit for training
ROW_TOKENS = "tokens:row"  # the column of whole rows that `measure` reads: tokens + 1, 0 for none
FATAL = ("text_missing_system", "text_missing_user", "text_missing_assistant", "text_missing_tool", "tools_lost")
REFUSED = 1 << len(FAULTS)  # in the column of faults, beside one bit for each


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


def trained_checks(store: Store, max_length: int | None, refused: Mapping[str, Place]) -> list[Check]:
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
