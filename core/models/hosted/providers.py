"""What is known of the providers of hosted fine-tuning: data in one dated file, before which users can put theirs."""

import functools
import os
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from ...errors import InputError
from ...schema import Model
from .environment import PROVIDERS_FILE, host_of

Method = Literal["supervised", "dpo", "reinforcement"]
Part = Literal["metadata", "uploads", "pause", "resume", "wandb"]

BUILT_IN = Path(__file__).with_name("providers.json")
USUAL_CONTEXT = 65_536


class HostedModel(Model):
    """A model that a provider trains, or has trained."""

    name: str
    """The name to train by, with its date where it has one."""

    alias: str | None = None
    """Name without a date, which the provider takes for inference and refuses for training."""

    shut_down: date | None = None
    """Day on which the model and everything tuned from it stop answering."""

    methods: tuple[Method, ...] = ()
    """Methods whose guide lists it; empty when that is not known."""

    context: int = USUAL_CONTEXT
    """Most tokens of one example; the rest is cut off without an error."""

    training_usd: float | None = None
    """US dollars per million trained tokens."""

    input_usd: float | None = None
    """US dollars per million tokens that the tuned model reads."""

    output_usd: float | None = None
    """US dollars per million tokens that the tuned model writes."""


class Provider(Model):
    """A service that speaks `/v1/fine_tuning/jobs`, as far as it is known."""

    name: str

    hosts: tuple[str, ...]
    """Hosts of its base URLs, with * for any part."""

    as_of: date | None = None
    """Day on which this was looked up."""

    source: str = "unknown"
    """Where."""

    last_new_job: date | None = None
    """From this day nobody can start a job."""

    refused: str | None = None
    """Which accounts it refuses, and since when."""

    notices: tuple[str, ...] = ()
    """What to know before spending money there."""

    methods: tuple[Method, ...] = ()
    """What it can train by; empty when that is not known."""

    min_examples: int = 1
    max_file_mb: int | None = None
    """Largest file in millions of bytes."""

    part_mb: float = Field(default=64, gt=0)
    """Files above so many millions of bytes are uploaded in parts of this size."""

    byte_order_mark: Literal["refused", "wanted"] | None = None
    auto_epochs: bool = False
    """Whether it chooses epochs by the rule that OpenAI published."""

    lacks: tuple[Part, ...] = ()
    """What of the interface it does not have."""

    models: tuple[HostedModel, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether anything but its address is known."""
        return self.as_of is not None

    def model(self, name: str | None) -> HostedModel | None:
        """The listed model behind a name, an alias, or the name of a model tuned from it."""
        base = base_of(name or "")
        return next((model for model in self.models if base in (model.name, model.alias)), None)

    def usd(self, model: str | None, read: int, written: int) -> float | None:
        """What a model's answers cost by its tokens read and written; None when its price is not known."""
        known = self.model(model)
        if known is None or known.input_usd is None or known.output_usd is None:
            return None
        return (read * known.input_usd + written * known.output_usd) / 1e6

    def context(self, model: str | None) -> int:
        """Most tokens of one example for a model; the usual limit for an unknown one."""
        known = self.model(model)
        return known.context if known else USUAL_CONTEXT


class Providers(Model):
    """The providers file."""

    providers: tuple[Provider, ...]


def base_of(model: str) -> str:
    """The base in the name of a tuned model, ft:<base>:<organisation>:<suffix>:<id>; other names unchanged."""
    return model.split(":")[1] if model.startswith("ft:") else model


def provider_at(url: str) -> Provider:
    """The provider at an address; one of which nothing is known when no pattern fits.

    Raises:
        InputError: The file that the environment names cannot be used.
    """
    host = urlsplit(url).hostname or ""
    fits = (one for one in _all_providers() if any(fnmatch(host, pattern) for pattern in one.hosts))
    return next(fits, None) or Provider(name=host_of(url), hosts=(host,))


def overriding_file() -> Path | None:
    """The providers file that the environment names, if any."""
    named = os.environ.get(PROVIDERS_FILE)
    return Path(named).expanduser() if named else None


def _all_providers() -> tuple[Provider, ...]:
    """The user's first, so that theirs win."""
    path = overriding_file()
    return (*(_read(path) if path else ()), *_built_in())


@functools.cache
def _built_in() -> tuple[Provider, ...]:
    return Providers.model_validate_json(BUILT_IN.read_bytes()).providers


def _read(path: Path) -> tuple[Provider, ...]:
    try:
        return Providers.model_validate_json(path.read_bytes()).providers
    except OSError as error:
        raise InputError(f"{PROVIDERS_FILE} names '{path}', which cannot be read.", "Correct or unset it.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{PROVIDERS_FILE}: '{path}' is not a providers file: {where}: {first['msg']}.",
            f"Write it as {BUILT_IN} is written; only the providers that differ are needed.",
        ) from error
