"""How many tokens texts have: by the model's own tokenizer, or estimated and labelled so."""

from collections.abc import Sequence

from ..examples.chat import ChatTokenizer
from ..models.source import resolve_model, tokenizer_path
from ..settings import Settings

BYTES_PER_TOKEN = 4  # usual rule of thumb for English in today's vocabularies; 3-byte scripts come out near 1 a sign


class TokenCounter:
    """Counts tokens.

    Attributes:
        chat: The model's tokenizer; None when counts are estimates.
        label: Whose counts these are, for a person.
    """

    def __init__(self, chat: ChatTokenizer | None, label: str) -> None:
        self.chat = chat
        self.label = label

    @classmethod
    def for_model(cls, model_name: str | None, settings: Settings) -> "TokenCounter":
        """The counter of a model's tokenizer, or the estimate without one.

        Raises:
            ModelError: The model's tokenizer cannot be had.
        """
        if model_name is None:
            return cls(None, f"estimated at {BYTES_PER_TOKEN} bytes (about {BYTES_PER_TOKEN} letters) a token")
        chat = ChatTokenizer.load(tokenizer_path(resolve_model(model_name, settings), settings))
        chat.choose_engine()  # before any worker is forked from this process
        return cls(chat, f"tokenizer of {model_name}")

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not added."""
        if self.chat is not None:
            return self.chat.count_many(texts)
        return [-(-_bytes(text) // BYTES_PER_TOKEN) for text in texts]


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
