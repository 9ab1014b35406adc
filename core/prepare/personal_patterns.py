"""What personal data and secrets look like: shapes propose, checksums and surroundings decide.

Only what a pattern can recognise; people's names are for `personal_names`.
"""

import re
from collections.abc import Callable, Iterator

from .personal_addresses import find_addresses
from .personal_ids import find_documents, find_national_ids, find_ssns
from .personal_keys import find_announced, find_private_keys, find_tokens, may_announce
from .personal_kinds import PLACEHOLDER as PLACEHOLDER
from .personal_kinds import Kind as Kind
from .personal_kinds import Span as Span
from .personal_kinds import without_placeholders
from .personal_online import (
    SPELT_AT,
    find_emails,
    find_ipv4,
    find_ipv6,
    find_logins,
    find_macs,
    find_profiles,
    find_spelt_emails,
)
from .personal_payment import find_accounts, find_cards, find_ibans, find_wallets
from .personal_phones import find_phones

Finder = Callable[[str], Iterator[Span]]


def find(text: str) -> list[Span]:
    """The values in a text, in order, none overlapping; of two readings of one place the surer kind wins.

    Placeholders of an earlier preparation are nobody's values, and neither are the words in them.
    """
    finders = list(_finders_for(text))
    if not finders:
        return []
    searched = without_placeholders(text)
    taken: list[Span] = []
    covered = bytearray(len(text))
    for match in PLACEHOLDER.finditer(text):
        covered[match.start() : match.end()] = b"\1" * len(match[0])
    for finder in finders:
        for span in finder(searched):
            if span.start < span.end and covered.find(1, span.start, span.end) < 0:
                covered[span.start : span.end] = b"\1" * (span.end - span.start)
                taken.append(span)
    return sorted(taken, key=lambda span: span.start)


def _finders_for(text: str) -> Iterator[Finder]:
    """The finders that can find anything here, surest first; plain tests spare most texts all of them."""
    has_at, has_digit = "@" in text, DIGIT.search(text) is not None
    if has_at and "://" in text:
        yield find_logins
    if has_digit or "hf_" in text or "api_org_" in text:  # the two tokens that may be letters alone
        yield from _secret_finders(text)
    if has_at:
        yield find_emails
    if SPELT_AT.search(text):
        yield find_spelt_emails
    if "linkedin.com/in/" in text or "profile.php?id=" in text:
        yield find_profiles
    if (has_digit or ":" in text) and HEX_GROUPS.search(text):
        yield from (find_ipv6, find_macs)
    if has_digit:
        yield from _number_finders(text)


DIGIT = re.compile("[0-9]")
HEX_GROUPS = re.compile(  # of IPv6 and hardware addresses
    r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f.]|::|-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-|\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}"
)  # IPv6, hardware addresses


def _secret_finders(text: str) -> Iterator[Finder]:
    if max(map(len, text.split()), default=0) >= SHORTEST_TOKEN:
        if "-----BEGIN" in text:
            yield find_private_keys
        yield find_tokens
    if MIXED_WORD.search(text) and may_announce(text):
        yield find_announced


SHORTEST_TOKEN = 20  # signs of a word
MIXED_WORD = re.compile(
    r"[0-9](?:[A-Za-z_+/]|(?<=[A-Za-z_+/#$!][0-9])|[0-9]{14})"
)  # what every secret beside a name has


def _number_finders(text: str) -> Iterator[Finder]:
    long = LONG_NUMBER.search(text) is not None
    mixed = long or MIXED_NUMBER.search(text) is not None
    if mixed:
        yield from (find_ibans, find_wallets)
    if long:
        yield from (find_cards, find_ssns)
    if mixed:
        yield from (find_national_ids, find_documents, find_accounts)
    if long:
        yield from (find_ipv4, find_phones)
    yield find_addresses


# Seven digits with a few separators between, the least that most numbers have; an IPv4 address can be shorter.
# Begins with a plain set, which the regular expression engine skips to quickly.
LONG_NUMBER = re.compile(r"[0-9](?:(?:[ ().\-/]{0,3}[0-9]){6}|[0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9])")
# Letters and digits in one word, as in documents' numbers and wallets.
MIXED_NUMBER = re.compile(r"[0-9](?:[0-9]{4}|[A-Za-z0-9]{2,}[0-9]|[0-9]?[ \-][0-9]{2}[ \-][0-9]{2})")
