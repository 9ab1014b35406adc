# ruff: noqa: RUF001 - digits of other scripts
import importlib
import itertools
import time

import pytest
from faion_finetuner.core.personal.patterns import find

# Made up, from ranges reserved for examples, or the payment industry's published test numbers; none is anybody's.
VALUES = {
    "EMAIL": (
        *(
            "mail <jane.doe+x@example.co.uk>.",
            "josé.ñandú@example.org!",
            "JOE@EXAMPLE.COM",
            "a_b%c@mail-1.example.museum",
        ),
        *(
            "jane (at) example (dot) org",
            "jane[at]example.org",
            "mailto:x.y@example.de?subject=hi",
            "o'neil@example.ie",
        ),
    ),
    "PHONE": (
        *(
            "+1 (555) 123-4567",
            "(555) 123-4567",
            "555.123.4567",
            "+44 20 7946 0958",
            "+44 (0)151 496 0123",
            "+49-30-901820",
        ),
        *(
            "020 7946 0958",
            "01 23 45 67 89",
            "03.93.92.16.85",
            "06-12345678",
            "0490 75 40 81",
            "089 72 63 41",
            "0612345678",
        ),
        *("001-748-088-2851x818", "(978)645-9740x11144", "+8613812345678", "tel:+14155550123", "phone: 5551234567"),
        *(
            "call me at 467 3395",
            "Fax: 9498777106",
            "50-98-28-96 office",
            "reach us on 73 448 266",
            "WhatsApp 9472 7916",
        ),
        *(
            "My number is 13812345678",
            "Mobile:\n60-56-85-91",
            "cell no. 555 0100",
            "телефон: 495 123-45-67",
            "电话 13812345678",
        ),
    ),
    "CARD": (
        *("4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "3782 822463 10005", "6011111111111117"),
        *(
            "My card 30569309025904 expired",
            "card 4222222222222 please",
            "cc 501800000009, exp 12/29",
            "3530111333300000",
        ),
        *("my credit card number is 4111 1111 1111 1112",),
    ),
    "IBAN": (
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "iban fr1420041010050500013m02606 is",
        "NL91ABNA0417164300",
    ),
    "BANK_ACCOUNT": (
        "account number: 12345678",
        "sort code 12-34-56",
        "Routing number is 021000021",
        "bank account 123-456-789",
    ),
    "WALLET": ("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "0x" + "52908400098527886E0F7030069857D2E4169EE7"),
    "SSN": ("SSN 123-45-6789", "ssn: 123456789", "her social security number is 123 45 6789"),
    "IP": (
        "from 203.0.113.42.",
        "at 2001:db8::ff00:42:8329",
        "::ffff:192.0.2.1",
        "4f8a:c99e:dc86:faf9:5988:5f63:375e:8a2a",
    ),
    "MAC": ("00:1B:44:11:3A:B7", "00-1b-44-11-3a-b7", "on 001b.4411.3ab7."),
    "CREDENTIALS": (
        "https://bob:hunter2@example.com/x",
        "my password is Hunter2!x",
        "postgres://u:p4ss@db.example.org/x",
    ),
    "URL": ("https://www.linkedin.com/in/jane-doe-12345/", "facebook.com/profile.php?id=100001234567"),
    "ADDRESS": (
        *("lives at 221B Baker Street", "123 Main St., Springfield, IL 62704", "10 N. 5th Ave Apt 4B", "P.O. Box 1234"),
        *(
            "Musterstraße 12, 10115 Berlin",
            "12 rue de la Paix, 75002 Paris",
            "Calle Mayor 12",
            "Via Roma 7",
            "ul. Długa 5",
        ),
        *(
            "Kerkstraat 17, 1017 GA Amsterdam",
            "zip code is 90210",
            "ZIP 90210",
            "zip: 1234 AB",
            "PSC 1234, Box 5678\nAPO AE 09012",
        ),
    ),
    "NATIONAL_ID": (
        *(
            "passport number: X1234567",
            "driver's license: D1234567",
            "Her passport A12345678 expired",
            "medical record no. 1234567",
        ),
        *("NINO AB 12 34 56 C", "AB123456C", "ITIN 912-70-1234", "960121-1234567", "MORGA657054SM9IJ", "1EG4-TE5-MK73"),
    ),
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in VALUES.items() for text in texts])
def test_a_value_is_found_with_its_kind_alone_and_in_a_sentence(kind, text):
    for whole in (text, f"Hello there, {text}\nThank you."):
        assert [span.kind for span in find(whole)] == [kind]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("message 123456789012304111 of today", []),  # of a county that stdnum does not know
        ("+1 415 555 0132, ٠٩١-٥٥٥-١٢٣٤", ["PHONE"]),
        ("SAP 0012345678: 电话 ０１０-１２３-４５６７", None),
        ("(٠٩١) ٥٥٥-١٢٣٤ or (415) 555-0132", ["PHONE"]),
    ],
)
def test_numbers_that_no_check_was_made_for_end_nothing(text: str, found: list[str] | None):
    kinds = [span.kind for span in find(text)]
    assert found is None or kinds == found


# A number with ? for the signs that make its check digits right, its python-stdnum module, the text around it.
NUMBERS = """
    943476591? gb.nhs NHS number {}
    8609574273? de.idnr Steuer-ID {}
    2550814168025?? fr.nir {}
    12345678? es.dni {}
    X-1234567-? es.nie {}
    RSSMRA85M01H501? it.codicefiscale {}
    1112223?? nl.bsn BSN: {}
    85.07.30-033.?? be.nn {}
    4405140135? pl.pesel {}
    12345678? pt.nif NIF: {}
    756.1234.5678.9? ch.ssn {}
    811228-987? se.personnummer {}
    151086951?? no.fodselsnummer {}
    131052-308? fi.hetu {}
    1234567?? ie.pps PPS number {}
    710319/274? cz.rc {}
    163061512345? ro.cnp {}
    3800108571? ee.ik {}
    752316926? bg.egn EGN {}
    123.456.789-?? br.cpf {}
    123456789?? br.cpf CPF {}
    16.727.230/0001-?? br.cnpj {}
    12.531.909-? cl.rut {}
    20-05536168-? ar.cuit {}
    BOXW310820HNERXN?? mx.curp {}
    11010519491231002? cn.ric {}
    1-2345-45678-78-? th.pin {}
    ABCPD1234? in_.pan PAN {}
    17291674??? tr.tckimlik {}
    800101500908? za.idnr {}
    12345678? il.idnr Israeli ID {}
    12345678? au.tfn TFN {}
    123-456-78? ca.sin SIN: {}
    4909196? nz.ird IRD number {}
"""


def completed(shape: str, module: str) -> str:
    """The number with its unknown signs filled in so that its check digits are right."""
    check = importlib.import_module(f"stdnum.{module}")
    signs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for filling in itertools.product(signs, repeat=shape.count("?")):
        number = shape.replace("?", "{}").format(*filling)
        if check.is_valid(number):
            return number
    raise AssertionError(shape)


@pytest.mark.parametrize(("shape", "module", "text"), [line.split(None, 2) for line in NUMBERS.strip().splitlines()])
def test_a_national_number_is_found_when_its_check_digits_are_right_and_only_then(shape, module, text):
    number = completed(shape, module)
    whole = f"I said: {text.format(number)}."
    assert [whole[span.start : span.end] for span in find(whole)] == [number]
    assert any(not find(number[:-1] + sign) for sign in "0123456789ABCDEFGHIJ")


NOBODY = (
    *("2024-01-02", "1990-2000", "3.14159265358979", "version 1.2.3.4", "127.0.0.1", "255.255.255.0", "10:30:45"),
    *(
        "1,234,567,890",
        "ISBN 978-3-16-148410-0",
        "ISBN 0-306-40615-2",
        "std::vector<int>::iterator",
        "a::b::c",
        "dead::beef",
    ),
    *(
        "git@github.com:a/b",
        "icon@2x.png",
        "price $1234567890",
        "10 20 30 40 50 60",
        "2023-10-05T12:30:00",
        "1617181920",
    ),
    *("4111 1111 1111 1112", "GB82WEST12345698765433", "1234567890123456", "666-45-6789", "sum 123 456 789"),
    *(
        "the years 2001 2002 2003",
        "555-1234 * 2",
        "555-1234-17",
        "12345678 * 4 = 49382712",
        "order number 123-456-7890",
    ),
    *(
        "order 4111111111111111",
        "tracking 1Z999AA10123456784",
        "timestamp 1700000000000",
        "2,147,483,647",
        "0x7fffffff",
    ),
    *(
        "1.5e10 + 2.5e10",
        "x = 3000000000000 + 62426244000",
        "In 1929 Wall Street crashed",
        "5 Ways to Drive",
        "100 Meters",
    ),
    *(
        "at 10 Downing",
        "Chapter 12 Street life",
        "the 12 best streets",
        "2000/1000 = 2",
        "work 2000/1000",
        "since 1999-2004",
    ),
    *("ratio 16:9:4", "12:30:45.123456", "v2.10.3-beta", "1e-10 to 1e-5", "IPv6 is :: or ::1", "RFC 2616", "3-2-1-0"),
    *("matrix@vector.T", "@app.route", "foo@bar", "model.layers.10.mlp", "100000 200000 300000", "1 000 000 000"),
    *("password: ********", "the password is required", "token=abc", "(1, 2, 3, 4, 5, 6, 7)", "2^31 - 1 = 2147483647"),
    *("-122.4194155, 37.7749295", "call foo(1234567)[0]", "phone = None", "arXiv:1706.03762", "doi 10.1000/182"),
    *("$12,345,678.90", "Day 1 2 3 4 5 6 7", "A4 210 x 297 mm", "1234-5678", "UTC+01:00", "10^9+7", "1/2 + 3/4 - 5/6"),
    *("<<48/2=24>>24 + <<48+24=72>>72", "0.1 0.2 0.30000000000000004", "[1, 0, 0, 1, 0, 1, 0]", "3.1.4.1.5.9.2.6"),
    *("posts 100 photos a day", "a blog post 2023 reads", "HTTP POST 404", "zip 7000 files", "in post-1990 Europe"),
    *("the ZIP 1234 is wrong", "please post 500 copies"),
)


@pytest.mark.parametrize("text", NOBODY)
def test_what_only_looks_like_a_value_is_left(text):
    assert find(text) == []


def test_the_dangers_of_one_value_do_not_hide_its_neighbour():
    text = "a@example.org, +1 202 555 0143; 4111-1111-1111-1111/DE89370400440532013000 203.0.113.9"
    assert [span.kind for span in find(text)] == ["EMAIL", "PHONE", "CARD", "IBAN", "IP"]


SIZE = 100_000
LONG = {
    "digits": "1" * SIZE,
    "letters": "a" * SIZE,
    "at signs": "@" * SIZE,
    "hexadecimal": "0f" * (SIZE // 2),
    "spaces": " " * SIZE,
    "one digit words": "1 " * (SIZE // 2),
    "labels": "a." * (SIZE // 2) + "@",
    "colons": "::" * (SIZE // 2),
    "plus ones": "+1 " * (SIZE // 3),
    "names of secrets": "key= 1a " * (SIZE // 8),
    "armour": "-----BEGIN PRIVATE KEY-----" * (SIZE // 27) + "1",
    "schemes": "a://b:c" * (SIZE // 7) + "@",
    "groups": "0100" * 8 + " 0100" * (SIZE // 5),
    "streets": "1 Aa\n" * (SIZE // 5),
    "base64": "Ab1+/" * (SIZE // 5),
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_a_long_text_costs_linear_time(text):
    find(text[:100])  # what is imported late, is imported now
    start = time.process_time()
    find(text)
    assert time.process_time() - start < 1.0  # 0.2 s on an idle machine; a quadratic pattern takes half a minute
