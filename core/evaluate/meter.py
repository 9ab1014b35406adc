"""What asking models over the network takes: each call noted in the run folder, so that no attempt is forgotten."""

from pathlib import Path

from .. import files
from ..models.hosted.chat import Usage
from ..models.hosted.providers import Provider
from ..schema import Model
from .result import Spent


class Call(Model):
    """One request that was answered, or lost on its way; a line of the meter's file."""

    model: str
    usage: Usage | None
    """None where no answer told it."""


class Meter:
    """Counts what calls take, those of earlier attempts of the run among them."""

    def __init__(self, path: Path, provider: Provider) -> None:
        """
        Args:
            path: The file of calls, which may not be there yet.
            provider: Whose prices count.
        """
        self._path, self._provider = path, provider
        self._calls = files.read_models(path, Call)

    def note(self, model: str, usage: Usage | None) -> None:
        """Add a call; several threads may do so at once."""
        call = Call(model=model, usage=usage)
        self._calls.append(call)
        files.append_model(self._path, call)

    def spent(self) -> Spent:
        """All calls so far."""
        told = [(call.model, call.usage) for call in self._calls if call.usage]
        prices = [self._provider.usd(model, usage.read_tokens, usage.written_tokens) for model, usage in told]
        known = [price for price in prices if price is not None]
        usd = sum(known) if told and len(known) == len(told) else None
        return Spent(
            calls=len(self._calls),
            unreported=len(self._calls) - len(told),
            read_tokens=sum(usage.read_tokens for _, usage in told) if told else None,
            written_tokens=sum(usage.written_tokens for _, usage in told) if told else None,
            usd=usd,
            price_as_of=None if usd is None else self._provider.as_of,
        )
