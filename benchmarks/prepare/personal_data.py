"""Recall and precision of the personal data that patterns find, by kind, and rows per CPU second.

Run: python benchmarks/prepare/personal_data.py [FILE.json]

FILE holds labelled texts in the shape of presidio-research's data sets: a list of {"full_text", "spans":
[{"entity_type", "start_position", "end_position"}]}. Without one, 3,000 labelled texts are generated, the same ones
each time; these say more about speed and about what breaks than about the world, since their author knew the patterns.

A labelled span is found when found spans of any kind cover half of its characters; a found span is right when labelled
spans of structured kinds cover half of its own. Addresses are counted apart: a pattern can know only some of them.
Speed is measured on a second reading, when whatever is imported late has been imported.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from faion_finetuner.core.personal.patterns import Span, find

ADDRESSES = frozenset({"ADDRESS", "STREET_ADDRESS", "ZIP_CODE"})
STRUCTURED = ADDRESSES | {
    *(
        "PHONE_NUMBER",
        "CREDIT_CARD",
        "EMAIL_ADDRESS",
        "IBAN_CODE",
        "US_SSN",
        "US_ITIN",
        "US_PASSPORT",
        "US_DRIVER_LICENSE",
    ),
    *("US_BANK_NUMBER", "IP_ADDRESS", "MAC_ADDRESS", "CRYPTO", "NATIONAL_ID", "API_KEY", "PASSWORD"),
}
GENERATED_TEXTS = 3_000


@dataclass(frozen=True)
class Labelled:
    """A text and where its labelled values stand: start, end, kind."""

    text: str
    values: list[tuple[int, int, str]]


def main(path: str | None) -> None:
    """Print the table."""
    texts = read(Path(path)) if path else list(generated(random.Random(0), GENERATED_TEXTS))
    for row in texts:
        find(row.text)
    began = time.process_time()
    found = [find(row.text) for row in texts]
    seconds = time.process_time() - began
    say("kind", "labelled", "found", "recall")
    report(recalled(texts, found))
    say("kind", "hits", "right", "precision")
    report(precise(texts, found))
    sys.stdout.write(f"{len(texts):,} texts, {len(texts) / seconds:,.0f} per CPU second\n")


def recalled(texts: list[Labelled], found: list[list[Span]]) -> dict[str, tuple[int, int]]:
    """How many labelled values there are of each kind, and how many of them were found."""
    labelled, hit = Counter[str](), Counter[str]()
    for row, spans in zip(texts, found, strict=True):
        for start, end, kind in row.values:
            if kind in STRUCTURED:
                labelled[kind] += 1
                hit[kind] += 2 * sum(overlap(start, end, span.start, span.end) for span in spans) >= end - start
    return {kind: (count, hit[kind]) for kind, count in labelled.items()}


def precise(texts: list[Labelled], found: list[list[Span]]) -> dict[str, tuple[int, int]]:
    """How many values were found of each kind, and how many of them are labelled."""
    hits, right = Counter[str](), Counter[str]()
    for row, spans in zip(texts, found, strict=True):
        for span in spans:
            covered = sum(overlap(span.start, span.end, a, b) for a, b, kind in row.values if kind in STRUCTURED)
            hits[span.kind] += 1
            right[span.kind] += 2 * covered >= span.end - span.start
    return {kind: (count, right[kind]) for kind, count in hits.items()}


def overlap(start: int, end: int, other_start: int, other_end: int) -> int:
    """Characters that two spans share."""
    return max(0, min(end, other_end) - max(start, other_start))


def report(counts: dict[str, tuple[int, int]]) -> None:
    """Print a line a kind, and one for all kinds but addresses."""
    for kind, (total, good) in sorted(counts.items()):
        say(kind, f"{total:,}", f"{good:,}", f"{good / total:.3f}")
    structured = [count for kind, count in counts.items() if kind not in ADDRESSES]
    total, good = (sum(column) for column in zip(*structured, strict=True)) if structured else (0, 0)
    say("all but addresses", f"{total:,}", f"{good:,}", f"{good / total:.3f}" if total else "-")


def say(*columns: str) -> None:
    """Print a line of the table."""
    sys.stdout.write(f"{columns[0]:20}" + "".join(f"{column:>12}" for column in columns[1:]) + "\n")


def read(path: Path) -> list[Labelled]:
    """The labelled texts of a file."""
    return [
        Labelled(
            row["full_text"],
            [(span["start_position"], span["end_position"], span["entity_type"]) for span in row["spans"]],
        )
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]


def generated(rng: random.Random, count: int) -> Iterator[Labelled]:
    """Labelled texts: a third hold values, a third what only looks like values, a third neither."""
    for _ in range(count):
        parts = rng.sample(PLAIN, 3)
        draw = rng.random()
        if draw < 1 / 3:
            kind, make, around = rng.choice(MAKERS)
            before, after = rng.choice(around).split("{}")
            value = make(rng)
            start = len(" ".join(parts)) + 1 + len(before)
            yield Labelled(" ".join([*parts, before + value + after]), [(start, start + len(value), kind)])
        else:
            yield Labelled(" ".join([*parts, rng.choice(ALIKE)(rng)] if draw < 2 / 3 else parts), [])


PLAIN = (
    "Thank you for your message.",
    "Please look into it as soon as you can.",
    "We met in 2019 at the conference in Lyon.",
    "The total was 42 of 97 points.",
    "I would like to change my plan.",
    "It worked until last Tuesday.",
    "Chapter 3 explains how plants make sugar from light.",
    "Write a short poem about autumn.",
)


def digits(rng: random.Random, shape: str) -> str:
    """A shape with a random digit for each #, none of them making a number begin with 0 or 1."""
    return "".join(rng.choice("23456789") if sign == "#" else sign for sign in shape)


def with_luhn(rng: random.Random, shape: str) -> str:
    """A shape whose last digit makes the Luhn sum right (ISO/IEC 7812)."""
    body = digits(rng, shape)
    for last in "0123456789":
        number = "".join(filter(str.isdigit, body + last))
        doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2])
        if (doubled + sum(map(int, number[-1::-2]))) % 10 == 0:
            return body + last
    raise AssertionError(shape)


def iban(rng: random.Random) -> str:
    """A German account number with right check digits (ISO 13616)."""
    account = digits(rng, "#" * 18)
    check = 98 - int(account + "131400") % 97
    return f"DE{check:02}{account}"


def email(rng: random.Random) -> str:
    """An address in a domain that is reserved for examples."""
    name = rng.choice(("jane", "Joe.Bloggs", "k_lee+news", "MARTA"))
    return f"{name}{rng.randint(1, 99)}@example.{rng.choice(('org', 'com'))}"


def key(rng: random.Random) -> str:
    """A token such as code hosts give out."""
    return "gh" + "p_" + "".join(rng.choices("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=35)) + "7"


SAID = ("Call me at {}.", "phone: {}", "My new number is {}, thanks.", "They're not answering at {}", "{} (mobile)")
PHONES = ("(###) ###-####", "###-###-####", "+1 ### ### ####", "+44 20 #### ####", "+49 89 ######", "0#2 #### ####")
MAKERS: tuple[tuple[str, Callable[[random.Random], str], tuple[str, ...]], ...] = (
    ("EMAIL_ADDRESS", email, ("My mail is {}.", "<{}>", "write to {}, please")),
    ("PHONE_NUMBER", lambda rng: digits(rng, rng.choice(PHONES)), SAID),
    ("PHONE_NUMBER", lambda rng: digits(rng, rng.choice(("### ####", "## ## ## ##", "#########"))), SAID),
    ("CREDIT_CARD", lambda rng: with_luhn(rng, "4###-####-####-###"), ("My card {} expired.", "pay with {}")),
    ("CREDIT_CARD", lambda rng: with_luhn(rng, "52#############"), ("card number {}", "It is {}")),
    ("IBAN_CODE", iban, ("IBAN {}", "to {} by Friday")),
    ("US_SSN", lambda rng: digits(rng, "2##-##-####"), ("SSN {}", "It is {}.")),
    ("IP_ADDRESS", lambda rng: f"203.0.113.{rng.randint(1, 254)}", ("from {}.", "ping {} fails")),
    ("API_KEY", key, ("token={}", "use {}", '"{}"')),
    ("US_PASSPORT", lambda rng: digits(rng, "#########"), ("passport number {}", "My passport is {}.")),
    ("STREET_ADDRESS", lambda rng: f"{rng.randint(2, 999)} Oak Street", ("I live at {}.", "Ship it to {}, please")),
)
ALIKE: tuple[Callable[[random.Random], str], ...] = (
    lambda rng: f"Order number {digits(rng, '###-###-####')} has shipped.",
    lambda rng: f"So {digits(rng, '###')} * {digits(rng, '####')} = {digits(rng, '#######')}.",
    lambda rng: (
        f"Since version {digits(rng, '#.##.#')} of 20{digits(rng, '##')}-0{digits(rng, '#')}-1{digits(rng, '#')}."
    ),
    lambda rng: f"ISBN 978-{digits(rng, '#-##-######-#')}",
    lambda rng: f"It took {digits(rng, '###,###,###')} steps, or {digits(rng, '#.########')}e9.",
    lambda rng: f"Timestamp 17{digits(rng, '########')} in the log.",
    lambda rng: f"In 19{digits(rng, '##')} Wall Street fell by {digits(rng, '##.#')}%.",
    lambda rng: f'x = data[{digits(rng, "##")}:{digits(rng, "###")}]  # key="value"',
)

if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
