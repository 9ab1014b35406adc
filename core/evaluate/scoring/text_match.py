"""What a text says, for scores: a label, JSON fields, words."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""A sign of a script that puts no spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


def plain(text: str) -> str:
    """The text in Unicode normal form C with every run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def label(text: str) -> str:
    """The text as a class name: no case, no outer white space or punctuation."""
    whole = plain(text).casefold()
    start, end = 0, len(whole)
    while start < end and _is_outer(whole[start]):
        start += 1
    while end > start and _is_outer(whole[end - 1]):
        end -= 1
    return whole[start:end] or whole


def spelled(references: Iterable[str]) -> dict[str, str]:
    """Each label as the first reference that names it writes it."""
    found: dict[str, str] = {}
    for reference in references:
        found.setdefault(label(reference), plain(reference))
    return found


def _is_outer(character: str) -> bool:
    """Whether it can stand around a label without belonging to it; "c#", "5%" and "+" keep theirs."""
    kind = unicodedata.category(character)
    return kind in ("Pi", "Pf", "Ps", "Pe", "Zs") or character == "`" or (kind == "Po" and character not in "#%&@/\\")


def as_json(text: str) -> Any | None:
    """The JSON object or array that the whole text is, or None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def embedded_json(text: str) -> Any | None:
    """The first JSON object or array that begins in the text, or None; code fences and talk around it are skipped."""
    decoder = json.JSONDecoder()
    for start in (match.start() for match in re.finditer(r"[\[{]", text)):
        try:
            return decoder.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            continue
    return None


def json_leaves(value: Any, path: str = "") -> Counter[tuple[str, str]]:
    """Every scalar inside a JSON value with the path to it; an empty object or array counts as one leaf."""
    if value is None and not path:
        return Counter()
    if isinstance(value, dict) and value:
        return sum((json_leaves(item, f"{path}.{key}") for key, item in value.items()), Counter())
    if isinstance(value, list) and value:
        return sum((json_leaves(item, f"{path}[{index}]") for index, item in enumerate(value)), Counter())
    return Counter({(path or ".", _leaf(value)): 1})


def _leaf(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 and 1 are the same number in JSON
    return json.dumps(plain(value) if isinstance(value, str) else value, ensure_ascii=False)


def equal(answer: str, reference: str) -> bool:
    """Whether the texts are equal but for white space; two JSON values are equal when their fields are."""
    wanted = as_json(reference)
    if wanted is None:
        return plain(answer) == plain(reference)
    given = as_json(answer)
    return given is not None and json_leaves(given) == json_leaves(wanted)


def words(text: str) -> list[str]:
    """The words as SQuAD's scorer sees them: no case, no punctuation, no English articles.

    Where words have no spaces between them each sign is one, as CMRC's scorer has it for Chinese.
    """
    bare = "".join(c for c in text.casefold() if not unicodedata.category(c).startswith("P"))
    bare = UNSPACED.sub(r" \g<0> ", bare)
    return [word for word in bare.split() if word not in ("a", "an", "the")]


def word_overlap_f1(answer: str, reference: str) -> float:
    """F1 of the words in common, 0 to 1; two texts without words agree."""
    given, wanted = Counter(words(answer)), Counter(words(reference))
    common = (given & wanted).total()
    if not given or not wanted:
        return float(given == wanted)
    return 2 * common / (given.total() + wanted.total())
