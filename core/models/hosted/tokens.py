"""Tokens as the service counts them, or an estimate that says that it is one."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

ENCODING = "o200k_base"  # of the gpt-4o, gpt-4.1 and o4 families
ENCODING_URL = f"https://openaipublic.blob.core.windows.net/encodings/{ENCODING}.tiktoken"
CHARACTERS_PER_TOKEN = 4  # the service's rule of thumb for English; other languages need more tokens
PER_MESSAGE, PER_NAME, PER_EXAMPLE = 3, 1, 3  # how the service frames a chat: its cookbook, num_tokens_from_messages


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """How the tokens of a text are counted."""

    count: Callable[[str], int]
    estimated_because: str | None
    """Why the counts are estimates; None when they are exact."""

    def at_most(self, text: str) -> int:
        """Tokens of a text; where they are only estimated from letters, no script has more than one in three bytes."""
        return self.count(text) if self.estimated_because is None else len(text.encode()) // 3 + 1


def token_counter() -> TokenCounter:
    """The service's tokenizer when tiktoken and its encoding are on this machine; nothing is downloaded."""
    try:
        import tiktoken  # pyright: ignore[reportMissingImports]
    except ImportError:
        return _by_length("tiktoken is not installed")
    if not _encoding_is_cached():
        return _by_length(f"tiktoken's encoding {ENCODING} is not in its cache on this machine")
    encoding = tiktoken.get_encoding(ENCODING)
    return TokenCounter(lambda text: len(encoding.encode(text, disallowed_special=())), None)


def _by_length(reason: str) -> TokenCounter:
    return TokenCounter(lambda text: -(-len(text) // CHARACTERS_PER_TOKEN), reason)


def _encoding_is_cached() -> bool:
    """Whether tiktoken would find its file: named by its address, as tiktoken's loader does it."""
    named = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / "data-gym-cache"
    return (folder / hashlib.sha1(ENCODING_URL.encode(), usedforsecurity=False).hexdigest()).is_file()


def example_tokens(record: Mapping[str, Any], count: Callable[[str], int]) -> int:
    """Tokens of one example, pictures aside; of a preference pair the prompt counts with both answers.

    Works on any record: what is not a message counts nothing.
    """
    owner = record.get("input") if "input" in record else record
    owner = owner if isinstance(owner, dict) else {}
    messages = [
        message
        for part in (owner.get("messages"), record.get("preferred_output"), record.get("non_preferred_output"))
        for message in (part if isinstance(part, list) else ())
        if isinstance(message, dict)
    ]
    tools = [count(_compact(owner[key])) for key in ("tools", "functions") if owner.get(key)]
    return sum(_message_tokens(message, count) for message in messages) + sum(tools) + PER_EXAMPLE


def _message_tokens(message: Mapping[str, Any], count: Callable[[str], int]) -> int:
    total = PER_MESSAGE + (PER_NAME if "name" in message else 0)
    for key, value in message.items():
        if key == "weight" or value is None:
            continue
        total += sum(count(text) for text in _texts(value))
    return total


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        parts = [part for part in value if isinstance(part, dict)]
        return [
            str(part.get("text") or part.get("refusal") or "")
            if "type" in part and part["type"] != "function"
            else _compact(part)
            for part in parts
            if part.get("type") != "image_url"
        ]
    return [_compact(value)]


def _compact(value: object) -> str:
    return orjson.dumps(value).decode()
