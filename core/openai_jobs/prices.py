"""What hosted training costs: a dated table that the user can replace."""

import os
from datetime import date
from pathlib import Path

from pydantic import Field, ValidationError

from ..errors import InputError
from ..schema import Model

OVERRIDE = "FAION_FINETUNER_PRICES"


class PriceTable(Model):
    """Prices of training, as they were on one day."""

    as_of: date
    """Day on which the prices were looked up."""

    source: str
    """Where they were looked up."""

    usd_per_million_tokens: dict[str, float] = Field(min_length=1)
    """US dollars per million trained tokens, by model snapshot."""


BUILT_IN = PriceTable(
    as_of=date(2026, 11, 22),
    # The service's own price page could not be read on that day, and pages that copy it disagree with each other.
    source=f"built-in table, gathered from third-party pages: compare openai.com/api/pricing, or set {OVERRIDE}",
    usd_per_million_tokens={
        "gpt-4.1-2025-04-14": 25.0,
        "gpt-4.1-mini-2025-04-14": 5.0,
        "gpt-4o-2024-08-06": 25.0,
        "gpt-4o-mini-2024-07-18": 3.0,
    },
)


def overriding_file() -> Path | None:
    """The price file that the environment names, if any."""
    named = os.environ.get(OVERRIDE)
    return Path(named).expanduser() if named else None


def load_prices() -> PriceTable:
    """The user's table when FAION_FINETUNER_PRICES names one, else the built-in one.

    Raises:
        InputError: The named file is missing or not such a table.
    """
    path = overriding_file()
    if path is None:
        return BUILT_IN
    try:
        return PriceTable.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{OVERRIDE} names '{path}', which cannot be read.", "Correct or unset it.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{OVERRIDE}: '{path}' is not a price table: {where}: {first['msg']}.",
            'Write {"as_of": "2026-11-22", "source": "...", "usd_per_million_tokens": {"<model>": 3.0}}.',
        ) from error
