"""Seeded instruction rows of Alpaca's shape and size, with enough wrong in them that every check has work.

    python benchmarks/prepare/rows.py 50000 rows.jsonl --seed 7

Sentences come from templates over a vocabulary with a long tail, so words, lengths and tokens are about those of
language. `SHARES` says how much is wrong, and how. Nothing in a row is anybody's: addresses end in example.org or
example.net, numbers are drawn at random and given valid check digits. The same seed gives the same rows.
"""

import argparse
import random
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import orjson
from vocabulary import FOREIGN_WORDS, INPUTS, INSTRUCTIONS, OTHER_LANGUAGES, RARE, SENTENCES, WORDS

Row = dict[str, str]
Template = list[tuple[str, str]]
"""Pieces of a sentence: a text, and the kind of word that follows it, or "" for none."""
Choice = TypeVar("Choice")

RECENT = 5_000
"""Copies are made of one of the latest so many rows, so that memory stays small at any number of rows."""

SHARES = {
    "exact duplicate": 0.05,
    "near duplicate": 0.03,
    "personal data": 0.03,
    "other language": 0.02,
    "placeholder input": 0.01,
    "empty answer": 0.005,
    "placeholder answer": 0.005,
    "broken encoding": 0.003,
    "HTML remains": 0.003,
    "far too long": 0.002,
    "control characters": 0.002,
    "answer repeats the question": 0.002,
    "URL as the only input": 0.002,
}
"""Share of rows that are wrong in each way; the rest, 83.6%, are as they should be."""

RARE_SHARE = 0.1
"""Share of words that are made rare ones."""


def generate(count: int, seed: int = 7) -> Iterator[Row]:
    """So many rows, one after the other; memory does not grow with their number."""
    writer = Writer(random.Random(seed))
    recent: list[Row] = []
    for number in range(count):
        row = writer.row(recent)
        if len(recent) < RECENT:
            recent.append(row)
        else:
            recent[number % RECENT] = row
        yield row


def write(path: Path, count: int, seed: int = 7) -> int:
    """Write the rows as JSON lines; returns the file's size in bytes."""
    with path.open("wb") as file:
        for row in generate(count, seed):
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return path.stat().st_size


class Writer:
    """Writes rows from one source of chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._words = {kind: words.split() for kind, words in (WORDS | FOREIGN_WORDS).items()}
        self._instructions, self._inputs, self._sentences = map(_templates, (INSTRUCTIONS, INPUTS, SENTENCES))
        self._foreign = [(_templates(question)[0], _templates(rest)) for question, rest in OTHER_LANGUAGES.values()]
        self._wrong: dict[str, Callable[[list[Row]], Row]] = {
            "exact duplicate": lambda recent: dict(self._one(recent)),
            "near duplicate": lambda recent: self._nearly(self._one(recent)),
            "personal data": lambda _: self._with_personal_data(self.clean()),
            "other language": lambda _: self._in_another_language(),
            "placeholder input": lambda _: self.clean() | {"input": self._one(["<noinput>", "N/A", "No input."])},
            "empty answer": lambda _: self.clean() | {"output": self._one(["", " ", "\n"])},
            "placeholder answer": lambda _: self.clean() | {"output": self._one(["<nooutput>", "N/A", "None"])},
            "broken encoding": lambda _: _read_wrongly(self._in_another_language()),
            "HTML remains": lambda _: _in_html(self.clean()),
            "far too long": lambda _: self.clean() | {"output": self.text(120)},
            "control characters": lambda _: _with_control_characters(self.clean()),
            "answer repeats the question": lambda _: _repeating(self.clean()),
            "URL as the only input": lambda _: self.clean() | {"input": "https://www.example.org/articles/17"},
        }
        self._kinds = [*SHARES, ""]
        self._weights = [*SHARES.values(), 1 - sum(SHARES.values())]

    def row(self, recent: list[Row]) -> Row:
        """The next row, right or wrong; copies are of one of the recent rows."""
        (kind,) = self.chance.choices(self._kinds, self._weights)
        return self._wrong[kind](recent) if kind and recent else self.clean()

    def clean(self) -> Row:
        """A row as it should be: two in five have an input, answers have one to eight sentences."""
        sentences = min(8, max(1, round(self.chance.lognormvariate(1.0, 0.6))))
        return {
            "instruction": self._fill(self._one(self._instructions)),
            "input": self._fill(self._one(self._inputs)) if self.chance.random() < 0.4 else "",
            "output": self.text(sentences),
        }

    def text(self, sentences: int) -> str:
        """So many sentences in a row."""
        return " ".join(self._fill(self._one(self._sentences)) for _ in range(sentences))

    def _one(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self.chance.random() * len(choices))]  # random.choice costs three times as much

    def _fill(self, template: Template) -> str:
        parts = []
        for text, kind in template:
            parts.append(text)
            if kind:
                parts.append(self._word(kind))
        filled = "".join(parts)
        return filled[:1].upper() + filled[1:]

    def _word(self, kind: str) -> str:
        if kind == "number":
            return str(int(self.chance.random() * 58) + 2)
        word = self._one(self._words[kind])
        if kind in FOREIGN_WORDS or kind in ("name", "place") or self.chance.random() > RARE_SHARE:
            return word
        return self._one(RARE["before"]) + word + self._one(RARE["after"])

    def _nearly(self, row: Row) -> Row:
        words = row["output"].split(" ")
        if len(words) > 3:
            words[-2] = self._word("adjective")
        return row | {"output": " ".join(words)}

    def _with_personal_data(self, row: Row) -> Row:
        name, digits = self._one(self._words["name"]).lower(), self.chance.randrange(10**9)
        key = "".join(self.chance.choices(string.ascii_letters + string.digits, k=48))
        sentence = self._one(
            [
                f"Write to {name}.{digits % 1000}@example.org for details.",
                f"Call +1 415 555 01{digits % 100:02d} or +44 20 7946 0{digits % 1000:03d} after lunch.",
                f"The card {_with_luhn('41111' + f'{digits:010d}')} was charged twice.",
                f"Please send it to IBAN {_iban('370400440' + f'{digits:09d}')} today.",
                f"The server at 203.0.113.{digits % 256} did not answer.",
                f"Use https://{name}:s3cret{digits}@db.example.net/main to connect.",
                f"My key is sk-{key}, keep it.",
                f"Her social security number is {501 + digits % 200}-{11 + digits % 80}-{1000 + digits % 8999}.",
            ]
        )
        return row | {"output": f"{row['output']} {sentence}"}

    def _in_another_language(self) -> Row:
        question, answers = self._one(self._foreign)
        answer = " ".join(self._fill(self._one(answers)) for _ in range(3))
        return {"instruction": self._fill(question), "input": "", "output": answer}


def _templates(lines: str) -> list[Template]:
    """One template a line."""
    layout = string.Formatter()
    return [
        [(text, kind or "") for text, kind, _, _ in layout.parse(line.strip())] for line in lines.strip().splitlines()
    ]


def _read_wrongly(row: Row) -> Row:
    return {field: text.encode().decode("latin-1") for field, text in row.items()}


def _in_html(row: Row) -> Row:
    return row | {"output": f"<p>{row['output'].replace('. ', '.<br/>', 1)}&nbsp;</p>"}


def _with_control_characters(row: Row) -> Row:
    return row | {"output": row["output"].replace(" ", "\u200b ", 1) + "\x07"}


def _repeating(row: Row) -> Row:
    return row | {"input": "", "output": row["instruction"]}


def _with_luhn(digits: str) -> str:
    """The digits with the check digit of a payment card."""
    doubled = (int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    total = sum(value - 9 if value > 9 else value for value in doubled)
    return f"{digits}{-total % 10}"


def _iban(account: str) -> str:
    """A German account number with its check digits: 98 less the remainder of the number by 97, DE as 13 14."""
    return f"DE{98 - int(account + '131400') % 97:02d}{account}"


def main() -> None:
    """Write a file of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    write(given.file, given.rows, given.seed)


if __name__ == "__main__":
    main()
