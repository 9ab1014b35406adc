"""Payment cards, bank accounts and wallets: their check digits decide."""

import re
from collections.abc import Iterator

from .kinds import Span, before, digits, in_sum, places

# ISO 13616 registry: how long an account number of each country is.
IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        pair.split(":")
        for pair in [
            "15:NO",
            "16:BE",
            "18:DK,FI,FK,FO,GL,NL,SD",
            "19:MK,SI",
            "20:AT,BA,EE,KZ,LT,LU,MN,XK",
            "21:CH,HR,LI,LV",
            "22:BG,BH,CR,DE,GB,GE,IE,ME,RS,VA",
            "23:AE,GI,IL,IQ,OM,SO,TL",
            "24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG",
            "25:LY,PT,ST",
            "26:IS,TR",
            "27:BI,DJ,FR,GR,IT,MC,MR,SM",
            "28:AL,AZ,BY,CY,DO,GT,HN,HU,LB,NI,PL,SV",
            "29:BR,EG,PS,QA,UA",
            "30:JO,KW,MU,YE",
            "31:MT,SC",
            "32:LC",
            "33:RU",
        ]
    )
    for country in countries.split(",")
}
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]){11,31}")

CARD = re.compile(
    r"(?<![\w.\-+])(?:\d{12,19}|\d{4}([ \-.])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ \-])\d{6}\2\d{4,5}|\d{6}[ \-]\d{13}"
    r"|\d{4} \d{4} \d{4} \d{4} \d{3})(?![\w\-]|\.\d)"
)
CARD_BRANDS = re.compile(  # number ranges and lengths of the issuers in use
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12,15}|62\d{14,17}|5[06-8]\d{14}|67\d{14}"
)
CARD_BEFORE = re.compile(
    r"\b(?:(?:credit|debit|bank|payment|charge)?[ _\-]?cards?|cc|visa|master ?card|amex|american express|discover"
    r"|maestro|diners|jcb|unionpay|pan|kreditkarte|karte|carte|tarjeta|cart[aã]o|kaart)(?:\b|_)"
)
CARD_AFTER = re.compile(r"[^\d]{0,30}(?i:\b(?:cvv|cvc|exp|expir\w+|valid (?:thru|until)|card|visa)\b)")
OTHER_NUMBER = re.compile(
    r"(?:order|tracking|invoice|serial|product|item|ticket|timestamp|isbn|ean|upc|imei|gift card|parcel|shipment"
    r"|reference|ref|sku|part|\bid)\b[^\n]{0,12}$"
)

ACCOUNT_WORDS = (
    "account",
    "acct",
    "a/c",
    "bank ",
    "savings ",
    "checking ",
    "routing",
    "aba",
    "sort",
    "bsb",
    "konto",
    "num",
    "rekening",
)
ACCOUNT = re.compile(
    r"(?i)\b(?:(?:bank |savings |checking |current )?(?:account|acct|a/c)(?:'s)? ?(?:number|num|no\b\.?|nr\b\.?|#)"
    r"|(?:bank|savings|checking) account|routing(?: transit)? ?(?:number|no\b\.?|#)?|\baba(?: number)?|sort ?code|bsb"
    r"|konto(?:nummer|nr\.?)|n[uú]m[eé]ro de (?:compte|cuenta)|rekeningnummer)"
    r"[^\d\n\w]{0,4}(?:(?:is|was|are|of|ending in)\b[^\d\n\w]{0,3})?"
    r"(\d(?:[ \-]?\d){5,17})(?![\w]|[.,/]\d)"
)

WALLET = re.compile(r"(?<![\w/])(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71}|0x[0-9a-fA-F]{40})(?!\w)")


def find_ibans(text: str) -> Iterator[Span]:
    """International bank account numbers whose length and check digits are right."""
    position = 0
    while match := IBAN.search(text, position):
        end = _iban_end(text, match.start(), match.end())
        if end:
            yield Span(match.start(), end, "IBAN")
        position = end or match.start() + 1


def _iban_end(text: str, start: int, limit: int) -> int | None:
    """Where the account number that begins here ends: its country says how long it is."""
    length = IBAN_LENGTHS.get(text[start : start + 2].upper())
    if length is None:
        return None
    value, end = "", start
    for end in range(start, limit):
        value += text[end] if text[end].isalnum() else ""
        if len(value) == length:
            break
    whole = len(value) == length and not text[end + 1 : end + 2].isalnum()
    return end + 1 if whole and _remainder_97(value[4:] + value[:4]) == 1 else None


def _remainder_97(value: str) -> int:
    """ISO 7064 with letters as numbers from 10."""
    return int("".join(str(int(sign, 36)) for sign in value)) % 97


def find_cards(text: str) -> Iterator[Span]:
    """Payment card numbers: a known issuer's with a right Luhn sum, or any number that the text calls a card's."""
    for match in CARD.finditer(text):
        if _is_card(text, match.start(), match.end()) and not in_sum(text, match.start(), match.end()):
            yield Span(match.start(), match.end(), "CARD")


def _is_card(text: str, start: int, end: int) -> bool:
    number, earlier = digits(text[start:end]), before(text, start)
    if len(set(number)) == 1:
        return False
    named = CARD_BEFORE.search(earlier) or CARD_AFTER.match(text, end)
    other = OTHER_NUMBER.search(earlier)
    branded = CARD_BRANDS.fullmatch(number)
    if luhn_holds(number):
        return bool(named if other or not branded else True)
    # A mistyped card is still somebody's; only its own words can tell it from other long numbers.
    return bool(named and branded and not other)


def luhn_holds(number: str) -> bool:
    """ISO/IEC 7812: every second digit from the right doubled, the sum of all digits ends in 0."""
    doubled = sum(DOUBLED[int(digit)] for digit in number[-2::-2])
    return (doubled + sum(map(int, number[-1::-2]))) % 10 == 0


DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def find_accounts(text: str) -> Iterator[Span]:
    """Bank account, routing and sort code numbers that the text calls so."""
    for place in places(text, ACCOUNT_WORDS):
        if match := ACCOUNT.match(text, place):
            yield Span(match.start(1), match.end(1), "BANK_ACCOUNT")


def find_wallets(text: str) -> Iterator[Span]:
    """Addresses of Bitcoin (with right check signs) and Ethereum wallets."""
    for match in WALLET.finditer(text):
        if _is_wallet(match[0]):
            yield Span(match.start(), match.end(), "WALLET")


def _is_wallet(value: str) -> bool:
    if value.startswith("0x"):
        return len(set(value[2:].lower())) > 4
    if value.startswith("bc1p"):  # bech32m, which stdnum does not check
        return len(value) == 62
    from stdnum import bitcoin

    return bitcoin.is_valid(value)
