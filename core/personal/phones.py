"""Phone numbers: a country code, a nation's usual grouping, or a word that says phone vouches for the digits."""

import re
from collections.abc import Iterator

from .kinds import Span, before, digits, in_sum, places

EXTENSION = r"(?: ?(?:x|ext\.?|extension|#) ?[0-9]{1,5})?"
NOT_AFTER_WORD = r"(?<![\w\-/+(])(?<!\w[.,])"
NO_MORE = r"(?!\w|[.,\-/:][0-9]|@)"

# With + or 00 and a country code. A long run without gaps after + is rather a sum.
INTERNATIONAL = re.compile(
    r"(?<![\w+])(?<![0-9][.,])\(?(?:\+|00[ .\-]?(?=[1-9]))\(?(?![0-9]{16})[0-9]{1,3}\)?"
    r"(?:[ .\-/]{0,2}\(?[0-9]{1,5}\)?){2,7}" + EXTENSION + NO_MORE
)
# North American: three, three, four
NORTH_AMERICAN = re.compile(
    NOT_AFTER_WORD
    + r"(?:1[ .\-]?)?(?:\([0-9]{3}\)[ .\-]{0,2}|[0-9]{3}([ .\-/]))[0-9]{3}[ .\-][0-9]{4}"
    + EXTENSION
    + NO_MORE
)
# National: a leading 0 and at least one gap
NATIONAL = re.compile(
    NOT_AFTER_WORD + r"(?<![0-9] )(?:(?:\(0[0-9]{1,4}\)|0[0-9]{1,4})[ \-/.]{1,2}[0-9]{2,4}(?:[ \-.]?[0-9]{2,4}){1,3}"
    r"|\(?0[0-9]{1,4}\)?[ \-/][0-9]{5,8}|0[5-9][0-9]{8,9})" + EXTENSION + NO_MORE
)
# Whatever a word that says phone stands beside
NAMED = re.compile(NOT_AFTER_WORD + r"\(?[0-9](?:[ ().\-/]{0,3}[0-9]){5,15}" + EXTENSION + NO_MORE)

PHONE_DIGITS = range(8, 16)  # E.164 allows 15
NAMED_DIGITS = range(6, 16)
DATE = re.compile(
    r"(?<![0-9])(?:(?:19|20)[0-9][0-9][\-/. ](?:0?[1-9]|1[0-2])[\-/. ](?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[\-/. ](?:0?[1-9]|[12][0-9]|3[01])[\-/. ](?:19|20)[0-9][0-9])(?![0-9])"
    r"|^(?:19|20)[0-9][0-9][ \-\u2013/]{1,3}(?:19|20)[0-9][0-9]"
)
SAID_WORDS = (  # how the alternatives below begin
    *(
        "phone",
        "telephone",
        "tel",
        "tél",
        "fon",
        "call",
        "mobil",
        "mob",
        "móvil",
        "movil",
        "cell",
        "celular",
        "portable",
        "fax",
        "efax",
    ),
    *("e-fax", "whats", "viber", "signal", "ring", "sms", "dial", "hotline", "helpline", "landline", "handy", "ph"),
    *(
        "pager",
        "voicemail",
        "text",
        "reach",
        "contact",
        "answering",
        "message",
        "home",
        "work",
        "office",
        "desk",
        "direct",
    ),
    *("daytime", "evening", "registered", "my ", "电话", "手机", "電話", "携帯", "전화", "тел"),
)
SAID_BEFORE = re.compile(
    r"(?:\b(?:tele)?phones?(?: ?numbers?| ?nos?\b)?|\btel(?:efon\w*|[eé]fono)?|\bcall(?:s|ed|ing|er)?(?: \w+){0,2}"
    r"|\bmobil\w*|\bcell(?:ular|phone)?"
    r"|\b(?:e?fax|whats ?app|viber|signal|telegram|ring|sms|dial\w*|hotline|helpline|landline|handy|ph|mob|fon"
    r"|pager|voicemail)"
    r"|\btext(?:ed|ing|s)?(?: \w+)?|\breach(?:ed|able)?(?: \w+)?|\bcontact(?: \w+){0,2}|\banswering|\bmessages? to"
    r"|\b(?:home|work|office|desk|direct|daytime|evening)(?: line| (?=\w)|(?=\s?[:#.(]))"
    r"|\bregistered(?: \w+)?|\bt[eé]l[eé]phone|\bportable|\bm[oó]vil|\bcelular|\btelefone|\bcellulare|\btelefono"
    r"|\bmy (?:(?!account|order|card|policy|id|passport|ssn|social|tax|license|licence|case|ticket|reference|lucky"
    r"|member)\w+ ){0,2}number"
    r"|电话|手机|電話|携帯|전화|телефон\w*|тел)"
    r"(?: ?(?:number|no|nr|#))?(?: (?:is|at|on|to|us|me|him|her|them|was|your|my|the|for|now|under|via|and|or))*"
    r"[^\w]{0,6}(?:\([a-z]{1,4}\)[ :]{0,2})?$"
)
SAID_AFTER = re.compile(
    r"(?i)[ \t]?[\-\u2013(,:]?[ \t]?\(?(?:office|fax|mobile|cell|home|work|phone|tel|landline|whatsapp|direct)\b"
)
NAMED_OTHERWISE = re.compile(
    r"(?:order|account|acct|invoice|tracking|isbn|issn|serial|model|version|ticket|case|policy|reference|ref|card"
    r"|id|ssn|passport"
    r"|licen[cs]e|customer|member|patent|part|item|product|sku|zip|code|route|doi|pmid|arxiv|timestamp|bug|issue)"
    r"(?: ?(?:number|no|nr|#))?\.?(?: (?:is|was|of))*[^\w\n]{0,4}$"
)
AND_ANOTHER = re.compile(r"\s{0,2}(?:,|/|;|\||or|and|&)?\s{0,2}(?:\w{1,10}[:.]\s?)?")


def find_phones(text: str) -> Iterator[Span]:
    """Phone numbers, the surest readings first."""
    taken: list[Span] = []
    for pattern, holds in (
        (INTERNATIONAL, _is_international),
        (NORTH_AMERICAN, _is_north_american),
        (NATIONAL, _is_national),
    ):
        for match in pattern.finditer(text):
            if holds(text, match):
                span = Span(match.start(), match.end(), "PHONE")
                taken.append(span)
                yield span
    ends = {span.end for span in taken}
    for match in NAMED.finditer(text):
        if match.end() not in ends and _is_named(text, match.start(), match.end(), ends):
            ends.add(match.end())
            yield Span(match.start(), match.end(), "PHONE")


def _is_international(text: str, match: re.Match[str]) -> bool:
    """Whether the numbering plan of a country has numbers as long as this one."""
    value = match[0]
    if len(digits(value)) < 8 or in_sum(text, match.start(), match.end()) or DATE.search(value):
        return False
    import phonenumbers  # 48 MB of numbering plans: read only for texts that hold such a number

    if "+" not in value and len(GAPS.findall(value)) < 2:  # 00 begins many other numbers
        return _is_said(text, match.start(), match.end())
    number = digits(EXTENDED.split(value)[0])
    try:
        parsed = phonenumbers.parse("+" + (number if "+" in value else number[2:]), None)
        return phonenumbers.is_possible_number(parsed) or _is_said(text, match.start(), match.end())
    except phonenumbers.NumberParseException:
        return False


GAPS = re.compile(r"[^0-9x]+")


def _is_north_american(text: str, match: re.Match[str]) -> bool:
    start, end = match.span()
    if DATE.search(match[0]) or in_sum(text, start, end) or NAMED_OTHERWISE.search(before(text, start)):
        return False
    number = digits(match[0])
    if len(number) < 10:  # signs of other scripts are digits to a pattern
        return False
    area = number[1:] if number[0] == "1" and len(match[0].split("x")[0]) > 12 else number
    spaced = match[1] == " " and "(" not in match[0]
    return (
        (area[0] in "23456789" and not spaced)
        or bool(EXTENDED.search(match[0]))
        or _is_said(text, start, end)
        or ("(" in match[0] or (spaced and area[0] in "23456789" and area[3] in "23456789"))
    )


EXTENDED = re.compile(r" ?[xe#]")


def _is_national(text: str, match: re.Match[str]) -> bool:
    start, end = match.span()
    if len(digits(match[0])) not in PHONE_DIGITS or DATE.search(match[0]) or in_sum(text, start, end):
        return False
    return (len(digits(match[0])) > 8 and not NAMED_OTHERWISE.search(before(text, start))) or _is_said(text, start, end)


def _is_named(text: str, start: int, end: int, ends: set[int]) -> bool:
    value = text[start:end]
    if len(digits(re.split(r"[a-z#]", value)[0])) not in NAMED_DIGITS or DATE.search(value) or in_sum(text, start, end):
        return False
    return _is_said(text, start, end) or _follows(text, start, ends)


def _is_said(text: str, start: int, end: int) -> bool:
    """Whether the words beside a number say that it is a phone's."""
    if SAID_AFTER.match(text, end):
        return True
    earlier = before(text, start)
    return any(SAID_BEFORE.match(earlier, place) for place in places(earlier, SAID_WORDS))


def _follows(text: str, start: int, ends: set[int]) -> bool:
    """Whether another phone number stands just before, as in "555-0100 or 555-0101"."""
    return any(end in ends and AND_ANOTHER.fullmatch(text, end, start) for end in range(max(0, start - 16), start))
