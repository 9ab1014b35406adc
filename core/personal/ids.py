"""National identity, tax, social security, health and document numbers.

A number is one of these when it has the shape that a country writes them in, its check digits are right, and, where
many other numbers pass too, a word nearby says what it is. Documents without check digits need such a word always.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from .kinds import REACH, Span, before, digits, in_sum, places

Vouched = Literal["alone", "named"]


@dataclass(frozen=True, slots=True)
class NationalId:
    """How one country writes one kind of number."""

    check: str
    """The python-stdnum module that knows its check digits, or the name of a function in CHECKS."""

    shapes: tuple[str, ...]
    """Its ways of being written: 9 stands for a digit, A for a letter."""

    vouched: Vouched
    """alone: shape and check digits leave no doubt. named: a word nearby must say what it is."""

    words: str = ""
    """A pattern of the lower-case words that name it, beside those that name any such number."""


ANY_STEMS = ("nation", "identi", "id", "tax", "person", "social", "citizen", "nin", "tin", "ssn", "pin", "resident")
ANY_ID = re.compile(
    r"national (?:id|identi|insurance|number)|identi(?:ty|fication|dad|té|tà|tät|tets)|\bid(?: card)?(?: number"
    r"| no\b| nr\b|:|#)"
    r"|tax(?:payer)?[ \-]?(?:id|number|no\b|file|code|ref)|personal (?:number|code|id)|social (?:security|insurance)"
    r"|citizen|\bnin\b|\btin\b|\bssn\b|\bpin code|resident"
)


def _id(check: str, shapes: str, vouched: Vouched, words: str = "") -> NationalId:
    return NationalId(check, tuple(shapes.split("|")), vouched, words)


ELEVEN = "99999999999"
NATIONAL_IDS = (
    _id("us_itin", "999-99-9999|999 99 9999", "alone"),
    _id("us_itin", "999999999", "named", r"\bitin\b"),
    _id("medicare", "9AA9-AA9-AA99|9A99-AA9-AA99|9AA9-A99-AA99|9A99-A99-AA99", "alone"),
    _id("medicare", "9AA9AA9AA99|9A99AA9AA99|9AA9A99AA99|9A99A99AA99", "named", r"medicare|\bmbi\b"),
    _id("gb_nino", "AA999999A|AA 999999A|AA 99 99 99 A|AA-99-99-99-A|AA 999999 A|AA 99 99 99A", "alone"),
    _id("gb.nhs", "9999999999|999 999 9999|999-999-9999", "named", r"\bnhs\b|health (?:service )?n|patient"),
    _id("gb.utr", "9999999999|99999 99999", "named", r"\butr\b|taxpayer ref"),
    _id("shape", "AAAAA999999AA9AA|AAAAA999999A99AA|AAAA9999999AA9AA|AAAA9999999A99AA", "alone"),  # UK driving licence
    _id("de.idnr", f"{ELEVEN}|99 999 999 999", "named", r"steuer|\bidnr|\btin\b|\bid-nr"),
    _id("shape", "99999999A999|99 999999 A 999|99999999 A 999", "named", r"versicherung|\bsvnr|\brvnr"),
    _id("fr.nir", "999999999999999|9 99 99 99 999 999 99|9 99 99 9A 999 999 99", "alone"),
    _id("fr.nif", "9999999999999|99 99 999 999 999", "named", r"fiscal|\bspi\b|\bnif\b"),
    _id("es.dni", "99999999A|99999999-A|99.999.999-A|99999999 A", "alone"),
    _id("es.nie", "A9999999A|A-9999999-A|A9999999-A", "alone"),
    _id("it.codicefiscale", "AAAAAA99A99A999A|AAAAAA 99A99 A999A|AAA AAA 99A99 A999A", "alone"),
    _id("nl.bsn", "999999999|9999.99.999|9999 99 999|999 999 999", "named", r"\bbsn\b|burgerservice|\bsofi"),
    _id("be.nn", f"99.99.99-999.99|99.99.99 999.99|{ELEVEN}", "alone"),
    _id("pl.pesel", ELEVEN, "alone"),
    _id("pl.nip", "9999999999|999-999-99-99|999-99-99-999", "named", r"\bnip\b"),
    _id("pt.nif", "999999999|999 999 999", "named", r"\bnif\b|contribuinte"),
    _id("pt.cc", "99999999 9 AA9|999999999AA9", "alone"),
    _id("at.vnr", "9999999999|9999 999999|9999-999999", "named", r"versicherung|\bsvnr|\bsv-nr|\bvsnr"),
    _id("ch.ssn", "999.9999.9999.99|9999999999999", "alone"),
    _id("se.personnummer", "999999-9999|99999999-9999|999999+9999", "alone"),
    _id("se.personnummer", "9999999999|999999999999", "named", r"person(?:al )?n|\bpnr\b"),
    _id("no.fodselsnummer", f"{ELEVEN}|999999 99999", "alone"),
    _id("dk.cpr", "999999-9999|9999999999", "named", r"\bcpr\b|person(?:al )?n"),
    _id("fi.hetu", "999999-999A|999999A999A|999999+999A|999999-9999|999999A9999", "alone"),
    _id("is_.kennitala", "999999-9999", "alone"),
    _id("is_.kennitala", "9999999999", "named", r"kennitala"),
    _id("ie.pps", "9999999A|9999999AA", "named", r"\bpps|public service"),
    _id("ee.ik", ELEVEN, "alone"),
    _id("lt.asmens", ELEVEN, "alone"),
    _id("lv.pvn", f"999999-99999|{ELEVEN}", "named", r"personas|\bpk\b"),
    _id("cz.rc", "999999/9999|999999/999", "alone"),
    _id("cz.rc", "9999999999", "named", r"rodn"),
    _id("ro.cnp", "9999999999999", "alone"),
    _id("bg.egn", "9999999999", "named", r"егн|\begn\b"),
    _id("gr.amka", ELEVEN, "named", r"αμκα|\bamka\b"),
    _id("hr.oib", ELEVEN, "named", r"\boib\b"),
    _id("si.emso", "9999999999999", "alone"),
    _id("ua.rntrc", "9999999999", "named", r"рнокпп|\brntrc|іпн"),
    _id("ru.inn", "999999999999", "named", r"инн|\binn\b"),
    _id("ru_snils", "999-999-999 99|999-999-999-99", "alone"),
    _id("tr.tckimlik", ELEVEN, "alone"),
    _id("il.idnr", "999999999|99999999-9", "named", r"teudat|israel|ת\.?ז"),
    _id("cn.ric", "999999999999999999|99999999999999999A", "alone"),
    _id("kr.rrn", "999999-9999999", "alone"),
    _id("kr.rrn", "9999999999999", "named", r"주민|\brrn\b"),
    _id("kr_rrn_new", "999999-9999999", "alone"),
    _id(
        "jp.in_", "999999999999|9999 9999 9999|9999-9999-9999", "named", r"my number|マイナンバー|個人番号|individual n"
    ),
    _id("tw_id", "A999999999", "alone"),
    _id("sg_nric", "A9999999A", "alone"),
    _id("hk_id", "A999999(9)|AA999999(9)|A999999(A)|AA999999(A)", "alone"),
    _id("my.nric", "999999-99-9999", "alone"),
    _id("my.nric", "999999999999", "named", r"\bnric\b|mykad|\bic\b"),
    _id("th.pin", "9-9999-99999-99-9|9 9999 99999 99 9", "alone"),
    _id("th.pin", "9999999999999", "named", r"thai|ประชาชน"),
    _id("id.nik", "9999999999999999", "named", r"\bnik\b|\bktp\b"),
    _id("pk.cnic", "99999-9999999-9", "alone"),
    _id("in_.aadhaar", "9999 9999 9999|9999-9999-9999", "alone"),
    _id("in_.aadhaar", "999999999999", "named", r"aadh?aa?r|\buid"),
    _id("in_.pan", "AAAAA9999A", "alone"),
    _id("in_.epic", "AAA9999999", "named", r"voter|\bepic\b|elect"),
    _id("au.tfn", "999 999 999|999999999|99999999", "named", r"\btfn\b|tax file"),
    _id("au_medicare", "9999 99999 9|9999-99999-9", "alone"),
    _id("au_medicare", "9999999999", "named", r"medicare"),
    _id("nz.ird", "999-999-999|99-999-999|999999999|99999999", "named", r"\bird\b|inland revenue"),
    _id("ca.sin", "999-999-999|999 999 999|999999999", "named", r"\bsin\b|social insurance|\bnas\b"),
    _id("br.cpf", "999.999.999-99", "alone"),
    _id("br.cpf", f"{ELEVEN}|999 999 999 99|999999999-99", "named", r"\bcpf\b"),
    _id("br.cnpj", "99.999.999/9999-99", "alone"),
    _id("br.cnpj", "99999999999999", "named", r"\bcnpj\b"),
    _id("mx.curp", "AAAA999999AAAAAA99|AAAA999999AAAAAAA9", "alone"),
    _id("mx.rfc", "AAAA999999AA9|AAAA9999999A9|AAAA999999999|AAAA999999A99|AAAA99999999A|AAAA999999AAA", "alone"),
    _id("ar.dni", "99.999.999|99999999", "named", r"\bdni\b|documento"),
    _id("ar.cuit", "99-99999999-9", "alone"),
    _id("ar.cuit", ELEVEN, "named", r"\bcui[tl]\b"),
    _id("cl.rut", "99.999.999-9|9.999.999-9|99.999.999-A|9.999.999-A", "alone"),
    _id("cl.rut", "99999999-9|9999999-9|99999999-A|999999999", "named", r"\bru[tn]\b"),
    _id("ec.ci", "9999999999|999999999-9", "named", r"c[eé]dula|\bci\b"),
    _id("do.cedula", "999-9999999-9", "alone"),
    _id("cr.cpf", "9-9999-9999|99-9999-9999", "named", r"c[eé]dula"),
    _id("ve.rif", "A-99999999-9", "alone"),
    _id("za.idnr", "9999999999999|999999 9999 999|999999 9999 99 9", "alone"),
    _id("ng_nin", ELEVEN, "named", r"\bnin\b|national identification"),
)


@cache
def _by_shape() -> dict[str, tuple[NationalId, ...]]:
    found: dict[str, tuple[NationalId, ...]] = {}
    for kind in NATIONAL_IDS:
        for shape in kind.shapes:
            found[shape] = (*found.get(shape, ()), kind)
    return found


SHAPE = str.maketrans("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "9" * 10 + "A" * 52)

# A word that may be a number, and one in groups with single spaces between, which a group of letters may precede.
WORD = re.compile(r"(?<![\w/+@#$])(?<!\w[.,\-])[A-Za-z]{0,6}[.\-]?[0-9][^\s:=,;\"'<>|]{5,22}")
SPACED = re.compile(
    r"[0-9](?<![\w/+@#$][0-9])(?<!\w[.,\-][0-9])"
    r"(?:[\dA-Za-z.\-]{0,8}(?: [A-Za-z]?\d[\dA-Za-z.\-]{0,8}){1,6}(?: [A-Za-z]{1,2}\d{0,2})?(?: \d{1,3})?"
    r"|\d{5} ?[A-Za-z])"
    r"(?![\w@])"
)
LETTERS_BEFORE = re.compile(r"(?<!\w)([A-Za-z]{3} )?[A-Za-z]{2,6} $")
END_GROUP = re.compile(r"(?: [A-Za-z]{1,2}\d{0,2})?(?: [A-Za-z0-9]{1,3})?$")


def find_national_ids(text: str) -> Iterator[Span]:
    """Numbers that a country gives to a person, by shape and check digits."""
    for match in WORD.finditer(text):
        end = match.start() + len(match[0].rstrip(".!?*_`-)]}" if "(" not in match[0] else ".!?"))
        if _holds(text, match.start(), end):
            yield Span(match.start(), end, "NATIONAL_ID")
    for match in SPACED.finditer(text):
        for start, end in _readings(text, match):
            if _holds(text, start, end):
                yield Span(start, end, "NATIONAL_ID")
                break


def _readings(text: str, match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The groups with letters before them, and without; to their end, and without a last one that may be a word."""
    starts, value = [match.start()], match[0].rstrip(".-")
    if letters := LETTERS_BEFORE.search(text, max(0, match.start() - 11), match.start()):
        starts = [letters.start(), letters.end(1) if letters[1] else letters.start(), match.start()]
    ends = [len(value), *(gap.start() for gap in END_GROUP.finditer(value))]
    for start in starts:
        for end in ends:
            if start < match.start() + end and " " in text[start : match.start() + end]:
                yield start, match.start() + end


def _holds(text: str, start: int, end: int) -> bool:
    value = text[start:end]
    kinds = _by_shape().get(value.translate(SHAPE))
    if kinds is None or in_sum(text, start, end):
        return False
    around = f"{before(text, start)}\n{text[end : end + REACH // 3].lower()}"
    named = any(stem in around for stem in ANY_STEMS) and ANY_ID.search(around) is not None
    return any(
        (named or kind.vouched == "alone" or (kind.words and re.search(kind.words, around)))
        and _checks(kind.check, value)
        for kind in kinds
    )


def _checks(check: str, value: str) -> bool:
    own = CHECKS.get(check)
    if own is not None:
        return own(value.upper())
    try:
        return len(set(digits(value))) > 1 and _module(check).is_valid(value)
    except LookupError:  # stdnum's, of a county of China that it does not know
        return False


@cache
def _module(name: str):  # python-stdnum's modules have one function in common and no type for it
    return importlib.import_module(f"stdnum.{name}")


def _is_nino(value: str) -> bool:
    """HMRC manual NIM39110: letters that are not used, and suffixes A to D."""
    value = re.sub(r"[ \-]", "", value)
    return bool(re.fullmatch(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]", value))


def _is_medicare(value: str) -> bool:
    """CMS: no S, L, O, I, B or Z in a Medicare beneficiary's number."""
    return not set("SLOIBZ") & set(value) and value[0] != "0"


def _is_snils(value: str) -> bool:
    number = digits(value)
    total = sum(int(digit) * (9 - place) for place, digit in enumerate(number[:9]))
    return (total % 101) % 100 == int(number[9:])


def _is_new_rrn(value: str) -> bool:
    """Since 2020 Korea's numbers end in random digits; date and gender digit remain."""
    return bool(re.fullmatch(r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-[1-8]\d{6}", value))


TAIWAN = dict(zip("ABCDEFGHJKLMNPQRSTUVXYWZIO", range(10, 36), strict=True))


def _is_taiwanese(value: str) -> bool:
    first = TAIWAN[value[0]]
    weighed = sum(int(digit) * weight for digit, weight in zip(value[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1), strict=True))
    return value[1] in "1289" and (first // 10 + first % 10 * 9 + weighed) % 10 == 0


def _is_singaporean(value: str) -> bool:
    series = {"S": (0, "JZIHGFEDCBA"), "T": (4, "JZIHGFEDCBA"), "F": (0, "XWUTRQPNMLK"), "G": (4, "XWUTRQPNMLK")}
    if value[0] == "M":
        offset, letters = 3, "KLJNPQRTUWX"[::-1]
    elif value[0] in series:
        offset, letters = series[value[0]]
    else:
        return False
    total = offset + sum(int(digit) * weight for digit, weight in zip(value[1:8], (2, 7, 6, 5, 4, 3, 2), strict=True))
    return letters[total % 11] == value[8]


def _is_hong_kong(value: str) -> bool:
    body = value.replace("(", "").replace(")", "").rjust(9)
    signs = [36 if sign == " " else int(sign, 36) for sign in body]
    return sum(sign * weight for sign, weight in zip(signs, range(9, 0, -1), strict=True)) % 11 == 0


def _is_australian_medicare(value: str) -> bool:
    number = digits(value)
    total = sum(int(digit) * weight for digit, weight in zip(number[:8], (1, 3, 7, 9, 1, 3, 7, 9), strict=True))
    return number[0] in "23456" and total % 10 == int(number[8])


def _is_itin(value: str) -> bool:
    """IRS Publication 1915: begins with 9; which fourth and fifth digits are in use."""
    group = int(digits(value)[3:5])
    return value[0] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or (group >= 90 and group != 93))


CHECKS: dict[str, Callable[[str], bool]] = {
    "shape": lambda value: True,
    "us_itin": _is_itin,
    "gb_nino": _is_nino,
    "medicare": _is_medicare,
    "ru_snils": _is_snils,
    "kr_rrn_new": _is_new_rrn,
    "tw_id": _is_taiwanese,
    "sg_nric": _is_singaporean,
    "hk_id": _is_hong_kong,
    "au_medicare": _is_australian_medicare,
    "ng_nin": lambda value: len(set(value)) > 2,
}

SSN = re.compile(r"(?<![\w\-.])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w\-])")
NAMED_SSN = re.compile(
    r"(?i)(?:\bssn?|social(?: security)?(?: (?:number|no\.?|#))?)\b[^\d\n_]{0,20}"
    r"((?!000|666|9)\d{3}[ \-.]?(?!00)\d{2}[ \-.]?(?!0000)\d{4})(?![\w\-]|\.\d)"
)


def find_ssns(text: str) -> Iterator[Span]:
    """US social security numbers."""
    for match in SSN.finditer(text):
        yield Span(match.start(), match.end(), "SSN")
    for match in NAMED_SSN.finditer(text):
        yield Span(match.start(1), match.end(1), "SSN")


DOCUMENT_WORDS = (  # how the alternatives below begin
    *(
        "passport",
        "travel document",
        "kvnr",
        "versicherten",
        "driv",
        "licen",
        "dl ",
        "state id",
        "national i",
        "identi",
    ),
    *("id card", "id n", "residence permit", "visa ", "green card", "alien registration", "medical record", "mrn"),
    *("patient ", "health ", "medica", "insurance ", "voter", "tax", "tin", "nin", "employee id", "student id"),
    *("personalausweis", "ausweis", "reisepass", "führerschein", "fuhrerschein", "steuer", "passeport", "permis"),
    *("carte ", "pasaporte", "passaporto", "passaporte", "carta ", "patente", "paspoort", "rijbewijs", "dowód"),
    *("carteira", "rg"),
)
DOCUMENT = re.compile(
    r"(?i)\b(?:passports?|travel document|kvnr|versicherten-?n(?:umme)?r\.?|(?:driv(?:er|ing)(?:['\u2019]?s)?"
    r"|driver) (?:licen[cs]e|permit)|licen[cs]e (?=n|#)"
    r"|dl (?=n|#)|state id"
    r"|national (?:id(?:entity|entification)?|insurance)(?: card)?|(?:identity|identification|id) card|\bid (?=n)"
    r"|residence permit"
    r"|visa (?=n|#)|green card|alien registration|medical record|mrn\b|patient (?=id|n)|health (?:card|insurance)"
    r"|medicare|medicaid"
    r"|insurance (?=n|id|policy)|voter(?:'s)?(?: id)?|tax(?:payer)? id(?:entification)?|\btin\b|\bnin\b|employee id"
    r"|student id"
    r"|personalausweis\w*|ausweis\w*|reisepass\w*|f[uü]hrerschein\w*|steuer-?(?:id|nummer)|passeport"
    r"|permis de conduire"
    r"|carte (?:nationale )?d['\u2019]identité|pasaporte|licencia de conducir|passaporto|carta d['\u2019]identità"
    r"|patente di guida"
    r"|paspoort\w*|rijbewijs\w*|dowód osobisty|passaporte|carteira|\brg\b)"
    r"(?:[ \-]{0,2}(?:number|num|no\b|nr\b|nº|n°|id|card|code|#)\.?){0,2}[^\w\n]{0,3}(?:(?:is|was|as|of|ist|est|es"
    r"|è|é)\b[^\w\n]{0,3})?"
    r"(?-i:((?:[A-Z]{1,5}[ \-]?|[a-z]{1,3})?\d[\dA-Z]*(?:[ \-./]\d[\dA-Z]*){0,4}))(?![\w]|[.,/]\d)"
)
NUMBER_DIGITS = range(5, 19)
YEARS = re.compile(r"(?:19|20)\d\d(?:[\-/ .]\d{1,2}){0,2}|\d{1,2}[\-/ .]\d{1,2}[\-/ .](?:19|20)?\d\d")


def find_documents(text: str) -> Iterator[Span]:
    """Numbers of passports, licences, patients and the like that the text calls so."""
    for place in places(text, DOCUMENT_WORDS):
        match = DOCUMENT.match(text, place)
        if match and len(digits(match[1])) in NUMBER_DIGITS and not YEARS.fullmatch(match[1]):
            yield Span(match.start(1), match.end(1), "NATIONAL_ID")
