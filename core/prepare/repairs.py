"""Texts repaired where they are broken; good text stays the very same object."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..examples.types import ChatExample, Example, Message
from .placeholders import is_no_input
from .texts import map_texts, texts_of

ROUNDS = 8  # one repair may lay bare what another one mends; two rounds are rare, and every repair comes to an end


@dataclass(frozen=True, slots=True)
class Change:
    """What one rule changed in one example."""

    rule: str
    """The repair, a name in `rules.RULES`."""

    before: dict[str, str]
    """The texts as they were, by place (`messages.1.content`)."""

    after: dict[str, str]
    """The same texts as they are now."""


def repair(example: Example, off: frozenset[str] = frozenset()) -> tuple[Example, list[Change]]:
    """The example with its broken texts repaired, and what changed, in order; the same object when nothing is broken.

    Repairing what this returns changes nothing.

    Args:
        example: What to repair; it stays as it is.
        off: Names of repairs not to make.
    """
    changes: list[Change] = []
    if "placeholder_input" not in off:
        example, emptied = _empty_inputs(example)
        changes += emptied
    for _ in range(ROUNDS):
        if not may_be_broken("\n".join(texts_of(example))):
            break
        example, mended = _mend(example, off)
        changes += mended
        if not mended:
            break
    return example, changes


def _mend(example: Example, off: frozenset[str]) -> tuple[Example, list[Change]]:
    changes: list[Change] = []
    for rule, mend in REPAIRS:
        if rule in off:
            continue
        example, changed = map_texts(example, mend)
        if changed:
            before = {place: change.before for place, change in changed.items()}
            changes.append(Change(rule, before, {place: change.after for place, change in changed.items()}))
    return example, changes


def may_be_broken(text: str) -> bool:
    """Whether a repair may have something to do in a text; False is certain and cheap."""
    if not text.replace("\n", " ").isprintable() and UNSEEN.search(text) is not None:
        return True
    if text.isascii():
        return False
    return MAY_BE_GARBLED.search(text) is not None or not unicodedata.is_normalized("NFC", text)


def _empty_inputs(example: Example) -> tuple[Example, list[Change]]:
    """Alpaca inputs that only say "no input", taken out of the question."""
    if not isinstance(example, ChatExample):
        return example, []
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    messages = list(example.messages)
    for index, message in enumerate(messages):
        if message.alpaca_input and len(message.alpaca_input) <= 60:
            alone = _without_input(message, message.alpaca_input)
            if alone is not message:
                messages[index] = alone
                before[f"messages.{index}.content"], after[f"messages.{index}.content"] = message.content, alone.content
    if not before:
        return example, []
    return replace(example, messages=tuple(messages)), [Change("placeholder_input", before, after)]


def _without_input(message: Message, context: str) -> Message:
    question = message.content.removesuffix(context).rstrip()
    if not question or question == message.content or not is_no_input(context, question):
        return message
    return replace(message, content=question, alpaca_input=None)


# --- Text read in a wrong encoding

# UTF-8 writes a letter as a lead byte and continuation bytes; read in a one-byte encoding, both become such signs.
ONE_BYTE = ("latin-1", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "iso8859-2", "mac-roman", "cp437")


def _signs(first: int, last: int) -> str:
    found = {bytes([byte]).decode(name, "ignore") for name in ONE_BYTE for byte in range(first, last + 1)}
    return re.escape("".join(sorted(found)))


MAY_BE_GARBLED = re.compile(f"[{_signs(0xC2, 0xF4)}][{_signs(0x80, 0xBF)}\ufffd]|(?<=[a-z])Ã |(?<= )Ã  |[\x80-\x9f]")
# A Portuguese word in capitals ("MANHÃ"), which ftfy takes for a garbled "à".
CAPITALS = re.compile("(?:[A-ZÇÁÉÍÓÚÂÊÔÀ]|(?<!\\w))Ã(?!  )(?:[\\s.,;:!?)\"']|[”\u2019…\u2013—](?!\\w)|$)")


def repair_mojibake(text: str) -> str:
    """UTF-8 that was once read as another encoding, read rightly; good text stays as it is."""
    if text.isascii() or not MAY_BE_GARBLED.search(text) or CAPITALS.search(text):
        return text
    from ftfy import fix_encoding

    return fix_encoding(text)


# --- Backslashes eaten by a JSON or Python string: "\frac" has become form feed and "rac"

LATEX = re.compile(
    r"\x0c(?=rac\b|orall\b|loor\b)|\x08(?=eta\b|egin\{|inom\{|ar\{|oldsymbol\b|ig\b|mod\b|mathbb)"
    r"|\x0b(?=ec\{|arepsilon\b|arphi\b|dots\b)|\x07(?=lpha\b|pprox\b|ngle\b|lign)"
    r"|\t(?=heta\b|ext\{|imes\b|frac\{|ilde\{|herefore\b)|\r(?=ight\b|ho\b|angle\b|m\{)"
)
LETTERS = {"\x0c": "f", "\x08": "b", "\x0b": "v", "\x07": "a", "\t": "t", "\r": "r"}


def restore_latex(text: str) -> str:
    """LaTeX commands whose backslash and first letter were read as an escape, written out again."""
    return LATEX.sub(lambda match: "\\" + LETTERS[match[0]], text) if LATEX.search(text) else text


# --- Signs that nobody sees

ANSI = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|\x1b[()][AB012]|\x1b[=>78cDEHM]")
BREAK = re.compile("\r?[\x0b\x0c\x85]")
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\x80-\x84\x86-\x9f]")
# Thai, Lao, Tibetan, Burmese and Khmer write no spaces and part their words with U+200B.
UNSPACED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaa7f"
# Joiners matter in Arabic and Indic scripts and in emoji; between plain letters, or at an edge, they are dirt.
ZERO_WIDTH = re.compile(
    f"(?<![{UNSPACED}\u200b])\u200b+(?![{UNSPACED}\u200b])|[\u2060\ufeff\u00ad]+|(?<![^\x00-\x7f])[\u200c\u200d]+(?![^\x00-\x7f])"
)
# Tag letters spell flags after a black flag; anywhere else they are text hidden from the reader, not from a model.
HIDDEN = re.compile("(\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f)|[\U000e0001\U000e0020-\U000e007f]+")

UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200d\u2060\ufeff\U000e0001-\U000e007f]"
    "|\t(?=heta|ext|imes|frac|ilde|here)|\r(?=ight|ho|angle|m{)"
)


def remove_ansi(text: str) -> str:
    """The text without a terminal's colour and cursor codes."""
    return ANSI.sub("", text) if "\x1b" in text else text


def remove_controls(text: str) -> str:
    """The text without control characters; form feeds, vertical tabs and NEL, which part lines, become line feeds."""
    return CONTROL.sub("", BREAK.sub("\n", text)) if not text.isprintable() else text


def remove_zero_width(text: str) -> str:
    """The text without byte order marks, soft hyphens, and the spaces and joiners of no width where they do nothing."""
    return text if text.isascii() else ZERO_WIDTH.sub("", text)


def remove_hidden(text: str) -> str:
    """The text without Unicode tag characters that are not part of a flag."""
    return text if text.isascii() or text.isprintable() else HIDDEN.sub(lambda match: match[1] or "", text)


# --- One way to write a letter

# Signs that NFC would exchange by themselves: variants of Han characters, old angle brackets, letters that Punjabi and
# Bengali keyboards write as one. Good text holds them, so they stay; only what comes in parts is put together.
BLOCKS = ((0x340, 0x3000), (0xF900, 0xFB50), (0x1D15E, 0x1D1C1), (0x2F800, 0x2FA1E))
KEPT = re.compile(
    "(["
    + "".join(
        chr(c) for first, end in BLOCKS for c in range(first, end) if not unicodedata.is_normalized("NFC", chr(c))
    )
    + "]+)"
)


def compose(text: str) -> str:
    """Letters and their accents as one sign (NFC); nothing that was one sign is taken apart, exchanged or moved."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    return "".join(part if i % 2 else _composed(part) for i, part in enumerate(KEPT.split(text)))


def _composed(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)
    return composed if len(composed) < len(text) else text  # else only marks would change places


REPAIRS: tuple[tuple[str, Callable[[str], str]], ...] = (  # mojibake first: it is made of the others' signs
    ("mojibake", repair_mojibake),
    ("latex_commands", restore_latex),
    ("ansi_codes", remove_ansi),
    ("control_characters", remove_controls),
    ("zero_width_characters", remove_zero_width),
    ("hidden_characters", remove_hidden),
    ("unicode_form", compose),
)
