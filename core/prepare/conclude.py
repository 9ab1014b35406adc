"""The result: what was found, checked and written."""

from collections import Counter

import numpy as np
import orjson

from ..checks import Check
from ..errors import DataError, InputError
from ..examples.dialects import read_record
from ..untrusted import quote
from .balance import balance, balance_checks
from .books import Books
from .clean import cleaning_checks
from .contamination import contamination_checks
from .convert import conversion_checks
from .inventory import dialect_checks, files_check
from .languages import UNKNOWN
from .measure import estimated_length_check, lengths, statistics
from .personal_step import personal_data_check
from .preview import preview_of
from .result import Balance, PrepareResult, Suspect
from .settle import Settlement, duplicate_checks
from .split import split_checks
from .store import Store
from .texts import texts_of
from .tool_calls import tool_call_checks
from .trained_checks import trained_checks, truncation
from .verdict import accounting_check, ordered, reading_checks, source_of, warnings
from .wording import counted
from .worth import Worth, shown
from .write import write

EXCERPT_LETTERS = 240
MOST_TURNS = 20
OTHERS = 0.01  # share of rows in other languages from which a set is mixed


def conclude(books: Books, settlement: Settlement) -> PrepareResult:
    """Check everything, write the files, and say what there is.

    Raises:
        DataError: The rows do not add up; nothing has been written.
        InputError: A row that was to be restored is not in the data; nothing has been written.
    """
    _require_restored(books)
    request, store, ledger = books.plan.request, books.store, books.ledger
    found = balance(settlement.class_field, books.tally, store, hide=request.pii in ("redact", "drop", "report"))
    checks = _checks(books, settlement, found)
    dropped = dict(ledger.dropped.most_common())
    near, exact = dropped.get("near_duplicate", 0), dropped.get("duplicate", 0)
    rows = (books.rows_read, store.kept_count)
    return PrepareResult(
        source=source_of(books.plan.files, books.tally, books.rows_read),
        format=request.format,
        total_examples=store.kept_count + near + exact,
        unique_examples=store.kept_count,
        duplicates_removed=exact,
        near_duplicates_removed=near,
        dropped_by_reason=dropped,
        changed_by_rule=dict(ledger.changed.most_common()),
        personal_data=dict(books.tally.personal_data.most_common()),
        checks=checks,
        token_statistics=statistics(store),
        tokens_counted_by=books.plan.tokens.label,
        truncation=truncation(store, books.plan.cut_at) if books.plan.tokens.chat else None,
        files=write(request, store, ledger, settlement.split),
        balance=found,
        languages=_languages(store),
        turns=_turns(store),
        lengths=lengths(store),
        worth_a_look=tuple(_suspect(store, at, worth) for at, worth in shown(books.worst, store)),
        mask_preview=_preview(books),
        warnings=warnings(request, ledger, books.tally, checks, rows),
        dry_run=request.dry_run,
    )


def _require_restored(books: Books) -> None:
    if missing := sorted(books.plan.restored_rows - books.tally.restored.keys()):
        raise InputError(
            f"restore: {counted(len(missing), 'row')} not found as they were, the first is {quote(missing[0])}.",
            "The source changed since, or the row is no record. Take the row_ids from the ledger of the latest run.",
        )


def _checks(books: Books, settlement: Settlement, found: Balance | None) -> tuple[Check, ...]:
    """All checks.

    Raises:
        DataError: The rows do not add up.
    """
    request, store, ledger, tally = books.plan.request, books.store, books.ledger, books.tally
    accounting = accounting_check(ledger, books.rows_read, store.kept_count)
    if accounting.status == "fail":
        raise DataError(accounting.details, "This is a defect of the program; please report it.")
    return ordered(
        (
            *files_check(books.plan, books.rows_of),
            *dialect_checks(books.plan),
            *reading_checks(ledger, tally, books.plan.files, books.rows_read),
            *cleaning_checks(ledger, request.min_length, books.rows_read),
            personal_data_check(request, ledger, tally.personal_data),
            *conversion_checks(ledger, tally.losses, request.format),
            *tool_call_checks(ledger, tally),
            *contamination_checks(books.plan.benchmarks, ledger, tally.contaminated),
            *_length_checks(books),
            *balance_checks(found),
            _language_check(_languages(store)),
            *duplicate_checks(request, settlement.repeats),
            *split_checks(request, store, settlement.split),
            accounting,
        )
    )


def _length_checks(books: Books) -> list[Check]:
    if books.plan.tokens.chat is None:
        return [estimated_length_check(books.plan.request, books.store, books.plan.tokens.label)]
    return trained_checks(books.store, books.plan.cut_at, books.tally.refused)


def _languages(store: Store) -> dict[str, int]:
    codes, counts = np.unique(store.column("language")[store.kept], return_counts=True)
    names = [int(code).to_bytes(4, "little").rstrip(b"\0").decode() for code in codes]
    return dict(Counter(dict(zip(names, counts.tolist(), strict=True))).most_common())


def _language_check(languages: dict[str, int]) -> Check:
    """Whether rows are in other languages than most of them are."""
    known = {name: count for name, count in languages.items() if name != UNKNOWN}
    total = sum(known.values())
    details = ", ".join(f"{name} {count / total:.1%}" for name, count in list(known.items())[:6]) or "too little text"
    others = total - max(known.values(), default=0)
    if others < OTHERS * total or not total:
        return Check(name="Languages", status="pass", details=details, count=others)
    step = "See that this mix is meant; the model will answer in what it was shown."
    return Check(name="Languages", status="warn", details=details, count=others, next_step=step)


def _turns(store: Store) -> dict[str, int]:
    turns, counts = np.unique(np.minimum(store.column("turns")[store.kept], MOST_TURNS), return_counts=True)
    names = [f"{turn}+" if turn == MOST_TURNS else str(turn) for turn in turns.tolist()]
    return dict(zip(names, counts.tolist(), strict=True))


def _suspect(store: Store, index: int, worth: Worth) -> Suspect:
    place = store.place(index)
    text = "\n".join(texts_of(read_record(orjson.loads(store.line(index)))))
    return Suspect(
        row_id=place.row_id,
        source=place.source,
        line=place.line,
        reasons=worth.reasons,
        excerpt=quote(text, EXCERPT_LETTERS),
    )


def _preview(books: Books) -> str | None:
    """A row of middling length, with what is trained marked; None without a model, or when it refuses all rows."""
    chat = books.plan.tokens.chat
    return None if chat is None else preview_of(books.store, chat)
