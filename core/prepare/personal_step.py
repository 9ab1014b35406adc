"""The step that finds personal data and secrets, and does with them what was asked."""

from collections.abc import Mapping

from ..checks import Check
from ..personal.names import name_finder, names_are_found_by
from ..personal.patterns import may_hold
from ..personal.redact import Redactor
from .batch import Done
from .ledger import Ledger
from .plan import Plan
from .request import PrepareRequest
from .row import Row
from .texts import all_texts, map_texts, numbers_in_context
from .wording import counted

NAME = "Personal Data"
NAME_OF_RULE = "personal_data"


class PersonalData:
    """The step: report, redact, or drop, as `pii` says. Looks at every text of a row, leftover fields too."""

    def __init__(self, plan: Plan) -> None:
        self._request = plan.request
        self._find_names = name_finder() if plan.finds_names else None

    def __call__(self, rows: list[Row], done: Done) -> list[Row]:
        """The rows that go on."""
        return rows if self._request.pii == "off" else [row for row in rows if self._keeps(row, done)]

    def _keeps(self, row: Row, done: Done) -> bool:
        if NAME_OF_RULE in row.off:
            return True
        texts = all_texts(row.example)
        if self._find_names is None and not may_hold("\n".join((*texts, *numbers_in_context(row.example)))):
            return True  # so for most rows, before anything is built anew
        redactor = Redactor(texts, self._find_names)
        example, changed = map_texts(row.example, redactor.redact, everywhere=True)
        if not redactor.kinds:
            return True
        kinds = {kind.lower(): count for kind, count in sorted(redactor.kinds.items())}
        done.tally.personal_data.update(kinds)
        match self._request.pii:
            case "drop":
                done.entries.drop(row.place, NAME_OF_RULE, row.record, matched=kinds)
                return False
            case "redact":
                before = {place: change.before for place, change in changed.items()}
                after = {place: change.after for place, change in changed.items()}
                shown = before if self._request.keep_values else None
                done.entries.change(row.place, NAME_OF_RULE, shown, after, matched=kinds)
                row.example = example
            case _:
                done.entries.flag(row.place, NAME_OF_RULE, kinds)
        return True


def personal_data_check(request: PrepareRequest, ledger: Ledger, found: Mapping[str, int]) -> Check:
    """Whether the written rows hold personal data that can be recognised."""
    if request.pii == "off":
        return Check(name=NAME, status="warn", details="not looked for (pii: off)", next_step="Use pii: redact.")
    what = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.items(), key=lambda one: -one[1]))
    if not found:
        return Check(name=NAME, status="pass", details=f"none found. {names_are_found_by()}", count=0)
    rows = sum(counts[NAME_OF_RULE] for counts in (ledger.dropped, ledger.changed, ledger.flagged))
    if request.pii == "report":
        details = f"{what} in {counted(rows, 'row')}; left as they are. {names_are_found_by()}"
        step = "Prepare again with pii: redact or drop."
        return Check(name=NAME, status="warn", details=details, count=rows, next_step=step)
    done = "replaced by placeholders" if request.pii == "redact" else "dropped with their rows"
    return Check(
        name=NAME,
        status="pass",
        details=f"{what} in {counted(rows, 'row')}; {done}. {names_are_found_by()}",
        count=rows,
    )
