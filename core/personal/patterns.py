"""What personal data and secrets look like: shapes propose, checksums and surroundings decide.

Only what a pattern can recognise; people's names are for `names`.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator

from .addresses import SIGNS as ADDRESS_SIGNS
from .addresses import find_addresses
from .ids import DOCUMENT_WORDS, find_documents, find_national_ids, find_ssns
from .keys import SECRET_WORDS, find_announced, find_private_keys, find_tokens
from .kinds import PLACEHOLDER as PLACEHOLDER
from .kinds import Kind as Kind
from .kinds import Span as Span
from .kinds import without_placeholders
from .online import (
    find_emails,
    find_ipv4,
    find_ipv6,
    find_logins,
    find_macs,
    find_profiles,
    find_spelt_emails,
)
from .payment import ACCOUNT_WORDS, find_accounts, find_cards, find_ibans, find_wallets
from .phones import SAID_WORDS, find_phones
from .signals import Signals

Finder = Callable[[str], Iterator[Span]]


def find(text: str) -> list[Span]:
    """The values in a text, in order, none overlapping; of two readings of one place the surer kind wins.

    Placeholders of an earlier preparation are nobody's values, and neither are the words in them.
    """
    finders = _finders(_seen(text))
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


def may_hold(text: str) -> bool:
    """Whether a text may hold any value; False is certain."""
    return bool(_finders(_seen(text)))


def _seen(text: str) -> frozenset[str]:
    seen = SIGNALS.in_text(text)
    return seen | NUMBER_SIGNALS.in_text(text) if "number" in seen else seen


@functools.cache
def _finders(seen: frozenset[str]) -> tuple[Finder, ...]:
    """Those that can find anything where these signals were seen, surest first."""
    return tuple(finder for needed, finder in FINDERS if needed <= seen)


CASED_I = "[i\u0130\u0131]"  # to Python, unlike RE2, two Turkish letters are an i of the other case


def _any_of(words: Iterable[str]) -> str:
    either = "|".join(map(re.escape, words)).replace("i", CASED_I)
    return f"(?i:{either})"


# Python's \s and \w know more signs than RE2's: whatever is not ASCII may be either.
SPACE = r"[\s\x{80}-\x{10ffff}]"
# Six digits with a few separators between, the least that most numbers have; an IPv4 address can be shorter.
LONG_NUMBER = r"[0-9](?:(?:[ ().\-/]{0,3}[0-9]){5}|[0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9])"
SIGNALS = Signals(
    {
        "login": "://[^@]*@",
        "token_sign": "[0-9]|hf_|api_org_",  # the last two may be letters alone
        "long_word": r"[^\s]{20}",  # no token is shorter
        "armour": "-----BEGIN[ A-Z0-9_-]*PRIVATE KEY(?s:.)*-----END",
        "mixed_word": "[0-9][A-Za-z_+/]|[A-Za-z_+/#$!][0-9]|[0-9]{15}",  # what every secret beside a name has
        "secret_word": _any_of(("curl", *SECRET_WORDS)),
        "at": "@",
        "spelt_at": rf"(?i)[\[({{]{SPACE}?at{SPACE}?[\])}}]",
        "profile": r"linkedin\.com/in/|profile\.php\?id=",
        "hex_groups": r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f.]|::|-[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-"
        r"|\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
        "long_number": LONG_NUMBER,
        # ... or letters and digits in one word, as in documents' numbers and wallets.
        "number": rf"{LONG_NUMBER}|[0-9](?:[0-9]{{4}}|[A-Za-z0-9]{{2,}}[0-9]|[0-9]?[ \-][0-9]{{2}}[ \-][0-9]{{2}})",
        "address": ADDRESS_SIGNS.replace(r"\s", SPACE),
    }
)
# Of texts with such a number; apart, since all in one would make more states than RE2 keeps.
NUMBER_SIGNALS = Signals(
    {
        "account_word": _any_of(ACCOUNT_WORDS),
        "document_word": _any_of(DOCUMENT_WORDS),
        "phone": r"(?:\+|00)[ .\-(]{0,2}[0-9]|[0-9]{3}[ .\-][0-9]{4}|\b0[0-9]|" + _any_of(SAID_WORDS),
        "ssn": r"[0-9]{3}-[0-9]{2}-[0-9]{4}|(?i:(?:^|[^0-9A-Za-z_])ssn?|soc" + CASED_I + "al)",
        "card": r"[0-9]{12}|[0-9]{4}[ .\-][0-9]{4}[ .\-][0-9]{4}|[0-9]{4}[ \-][0-9]{6}[ \-]|[0-9]{6}[ \-][0-9]{13}",
        "iban": r"[A-Za-z]{2}[0-9]{2}[ \-]?[A-Za-z0-9]",
        "wallet": r"0x[0-9a-fA-F]{40}|bc1[0-9a-z]{11}|[13][1-9A-HJ-NP-Za-km-z]{25}",
        "ipv4": r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    }
)

FINDERS: tuple[tuple[frozenset[str], Finder], ...] = tuple(
    (frozenset(signals.split()), finder)
    for signals, finder in (
        ("login", find_logins),
        ("armour", find_private_keys),
        ("token_sign long_word", find_tokens),
        ("mixed_word secret_word", find_announced),
        ("at", find_emails),
        ("spelt_at", find_spelt_emails),
        ("profile", find_profiles),
        ("hex_groups", find_ipv6),
        ("hex_groups", find_macs),
        ("number iban", find_ibans),
        ("wallet", find_wallets),
        ("card", find_cards),
        ("long_number ssn", find_ssns),
        ("number", find_national_ids),
        ("number document_word", find_documents),
        ("number account_word", find_accounts),
        ("ipv4", find_ipv4),
        ("long_number phone", find_phones),
        ("address", find_addresses),
    )
)
"""Each finder with the signals that must all be in a text for it to find anything; surest first."""
