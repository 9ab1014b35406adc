"""Personal data and secrets: found, and replaced by what kind of value stood there."""

import re
from collections import Counter
from typing import Any

from ..checks import Check
from .job import Job
from .personal_patterns import Kind, find, may_hold
from .row import Row
from .texts import all_texts, map_texts
from .wording import counted

NAME = "Personal Data"
PLACEHOLDER = re.compile(r"\[(CREDENTIALS|PRIVATE_KEY|API_KEY|EMAIL|IBAN|CARD|SSN|IP|PHONE)_(\d{1,6})\]")


class Redactor:
    """Replaces the values of one row by placeholders such as [EMAIL_1]; the same value gets the same one.

    Attributes:
        kinds: Values found so far, by kind; the same value counts once.
    """

    def __init__(self) -> None:
        self.kinds: Counter[Kind] = Counter()
        self._placeholders: dict[tuple[Kind, str], str] = {}
        self._numbers: Counter[str] = Counter()

    def redact(self, text: str) -> str:
        """The text with its values replaced; the very same text when there are none."""
        spans = find(text)
        if not spans:
            return text
        for kind, number in PLACEHOLDER.findall(text):  # of an earlier preparation: do not use their numbers again
            self._numbers[kind] = max(self._numbers[kind], int(number))
        parts, end = [], 0
        for span in spans:
            parts += [text[end : span.start], self._placeholder(span.kind, text[span.start : span.end])]
            end = span.end
        return "".join([*parts, text[end:]])

    def _placeholder(self, kind: Kind, value: str) -> str:
        key = (kind, value.lower() if kind == "EMAIL" else value)
        if key not in self._placeholders:
            self._numbers[kind] += 1
            self.kinds[kind] += 1
            self._placeholders[key] = f"[{kind}_{self._numbers[kind]}]"
        return self._placeholders[key]


def redact_all(value: Any) -> Any:
    """A JSON value with the values in all of its texts replaced."""
    return _redact_json(value, Redactor())


def _redact_json(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, str):
        return redactor.redact(value)
    if isinstance(value, dict):
        return {key: _redact_json(part, redactor) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redact_json(part, redactor) for part in value]
    return value


class PersonalData:
    """The step: report, redact, or drop, as `pii` says. Looks at every text of a row, leftover fields too."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rows = 0

    def __call__(self, rows: list[Row]) -> list[Row]:
        return rows if self._job.request.pii == "off" else [row for row in rows if self._keeps(row)]

    def _keeps(self, row: Row) -> bool:
        if not may_hold("\n".join(all_texts(row.example))):
            return True
        redactor = Redactor()
        example, after = map_texts(row.example, redactor.redact, everywhere=True)
        if not redactor.kinds:
            return True
        self._rows += 1
        kinds = {kind.lower(): count for kind, count in sorted(redactor.kinds.items())}
        self._job.personal_data.update(kinds)
        match self._job.request.pii:
            case "drop":
                self._job.ledger.drop(row.place, "personal_data", row.record, matched=kinds)
                return False
            case "redact":
                texts = {place: change.after for place, change in after.items()}
                self._job.ledger.change(row.place, "personal_data", None, texts, matched=kinds)
                row.example = example
            case _:
                self._job.ledger.flag(row.place, "personal_data", kinds)
        return True

    def checks(self) -> list[Check]:
        """Whether the written rows hold personal data that a pattern can find."""
        pii, found = self._job.request.pii, self._job.personal_data
        what = ", ".join(f"{count:,} {kind}" for kind, count in found.most_common())
        limits = "Names and addresses are not looked for"
        if pii == "off":
            return [Check(name=NAME, status="warn", details="not looked for (pii: off)", next_step="Use pii: redact.")]
        if not found:
            return [Check(name=NAME, status="pass", details=f"none found. {limits}", count=0)]
        if pii == "report":
            details = f"{what} in {counted(self._rows, 'row')}; left as they are. {limits}"
            step = "Prepare again with pii: redact or drop."
            return [Check(name=NAME, status="warn", details=details, count=self._rows, next_step=step)]
        done = "replaced by placeholders" if pii == "redact" else "dropped with their rows"
        details = f"{what} in {counted(self._rows, 'row')}; {done}. {limits}"
        return [Check(name=NAME, status="pass", details=details, count=self._rows)]
