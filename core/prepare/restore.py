"""What `restore` names: rules to switch off, and rows that no rule may touch."""

import difflib
import re
from functools import cache

from ..errors import InputError
from ..untrusted import quote

ROW_ID = re.compile(r"\d+-[0-9a-f]{16}")


def restored(entries: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """`restore` as the rules and the row_ids in it.

    Raises:
        InputError: An entry is neither.
    """
    rows = frozenset(entry for entry in entries if ROW_ID.fullmatch(entry))
    rules = frozenset(entries) - rows
    if rules and (unknown := sorted(rules - all_rules())):
        near = difflib.get_close_matches(unknown[0], all_rules(), n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise InputError(
            f"restore: {quote(unknown[0], 80)} is neither a rule that can be restored nor a row_id.",
            f"{hint}Take both from ledger.jsonl; the rules are {', '.join(sorted(all_rules()))}.",
        )
    return rules, rows


@cache
def all_rules() -> frozenset[str]:
    """The names of all rules that can be switched off."""
    from .rules import RULES  # many patterns, which a command that only passes the request on need not compile

    return frozenset((*RULES, "too_short", "personal_data", "duplicate", "near_duplicate"))
