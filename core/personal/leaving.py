"""What of personal data and secrets would leave this machine with some rows, counted before anything is sent."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..checks import Check
from ..lossless_json import texts_in
from .patterns import find, may_hold

SECRETS = frozenset(("CREDENTIALS", "PRIVATE_KEY", "API_KEY"))


class Found(Counter[str]):
    """How many rows' values there are of each kind; the same value in one row counts once."""

    def look_at(self, record: Mapping[str, Any]) -> None:
        """Count the values in one row."""
        texts = list(texts_in(record))
        if may_hold("\n".join(texts)):
            values = {(span.kind, text[span.start : span.end]) for text in texts for span in find(text)}
            self.update(kind for kind, _ in values)

    @property
    def personal(self) -> dict[str, int]:
        """Values that look like personal data, by kind; people's names are not looked for."""
        return {kind.lower(): count for kind, count in sorted(self.items()) if kind not in SECRETS}

    @property
    def secrets(self) -> dict[str, int]:
        """Values that look like keys and passwords, by kind."""
        return {kind.lower(): count for kind, count in sorted(self.items()) if kind in SECRETS}


def found_in(records: Iterable[Mapping[str, Any]]) -> Found:
    """What all these rows hold."""
    found = Found()
    for record in records:
        found.look_at(record)
    return found


def leaving_checks(personal: Mapping[str, int], secrets: Mapping[str, int], to: str) -> tuple[Check, Check]:
    """Whether what goes to a host holds anything that should stay."""
    step = "Run `prepare` with pii: redact on the raw data, then start with its output."
    return (
        _check("Personal Data", personal, to, step),
        _check("Secrets", secrets, to, f"{step} Change the keys that were shared."),
    )


def _check(name: str, found: Mapping[str, int], to: str, step: str) -> Check:
    if not found:
        return Check(name=name, status="pass", details="none recognised; names of people are not looked for", count=0)
    what = ", ".join(f"{count:,} {kind}" for kind, count in found.items())
    return Check(
        name=name, status="warn", details=f"{what} would go to {to}", count=sum(found.values()), next_step=step
    )
