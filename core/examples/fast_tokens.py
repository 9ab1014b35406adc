# ruff: noqa: RUF001 - the hard texts are full of look-alikes
"""Exact tokens of byte-level BPE tokenizers, about ten times faster than `tokenizers`, which stays the referee.

tuetoken splits and merges; special tokens are split out here first, as `tokenizers` does. A tokenizer with anything
that is not known to be reproduced is refused, and one that is taken must still agree on `TORTURE`, token for token.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tokenizers import Tokenizer
from tokenizers.models import BPE

SPLITS = ("Split", "Digits", "Punctuation")  # what may stand before ByteLevel
KNOWN_LENGTH = 96  # characters of a stretch that is remembered: headers and system prompts come back in every row
KNOWN_STRETCHES = 4096
TORTURE = (
    "",
    " ",
    "\n",
    "  \n\n   \t x\r\n\r\n y \u00a0 z\u3000\u2028\u2029\u0085 end   ",
    " leading and trailing \n  \n\n",
    "\n \n  \n   \n",
    "tabs\t\tand\x0bvertical\x0cfeeds\x00nul\x1f\x7f",
    "It's we'll I'M THEY'RE don't 'tis can’t l'été o'clock's ''s 'S 's's",
    "0 1 12 123 1234 12345 1234567890 3.14 1,000,000 ½ ² ٣٤ ৪৫ Ⅷ 1e-9 0x1F",
    "naïve café Zürich Ærøskøbing Łódź İstanbul ſtraße ﬁn Ⓐ",
    "cafe\u0301 n\u0303 A\u030a \u0301alone \u1112\u1161\u11ab 한국어 ﷺ Å Å Ω",
    "你好，世界！日本語のテキスト。ひらがな カタカナ 한국말 漢字\u3000全角ＡＢＣ１２３",
    "עברית العربية हिन्दी ไทย தமிழ் ქართული አማርኛ Ελληνικά Русский",
    "😀👍🏽👩‍👩‍👧‍👦🇫🇷🏴󠁧󠁢󠁥󠁮󠁧󠁿❤️☕︎ \ufe0f\u200d\u200b\u2060\ufeff",
    "\ufffd \ufffe \uffff \ue000 \U0010ffff \U000e0001 \u0378 \U0001fae8 \U00016a70 \U0001e4f0 \u0897",
    "def f(x):\n    if x != 0 and y >= 3:\n\treturn {'a': [1, 2], \"b\": x**2}  # TODO\n\n\n",
    '<div class="a">&amp; <br/></div> <!-- x --> https://example.org/a?b=1&c=%20#d a@b.example',
    "$x^2 + \\frac{1}{2}$ --- ... ??!! ###### ======== ______ ~~~~ `````` |||| //// \\\\\\\\",
    "<s> </s> <unk> <pad> <|im_start|>user\nhi<|im_end|> <|endoftext|> [INST] [/INST] <|eot_id|> <bos>",
    "CamelCase snake_case SCREAMING_CASE kebab-case mixedUP123abc abc123DEF",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "QmFzZTY0IHRleHQgbG9va3MgbGlrZSB0aGlz+/== 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)


class NotReproducible(Exception):
    """Why `tokenizers` has to do the work for this tokenizer."""


class FastTokens:
    """The tokens of texts by tuetoken, in one thread.

    Attributes:
        byte_lengths: By token id, how many bytes of the text the token covers.
    """

    def __init__(self, path: Path, tokenizer: Tokenizer) -> None:
        """Read tokenizer.json at `path`, the file that `tokenizer` was made from.

        Raises:
            NotReproducible: tuetoken is missing, or the tokenizer has something that is not surely the same there.
        """
        self._normalizes = _known_kind(tokenizer)
        try:
            from tuetoken import Tokenizer as Core
        except ImportError as error:
            raise NotReproducible("the package 'tuetoken' is not installed") from error
        try:
            self._core: Any = Core(str(path))
        except ValueError as error:
            raise NotReproducible(f"tuetoken does not read it: {error}") from error
        added = tokenizer.get_added_tokens_decoder()
        raw, normalized = _added(added, self._normalizes)
        self._split, self._split_normalized = _splitter(raw), _splitter(normalized)
        self._known = {token.content: np.uint32(number).tobytes() for number, token in added.items()}
        self._room = KNOWN_STRETCHES + len(added)
        self.byte_lengths = _byte_lengths(tokenizer)
        for text in TORTURE:
            self.compare(text, tokenizer)
        for token in added.values():
            self.compare(f"a {token.content}{token.content} b{token.content}\n c{token.content[:-1]}", tokenizer)

    def encode(self, text: str) -> np.ndarray | None:
        """The ids of a text's tokens; None when this text is one for `tokenizers`, because it is not normalised."""
        known = self._known
        found = [known.get(stretch) or self._encoded(stretch) for stretch in self._stretches(text) if stretch]
        ids = np.frombuffer(b"".join(found), dtype=np.uint32)
        if self._normalizes and not text.isascii() and self._core.decode_array(ids) != text:
            return None
        return ids

    def ends(self, texts: Sequence[np.ndarray]) -> list[int]:
        """Where each token ends, in bytes from the start of the first of these texts, one after the other."""
        return self.byte_lengths[np.concatenate(texts)].cumsum().tolist() if texts else []

    def compare(self, text: str, tokenizer: Tokenizer) -> None:
        """Tokenise a text with both.

        Raises:
            NotReproducible: They differ in a token or in the characters that it covers.
        """
        ids = self.encode(text)
        if ids is None:
            return
        theirs = tokenizer.encode(text, add_special_tokens=False)
        data = np.frombuffer(text.encode(), dtype=np.uint8)
        ends = np.array(self.ends([ids]), dtype=np.int64)
        if ids.tolist() != theirs.ids or (ends[-1] if len(ends) else 0) != len(data):
            raise NotReproducible("tuetoken and tokenizers split a text differently")
        character = np.cumsum((data & 0xC0) != 0x80)  # by byte, counted from 1
        starts = np.concatenate(([0], ends[:-1]))[: len(ends)]
        if list(zip((character[starts] - 1).tolist(), character[ends - 1].tolist(), strict=True)) != theirs.offsets:
            raise NotReproducible("tuetoken and tokenizers place tokens differently")

    def _encoded(self, stretch: str) -> bytes:
        found = self._core.encode_to_bytes(stretch)
        if len(stretch) <= KNOWN_LENGTH and len(self._known) < self._room:
            self._known[stretch] = found
        return found

    def _stretches(self, text: str) -> list[str]:
        """The text cut at its added tokens: those of the raw text first, then those of the normalised text between."""
        pieces = self._split.split(text) if self._split else [text]
        again = self._split_normalized
        if again is None:
            return pieces
        cut = (again.split(piece) if number % 2 == 0 else [piece] for number, piece in enumerate(pieces))
        return [piece for several in cut for piece in several]


def _known_kind(tokenizer: Tokenizer) -> bool:
    """Whether texts are normalised (to NFC) before they are split.

    Raises:
        NotReproducible: The tokenizer is no plain byte-level BPE.
    """
    model = tokenizer.model
    plain = isinstance(model, BPE) and not model.byte_fallback and not model.dropout
    if not plain or model.continuing_subword_prefix or model.end_of_word_suffix:
        raise NotReproducible("it is no plain byte-level BPE")
    normalizer = _written(tokenizer.normalizer)
    if normalizer.get("type", "NFC") != "NFC":
        raise NotReproducible(f"it normalises texts with {normalizer['type']}")
    splitter = _written(tokenizer.pre_tokenizer)
    steps = splitter.get("pretokenizers", [splitter])
    kinds = [step.get("type") for step in steps]
    if kinds[-1:] != ["ByteLevel"] or not set(kinds[:-1]) <= set(SPLITS) or steps[-1].get("add_prefix_space"):
        raise NotReproducible("it splits texts in a way of its own")
    return bool(normalizer)


def _written(part: Any) -> dict[str, Any]:
    """A normaliser or pre-tokeniser as tokenizer.json has it; empty for none."""
    return {} if part is None else orjson.loads(part.__getstate__())


def _added(added: dict[int, Any], normalizes: bool) -> tuple[list[str], list[str]]:
    """The added tokens found in the raw text, and those found in the normalised text between them."""
    for token in added.values():
        if token.lstrip or token.rstrip or token.single_word:
            raise NotReproducible("it has added tokens that take in the white space around them, or only whole words")
        if normalizes and unicodedata.normalize("NFC", token.content) != token.content:
            raise NotReproducible("it has added tokens that are not normalised")
    raw = [token.content for token in added.values() if token.content and not token.normalized]
    return raw, [token.content for token in added.values() if token.content and token.normalized]


def _splitter(contents: list[str]) -> re.Pattern[str] | None:
    """Finds the leftmost token, of several there the longest."""
    longest_first = sorted(contents, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})") if contents else None


def _byte_lengths(tokenizer: Tokenizer) -> np.ndarray:
    """A byte-level vocabulary writes each byte as one character; added tokens stand there as they are."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    added = tokenizer.get_added_tokens_decoder()
    lengths = np.zeros(max([*vocabulary.values(), *added], default=-1) + 1, dtype=np.int64)
    lengths[list(vocabulary.values())] = list(map(len, vocabulary))
    for number, token in added.items():
        lengths[number] = len(token.content.encode())
    return lengths
