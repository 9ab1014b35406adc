"""How far a model is with reading texts, told after each of its layers: a batch of long texts may take minutes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .predictor import Predictor

OnTokens = Callable[[int, int], None]
"""Called with how many tokens are read by now, and are to be read in all; may raise to stop."""


class Told:
    """Counts what is read."""

    def __init__(self, predictor: Predictor, total: int, on_tokens: OnTokens) -> None:
        """
        Args:
            predictor: Whose layers are listened to.
            total: Tokens in all.
            on_tokens: Whom to tell.
        """
        self._layers, self._total, self._tell = predictor.layers, total, on_tokens
        self._done = 0

    @contextmanager
    def reading(self, tokens: int) -> Iterator[None]:
        """While a batch of so many tokens is read."""
        hooks = [
            layer.register_forward_hook(self._after(tokens * place // (len(self._layers) + 1)))  # + 1: the output layer
            for place, layer in enumerate(self._layers, start=1)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self._done += tokens
        self._tell(self._done, self._total)

    def _after(self, tokens: int) -> Callable[..., None]:
        def tell(*_: Any) -> None:
            self._tell(self._done + tokens, self._total)

        return tell
