"""One short number per example, equal when two examples say the same."""

import unicodedata

import xxhash

from .types import Example, answer_of, prompt_of


def fingerprint(example: Example) -> str:
    """XXH3-128 of prompt and answer as 32 hex digits; case, white space and Unicode spelling do not count.

    The same question and answer have the same one in every dialect; earlier turns count, leftover fields do not. In a
    preference pair the rejected answer counts too.
    """
    return _digest(_prompt_text(example), answer_of(example), *_rejected_texts(example))


def prompt_fingerprint(example: Example) -> str:
    """`fingerprint` of the prompt alone: equal when the same question is asked, whatever the answer."""
    return _digest(_prompt_text(example))


def _prompt_text(example: Example) -> str:
    prompt = prompt_of(example)
    return prompt if isinstance(prompt, str) else "\n".join(message.content for message in prompt)


def _rejected_texts(example: Example) -> list[str]:
    if example.rejected is None:
        return []
    if isinstance(example.rejected, str):
        return [example.rejected]
    return [message.content for message in example.rejected.turns]


def _digest(*texts: str) -> str:
    return xxhash.xxh3_128_hexdigest("\x00".join(map(_normalised, texts)).encode("utf-8", "surrogatepass"))


def _normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
