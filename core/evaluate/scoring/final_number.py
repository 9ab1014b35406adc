"""The number that a text ends in, however people of some country or field write it."""

import re
from fractions import Fraction

FINAL_MARK = "####"  # GSM8K writes its result behind it
SPACE = "[ \u00a0\u2009\u202f'\u2019]"  # between thousands: as in French or Russian, and in Switzerland
SHAPES = (
    r"(?<!\d/)(?:\d+ )?\d+/[1-9]\d*(?![\d/])",  # 3/4 and 1 1/2, no date
    r"[1-9]\d{0,2}(?:\.\d{3})+,\d+",  # 1.234,50
    r"[1-9]\d{0,2}(?:\.\d{3}){2,}(?![\d.])",  # 1.234.567
    r"[1-9]\d{0,2}(?:,\d{3})+(?!,?\d)(?:\.\d+)?",  # 1,234.50
    rf"[1-9]\d{{0,2}}(?:{SPACE}\d{{3}})+(?!\d)(?:[.,]\d+)?",  # 1 234,50
    r"(?<!\d,)\d+,\d+(?!,?\d)",  # 12,5
    r"\d+(?:\.\d+)?",
    r"\.\d+",
)
NUMBER = re.compile(
    rf"(?P<sign>(?<![\w)])[-+\u2212])?(?P<size>{'|'.join(SHAPES)})(?:[eE](?P<exponent>[-+]?\d{{1,3}})(?!\d))?%?"
)
POWER = re.compile(r"(?:\^|\*\*)\{?$")


def final_number(text: str) -> Fraction | None:
    """The number behind the last "####", else the last number of the text; None without one.

    Thousands separators go; 5% is 5, 2,5 is 2.5. Digits that belong to a word or unit (m2, CO2, s^-1) count only
    where there are no others.
    """
    _, mark, behind = text.rpartition(FINAL_MARK)
    tail = behind if mark else text
    found = list(NUMBER.finditer(tail))
    alone = [one for one in found if not _is_glued(tail[: one.start()])] or found
    if not alone:
        return None
    return _value(alone[0 if mark else -1])


def is_number(text: str) -> bool:
    """Whether the whole text is one number, a currency sign allowed."""
    return NUMBER.fullmatch(text.strip().lstrip("$€£")) is not None


def _is_glued(before: str) -> bool:
    """Whether what stands before a number makes it part of a word; scripts without case put none between them."""
    last = POWER.sub("", before)[-1:]
    return last.lower() != last.upper()


def _value(found: re.Match[str]) -> Fraction:
    sign = -1 if found["sign"] in ("-", "\u2212") else 1
    return sign * _size(found["size"]) * Fraction(10) ** int(found["exponent"] or 0)


def _size(digits: str) -> Fraction:
    if "/" in digits:
        *whole, part = digits.split(" ")
        above, below = part.split("/")
        return Fraction(int(above), int(below)) + sum(map(int, whole))
    bare = re.sub(SPACE, "", digits)
    if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?", bare):
        return Fraction(bare.replace(",", ""))
    if "," in bare:  # then it parts the decimals, and points the thousands
        return Fraction(bare.replace(".", "").replace(",", "."))
    return Fraction(bare.replace(".", "") if bare.count(".") > 1 else bare)
