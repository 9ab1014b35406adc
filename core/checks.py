"""The one shape of a check: a thing that can pass, warn or fail."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from .schema import Model

CheckStatus = Literal["pass", "warn", "fail"]


class Check(Model):
    """One named question that was asked of data, a model or a run, with its answer and the evidence."""

    name: str
    """What was checked, as a short name that stays the same between runs."""

    status: CheckStatus
    """pass: nothing found. warn: works, but look at it. fail: the result cannot be trusted as it is."""

    details: str
    """The evidence in one sentence, with numbers."""

    count: int | None = Field(default=None, ge=0)
    """How many things were found; null where counting makes no sense."""

    next_step: str | None = None
    """What to do about it; null when it passed."""


QUOTING = " The first: "
"""What stands in `details` before a text of the data or of a model, so that it can be kept back from a blind judge."""


def quoting(details: str, text: str) -> str:
    """Details of a check that show a text; what else there is to say stands before it."""
    return f"{details}{QUOTING}{text}."


def unquoted(check: Check) -> str:
    """A check's details without the text that they show."""
    return check.details.partition(QUOTING)[0]


ORDER: tuple[CheckStatus, ...] = ("pass", "warn", "fail")


def worst(checks: Iterable[Check]) -> CheckStatus:
    """The gravest status among the checks; pass when there are none."""
    return ORDER[max((ORDER.index(check.status) for check in checks), default=0)]
