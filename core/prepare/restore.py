"""What `restore` names: rules to switch off, and rows that no rule may touch."""

import difflib
import re

from ..errors import InputError
from ..untrusted import quote
from .rules import RULES

ALL_RULES = frozenset((*RULES, "too_short", "personal_data", "duplicate", "near_duplicate"))
ROW_ID = re.compile(r"\d+-[0-9a-f]{16}")


def restored(entries: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """`restore` as the rules and the row_ids in it.

    Raises:
        InputError: An entry is neither.
    """
    rows = frozenset(entry for entry in entries if ROW_ID.fullmatch(entry))
    rules = frozenset(entries) - rows
    if unknown := sorted(rules - ALL_RULES):
        near = difflib.get_close_matches(unknown[0], ALL_RULES, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise InputError(
            f"restore: {quote(unknown[0], 80)} is neither a rule that can be restored nor a row_id.",
            f"{hint}Take both from ledger.jsonl; the rules are {', '.join(sorted(ALL_RULES))}.",
        )
    return rules, rows
