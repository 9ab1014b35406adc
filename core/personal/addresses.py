"""Postal addresses, as far as their own words give them away: a street's kind, a box, a unit, a postcode."""

import re
from collections.abc import Iterator
from itertools import pairwise

from .kinds import Span, before, places

STREET_KINDS = (
    r"(?:St(?:reet|\.)?|Ave(?:nue|\.)?|R(?:oa)?d\.?|La?n(?:e|\.)?|Dr(?:ive|\.)?|Blvd\.?|Boulevard|Way|C(?:our)?t\.?"
    r"|Pl(?:ace|\.)?|Sq(?:uare|\.)?|Terr?(?:ace|\.)?|Pkwy\.?|Parkway|H(?:igh)?wy\.?|Highway|Cir(?:cle|\.)?"
    r"|Cres(?:cent|\.)?"
    r"|Close|Trail|Trl|Grove|Gardens?|Alley|Mews|Row|Plaza|Pike|Turnpike|Expressway|Walk|Bypass|Heights|Hill|Ridge"
    r"|Route"
    r"|Quay|Wharf)"
)
UNIT = r"(?:,?\s{1,3}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|Building|Bldg|#)\.?\s?#?[A-Z]?\d{1,5}[A-Z]?)"
US_STATES = (
    "A[LKZRAEP]|C[AOT]|D[CE]|FL|G[AU]|HI|I[DLNA]|K[SY]|LA|M[EDAINSOTH]|N[EVHJMYCD]|O[HKR]|P[ARW]|RI|S[CD]|T[NX]|UT"
    "|V[TAI]|W[AVIY]"
)
UK_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"
PLACE = (
    rf"(?:(?:,\s{{0,3}}|\s{{1,4}})[A-Z][\w'.\-]*(?: [A-Z][\w'.\-]*){{0,3}}){{0,2}}"
    rf"(?:,?\s{{1,4}}(?:(?:{US_STATES})\b\.?(?:,?\s{{1,3}}\d{{5}}(?:-\d{{4}})?)?|{UK_POSTCODE}|\d{{5}}(?:-\d{{4}})?))"
)
CHUNKS = rf"(?:\s?[,\n]\s{{0,4}}[^\W\d_][^\n,\d.;:?!]{{1,30}}){{1,3}}\s(?:\d{{5}}(?:-\d{{4}})?|\d{{4}}|{UK_POSTCODE})\b"
ENGLISH = re.compile(
    rf"(?:\d{{1,6}}(?:[A-Za-z]|-\d{{1,5}}| 1/2)?)\s(?:(?:[NSEW]|North|South|East|West|NE|NW|SE|SW)\.?\s)?"
    rf"(?:[A-Z][\w'\u2019.\-]*\s|\d{{1,3}}(?:st|nd|rd|th)\s){{1,4}}?{STREET_KINDS}"
    r"(?:\s(?:[NSEW]|NE|NW|SE|SW)\b\.?)?(?![\w'\u2019]|-\w)"
    rf"{UNIT}?(?:{PLACE}|{CHUNKS})?{UNIT}?"
)
BOX = re.compile(
    r"(?<!\w)(?:P\.?\s?O\.?\s?Box|Post(?:al)? Office Box|PSC \d{1,5},? Box|Unit \d{1,5},? Box|Postfach"
    r"|Apartado(?: de Correos)?)\s#?\d{1,6}"
    rf"(?:,?\s{{1,3}}[AFD]PO A[AEP](?: \d{{5}})?|{PLACE})?"
)
NAVAL = re.compile(r"(?<!\w)(?:USNS|USS|USNV|USCGC) [A-Z][a-z]+,?\s{1,3}FPO A[AEP](?: \d{5})?")

# Other languages: the street's kind stands before its name (Calle), ends it (-straße), or follows the number (rue).
BEGIN_STREET = """
    Calle calle Avenida avenida Avda. Plaza Paseo Camino Carrera Via Viale viale Corso Piazza piazza Rua rua Travessa
    Praça praça Rúa Camiño ul. Ul. ulica ул. улица Strada Str. Bulevardul Jalan Jl. Avenue Rue rue Boulevard Chemin Quai
"""
END_STREET = """
    straße strasse str. weg gasse platz allee ufer damm straat laan plein gracht singel steenweg dreef gatan vägen gränd
    väg vej vejen sgade rgade veien vegen gata katu utca út út. tér brücke
"""
PARTICLES = "de da do das dos del della dei la las los el von van du des le les"  # between a street's kind and its name
STREET_WORDS, STREET_ENDINGS = frozenset(BEGIN_STREET.split()), tuple(END_STREET.split())
HOUSE = re.compile(r"\d{1,5}[a-zA-Z]?(?:-\d{1,4}[a-z]?)?(?![\w%]|[.,:]\d)")
TOWN = re.compile(rf"{UNIT}?(?:,?\s{{1,3}}(?:[A-Z]{{1,2}}-)?\d{{4,5}}(?: ?[A-Z]{{2}})? [^\W\d_][\w\-]+|{CHUNKS})?")
FRENCH = re.compile(
    r"\d{1,4}(?:\s?(?:bis|ter))?,?\s"
    r"(?i:rue|avenue|av\.|boulevard|bd\.?|place|impasse|all[ée]e|chemin|quai|route|cours|square)"
    r"\s(?:(?:de la|de l['\u2019]|du|des|de|la|le"
    r"|les)\s?)?(?:[A-ZÀ-Þ][\w'\u2019\-]*[ ]?){1,4}(?:,?\s\d{5} [^\W\d_][\w\-]+)?"
)
# Begins with a plain set, which the regular expression engine skips to quickly, and looks back from there.
NUMBER = re.compile(r"[0-9](?<![\w.,/$€£\-+=*][0-9])[0-9]{0,5}(?![\d%])")

# Cheap: whether the word after a number can be a street's
STREET_FOLLOWS = re.compile(r"[A-Za-z-]{0,4}[\d/ ]{0,4},?\s[A-Z\dabcipqr]")

POSTCODE = re.compile(
    # "post" alone is a message, and "zip" alone may pack files: 500 copies to post, 7000 files to zip
    r"(?i)\b(?:(?:zip|post(?:al)?)[ \-]?codes?|postal|plz|zip(?=\s?[:=#]|\s{1,3}(?:is |was )?\d{5}(?!\d)))\b"
    r"\s?(?:is|was|:|=|#)?:?\s{0,2}"
    r"(\d{5}(?:-\d{4})?|[a-z]{1,2}\d[a-z\d]? ?\d[a-z]{2}|[a-z]\d[a-z] ?\d[a-z]\d"
    r"|\d{4}(?:[a-z]{2}\b| (?-i:[A-Z]{2})\b)?"
    r"|\d{2,4}[ \-]\d{2,4}|\d{3,6})(?!\w|[.,]\d)"
)
LONE_UNIT = re.compile(r"(?<!\w)(?:[Aa]pt|[Ss]uite|APT|SUITE)\.?\s#?\d{1,5}[A-Z]?(?!\w|[.,]\d)")

YEAR_BEFORE = re.compile(r"\b(?:in|since|of|by|until|from|during|circa|after|before|and|the|late|early|mid)\s$")
YEAR = re.compile(r"1[5-9]\d\d|20\d\d")
NOT_STREETS = re.compile(
    r"(?i)\d+\w?\s(?:wall street|sesame street|questions?|steps?|ways?|days?|hours?|minutes?|miles?|years?|tips"
    r"|reasons"
    r"|best|top|easy|quick|great|simple)\b"
)


def _either(words: str) -> str:
    return "|".join(map(re.escape, words.split()))


# In RE2's syntax, one of these for each way in which an address can begin below.
SIGNS = "|".join(
    (
        rf"[0-9](?s:.)*\s{STREET_KINDS}(?:[^A-Za-z0-9_]|$)",
        r"[0-9](?:\s?(?:bis|ter))?,?\s"
        r"(?i:rue|avenue|av\.|boulevard|bd\.?|place|impasse|all[ée]e|chemin|quai|route|cours|square)\s",
        rf"(?i:{_either(END_STREET)}),*\s+[0-9]",
        rf"(?:^|\s)(?:{_either(BEGIN_STREET)})\s(?s:.)*[0-9]",
        r"Box\s#?[0-9]|Apartado|Postfach|FPO",
        r"(?:[Aa]pt|[Ss]uite|APT|SUITE)\.?\s#?[0-9]",
        r"(?i:(?:zip|post(?:al)?|plz)[ \-]?(?:code)?s?\s?(?:is|was|:|=|#)?:?\s?\s?[a-z]{0,2}[0-9])",
    )
)
"""Of which one is in every text that holds an address which is found here."""


def find_addresses(text: str) -> Iterator[Span]:
    """Street addresses, post boxes, and the postcodes and flats that the text calls so."""
    for number in NUMBER.finditer(text):
        if span := _address_at(text, *number.span()):
            yield span
    patterns = [BOX, NAVAL] if any(hint in text for hint in BOX_HINTS) else []
    lower = text.lower()
    if "apt" in lower or "suite" in lower:
        patterns.append(LONE_UNIT)
    for pattern in patterns:
        for match in pattern.finditer(text):
            yield Span(match.start(), match.end(), "ADDRESS")
    for place in places(text, ("zip", "post", "plz")):
        if match := POSTCODE.match(text, place):
            yield Span(match.start(1), match.end(1), "ADDRESS")


BOX_HINTS = ("ox ", "OX ", "FPO", "Apartado", "Postfach")


def _address_at(text: str, place: int, end: int) -> Span | None:
    """The address whose house number stands at a place."""
    if STREET_FOLLOWS.match(text, end):
        if english := ENGLISH.match(text, place):
            return Span(place, english.end(), "ADDRESS") if _is_street(text, english) else None
        if french := FRENCH.match(text, place):
            return Span(place, place + len(french[0].rstrip()), "ADDRESS")
    if text[place - 1 : place] != " ":
        return None
    start = _street_before(text, place)
    house = HOUSE.match(text, place) if start is not None else None
    if start is None or house is None or YEAR.fullmatch(house[0]):
        return None
    town = TOWN.match(text, house.end())
    return Span(start, town.end() if town else house.end(), "ADDRESS")


def _street_before(text: str, place: int) -> int | None:
    """Where the street's name begins that ends just before a number; None when the words there are not a street's."""
    words = text[max(0, place - NAME_REACH) : place].rsplit(None, 6)
    last = words[-1].rstrip(",") if words else ""
    if len(last) > 6 and last.lower().endswith(STREET_ENDINGS) and (last[0].isupper() or len(last) > 11):
        return text.rindex(words[-1], 0, place)
    for word, following in () if STREET_WORDS.isdisjoint(words) else pairwise(words):
        if word in STREET_WORDS and (following[0].isupper() or following in PARTICLES.split()):
            return text.rindex(word, 0, place)
    return None


NAME_REACH = 60  # signs of a street's name


def _is_street(text: str, match: re.Match[str]) -> bool:
    """Whether the number before the street's name is a house's, and not a year or a count."""
    number = match[0].split(None, 1)[0]
    if YEAR.fullmatch(number) and YEAR_BEFORE.search(before(text, match.start(), 10)):
        return False
    return not NOT_STREETS.match(match[0])
