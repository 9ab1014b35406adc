"""What personal data and secrets look like: shapes propose, checksums and surroundings decide.

Only kinds that a pattern can recognise; names and postal addresses are not among them.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["CREDENTIALS", "PRIVATE_KEY", "API_KEY", "EMAIL", "IBAN", "CARD", "SSN", "IP", "PHONE"]


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value stands in a text."""

    start: int
    end: int
    kind: Kind


def find(text: str) -> list[Span]:
    """The values in a text, in order, none overlapping; of two readings of one place the surer kind wins."""
    taken: list[Span] = []
    for detect in _detectors_for(text):
        for span in detect(text):
            if not any(span.start < other.end and other.start < span.end for other in taken):
                taken.append(span)
    return sorted(taken, key=lambda span: span.start)


def may_hold(text: str) -> bool:
    """Whether `find` is worth calling: False proves that it would find nothing. Cheap: ask it of a whole row."""
    return next(_detectors_for(text), None) is not None


def _detectors_for(text: str) -> Iterator[Callable[[str], Iterator[Span]]]:
    """The detectors that can find anything here, surest first; plain substring tests spare most texts all of them."""
    has_at = "@" in text
    if has_at and "://" in text:
        yield _credentials
    if max(map(len, text.split()), default=0) >= SHORTEST_KEY and any(mark in text for mark in KEY_MARKS):
        yield _keys
    if has_at:
        yield _emails
    if "::" in text or text.count(":") >= 7:
        yield _ipv6
    if LONG_NUMBER.search(text):
        yield from (_ibans, _cards, _ssns, _ipv4, _phones)


# Seven digits with a few separators between, the least that any number below has; an IPv4 address can be shorter.
# Begins with a plain set, which the regular expression engine skips to quickly.
LONG_NUMBER = re.compile(r"[0-9](?:(?:[ ().\-/]{0,3}[0-9]){6}|[0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9])")

URL_LOGIN = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.\-]{1,15}://([^\s/:@\"'<>]{1,100}:[^\s/@\"'<>]{1,200})@")
# Possessive, and only from where a name can begin: stays linear on long runs without @.
EMAIL = re.compile(r"(?<![\w.%+\-])[\w.%+\-]{1,64}+@(?:[\w\-]{1,63}+\.){1,8}[^\W\d_]{2,24}(?![\w@])")
NOT_PEOPLE = ("git@", "hg@", "svn@")

SHORTEST_KEY = 20  # signs; shorter words spare the search for all the marks below
KEY_MARKS = (
    *("sk-", "sk_", "rk_", "pk_live", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AKIA", "ASIA"),
    *("AIza", "xox", "hf_", "npm_", "pypi-", "SG.", "eyJ", "-----BEGIN", "shpat_", "dop_v1_", "ya29.", "AccountKey="),
    *("hooks.slack.com", "api_key", "apikey", "API_KEY", "api-key", "secret", "SECRET", "password=", "token="),
)
API_KEY = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    r"sk-(?:ant-|proj-|svcacct-|or-v1-)?[A-Za-z0-9_\-]{20,200}"  # OpenAI, Anthropic, OpenRouter
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,200}|pk_live_[A-Za-z0-9]{16,200}"  # Stripe
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_\-]{20,64}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"  # Amazon
    r"|AIza[A-Za-z0-9_\-]{35}|ya29\.[A-Za-z0-9_\-]{20,300}"  # Google
    r"|xox[abposr]-[A-Za-z0-9\-]{16,250}|hf_[A-Za-z0-9]{30,60}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{50,250}"
    r"|SG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{32,64}|shpat_[a-fA-F0-9]{32}|dop_v1_[a-f0-9]{64}"
    r"|eyJ[A-Za-z0-9_\-]{10,2000}\.eyJ[A-Za-z0-9_\-]{10,4000}\.[A-Za-z0-9_\-]{10,1000}"  # JSON Web Token
    r")(?![A-Za-z0-9])"
)
ASSIGNED_KEY = re.compile(
    r"(?i)(?:api[_\-]?key|secret(?:[_\-]?(?:key|token))?|access[_\-]?token|AccountKey|auth[_\-]?token|password|token)"
    r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?((?=[A-Za-z0-9+/_\-]*\d)(?=[A-Za-z0-9+/_\-]*[A-Za-z])[A-Za-z0-9+/_\-]{20,200}={0,2})"
)
PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.{1,8000}?-----END [A-Z ]{0,20}PRIVATE KEY-----", re.S
)

IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
CARD = re.compile(
    r"(?<![\w.\-+])(?:\d{14,19}|\d{4}([ \-])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ \-])\d{6}\2\d{4,5})(?![\w\-]|\.\d)"
)
CARD_BRANDS = re.compile(  # number ranges and lengths of the issuers in use
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12,15}|62\d{14,17}|5[06-8]\d{14}|67\d{14}"
)
SSN = re.compile(r"(?<![\w\-.])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w\-])")
NAMED_SSN = re.compile(
    r"(?i)\b(?:ssn|social security(?: number| no\.?)?)\b[^\d\n]{0,20}"
    r"((?!000|666|9)\d{3}[ \-]?(?!00)\d{2}[ \-]?(?!0000)\d{4})(?!\d)"
)
IPV4 = re.compile(r"(?<![\w.\-])(?:\d{1,3}\.){3}\d{1,3}(?![\w\-]|\.\d)")
IPV6 = re.compile(r"[0-9A-Fa-f:]{7,39}(?![\w:])")
VERSION_BEFORE = re.compile(r"(?i)(?:version|release|firmware|build|\bv)[ .:]{0,2}$")
NO_ONE = ("127.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "::")

PHONES = (
    # international: + and country code; a long run without gaps is rather a sum
    re.compile(r"(?<![\w+])\+(?!\d{14})\d{1,3}(?:[ .\-/]?\(\d{1,5}\))?(?:[ .\-/]{0,1}\d{1,5}){2,7}(?![\w]|[\-]\d)"),
    # North American: area code set apart
    re.compile(
        r"(?<![\w.\-/+(])(?:1[ .\-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([ .\-]))\d{3}[ .\-]\d{4}"
        r"(?: ?(?:x|ext\.?) ?\d{1,5})?(?!\w|[.\-/]\d)"
    ),
    # national: a leading 0 and at least one gap
    re.compile(r"(?<![\w.,\-/+(])(?:\(0\d{1,4}\)|0\d{1,4})[ \-/]\d{2,4}(?:[ \-]?\d{2,4}){1,3}(?!\w|[.,\-/]\d)"),
    re.compile(r"(?<![\w.,\-/+(])0\d{2,4}[ \-/]\d{5,8}(?!\w|[.,\-/]\d)"),
)
NAMED_PHONE = re.compile(
    r"(?i)\b(?:phones?|tel|telephone|call(?:ing)?|mobile|cell(?:phone)?|fax|whatsapp|ring|sms|text me"
    r"|reach (?:me|us|him|her))\b"
    r"[^\d\n+(]{0,25}(\+?\(?\d[\d ().\-/]{5,18}\d)(?!\w|[.,]\d)"
)
PHONE_DIGITS = range(9, 16)  # E.164 allows 15; fewer than 9 only beside a word that says phone
NAMED_PHONE_DIGITS = range(7, 16)
DATE = re.compile(r"(?:19|20)\d\d[\-/. ]\d{1,2}[\-/. ]\d{1,2}|\d{1,2}[\-/. ]\d{1,2}[\-/. ](?:19|20)\d\d")


def _credentials(text: str) -> Iterator[Span]:
    for match in URL_LOGIN.finditer(text):
        yield Span(match.start(1), match.end(1), "CREDENTIALS")


def _keys(text: str) -> Iterator[Span]:
    for match in PRIVATE_KEY.finditer(text):
        yield Span(match.start(), match.end(), "PRIVATE_KEY")
    for match in API_KEY.finditer(text):
        if any(sign.isdigit() for sign in match.group()):
            yield Span(match.start(), match.end(), "API_KEY")
    for match in ASSIGNED_KEY.finditer(text):
        yield Span(match.start(1), match.end(1), "API_KEY")


def _emails(text: str) -> Iterator[Span]:
    for match in EMAIL.finditer(text):
        if not match.group().startswith(NOT_PEOPLE):
            yield Span(match.start(), match.end(), "EMAIL")


def _ipv6(text: str) -> Iterator[Span]:
    for match in IPV6.finditer(text):
        begins = match.start() == 0 or not (text[match.start() - 1].isalnum() or text[match.start() - 1] in "_:.")
        if begins and ":" in match.group() and match.group() not in NO_ONE and _is_address(match.group()):
            yield Span(match.start(), match.end(), "IP")


def _ipv4(text: str) -> Iterator[Span]:
    for match in IPV4.finditer(text):
        before = text[max(0, match.start() - 12) : match.start()]
        if match.group() not in NO_ONE and _is_address(match.group()) and not VERSION_BEFORE.search(before):
            yield Span(match.start(), match.end(), "IP")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _ibans(text: str) -> Iterator[Span]:
    for match in IBAN.finditer(text):
        if _is_iban(match.group()):
            yield Span(match.start(), match.end(), "IBAN")


def _is_iban(text: str) -> bool:
    """ISO 13616: letters as numbers from 10, the first four signs moved to the end, remainder 1 by 97."""
    value = text.replace(" ", "")
    return 15 <= len(value) <= 34 and int("".join(str(int(sign, 36)) for sign in value[4:] + value[:4])) % 97 == 1


def _cards(text: str) -> Iterator[Span]:
    for match in CARD.finditer(text):
        if _is_card(_digits(match.group())):
            yield Span(match.start(), match.end(), "CARD")


def _is_card(digits: str) -> bool:
    """ISO/IEC 7812: a known issuer's number whose Luhn sum ends in 0."""
    if not CARD_BRANDS.fullmatch(digits):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def _ssns(text: str) -> Iterator[Span]:
    for match in SSN.finditer(text):
        yield Span(match.start(), match.end(), "SSN")
    for match in NAMED_SSN.finditer(text):
        yield Span(match.start(1), match.end(1), "SSN")


def _phones(text: str) -> Iterator[Span]:
    for pattern in PHONES:
        for match in pattern.finditer(text):
            if len(_digits(match.group())) in PHONE_DIGITS and not DATE.search(match.group()):
                yield Span(match.start(), match.end(), "PHONE")
    for match in NAMED_PHONE.finditer(text):
        if len(_digits(match.group(1))) in NAMED_PHONE_DIGITS and not DATE.search(match.group(1)):
            yield Span(match.start(1), match.end(1), "PHONE")


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))
