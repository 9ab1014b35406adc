"""Text from data, models and remote services: shortened, marked, control characters stripped."""

import unicodedata


def clean(text: str, limit: int) -> str:
    """The text without control characters (newline and tab stay), at most `limit` characters, cut with an ellipsis."""
    kept = "".join(c for c in text[: limit * 2] if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return kept if len(kept) <= limit and len(text) <= limit * 2 else kept[: limit - 1] + "…"


def quote(text: str, limit: int = 80) -> str:
    """The text as one quoted line for a sentence of ours, so that it cannot be taken for our words."""
    return "«" + " ".join(clean(text, limit).split()) + "»"


def fence(text: str, limit: int = 1200) -> str:
    """The text as a Markdown code block whose fence is longer than any run of backticks in it."""
    body = clean(text, limit)
    ticks = "`" * max(3, _longest_run(body, "`") + 1)
    return f"{ticks}text\n{body}\n{ticks}"


def _longest_run(text: str, character: str) -> int:
    longest = current = 0
    for c in text:
        current = current + 1 if c == character else 0
        longest = max(longest, current)
    return longest
