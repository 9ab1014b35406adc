"""How many tokens texts have: by the model's own tokenizer, or estimated and labelled so."""

from collections.abc import Sequence
from pathlib import Path

from ..examples.chat import ChatTokenizer
from ..models.source import BUILTIN, read_config, resolve_model, tokenizer_path
from ..settings import Settings

BYTES_PER_TOKEN = 4  # usual rule of thumb for English in today's vocabularies; 3-byte scripts come out near 1 a sign


class TokenCounter:
    """Counts tokens.

    Attributes:
        chat: The model's tokenizer; None when counts are estimates.
        label: Whose counts these are, for a person.
        window: Tokens that the model reads at most; None where it does not say.
    """

    def __init__(self, chat: ChatTokenizer | None, label: str, window: int | None = None) -> None:
        self.chat = chat
        self.label = label
        self.window = window

    @classmethod
    def for_model(cls, model_name: str | None, settings: Settings) -> "TokenCounter":
        """The counter of a model's tokenizer, or the estimate without one.

        Raises:
            ModelError: The model's tokenizer cannot be had.
        """
        if model_name is None:
            return cls(None, f"estimated at {BYTES_PER_TOKEN} bytes (about {BYTES_PER_TOKEN} letters) a token")
        source = resolve_model(model_name, settings)
        folder = tokenizer_path(source, settings)
        chat = ChatTokenizer.load(folder)
        chat.choose_engine()  # before any worker is forked from this process
        window = BUILTIN[source.name].context_length if source.kind == "builtin" else _window(folder)
        return cls(chat, f"tokenizer of {model_name}", window)

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not added."""
        if self.chat is not None:
            return self.chat.count_many(texts)
        return [-(-_bytes(text) // BYTES_PER_TOKEN) for text in texts]


def _window(folder: Path) -> int | None:
    if not (folder / "config.json").is_file():
        return None
    config = read_config(folder)
    text = config.get("text_config")  # of a model that reads pictures, too
    found = (text if isinstance(text, dict) else config).get("max_position_embeddings")
    return found if isinstance(found, int) else None


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
