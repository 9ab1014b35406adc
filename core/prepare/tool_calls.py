"""Whether tool calls are ones that a model may learn: each with arguments that are an object.

Such rows are kept, since every format can hold a text in the place of the object. But no template can write them
rightly: those that write `arguments | tojson` teach a quoted text, those that go through its members refuse the row,
and those that write it as it is teach JSON that no parser takes.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ..checks import Check
from ..examples.tool_calls import fault_of
from ..examples.turns import unread_calls
from ..examples.types import ChatExample
from ..untrusted import quote
from .batch import Done
from .ledger import Ledger
from .row import Place, Row
from .tally import Tally, note
from .wording import counted

RULE = "broken_tool_call"
MANY = 0.1  # share of the rows with calls from which the set teaches broken ones
SHOWN = 3  # faults named in the check; all are in the ledger
CALLING = "rows with tool calls"


def look_at_calls(row: Row, done: Done) -> None:
    """Flag the row when one of its calls could not be made as it stands."""
    if not isinstance(row.example, ChatExample):
        return
    calls = any(message.tool_calls for message in row.example.messages)
    faults = [*_faults(row.example), *_not_read(row.record)]
    if calls or faults:
        done.tally.calling[CALLING] += 1
    if faults:
        done.entries.flag(row.place, RULE, "; ".join(faults))
        note(done.tally.broken_calls, faults[0], row.place)


def _faults(example: ChatExample) -> Iterator[str]:
    """What is wrong with which call; the other answer of a preference pair may be the worse one for just that."""
    for turn, message in enumerate(example.messages, start=1):
        for number, call in enumerate(message.tool_calls or (), start=1):
            function = call.get("function")
            if isinstance(function, Mapping) and (fault := fault_of(function)):
                yield f"turn {turn}, call {number} ({quote(str(function.get('name')), 40)}): {fault}"


def _not_read(record: Mapping[str, Any]) -> Iterator[str]:
    for value in record.values():
        for turn in unread_calls(value):
            yield f"turn {turn}: it is to be a call, but its text is not the JSON of one, so it is kept as plain text"


def tool_call_checks(ledger: Ledger, tally: Tally) -> list[Check]:
    """Whether every call in the data could be made; nothing where no row calls a tool."""
    calling, broken = tally.calling[CALLING], ledger.flagged[RULE]
    if not calling:
        return []
    name = "Tool Calls"
    if not broken:
        details = f"the arguments of every call are an object ({counted(calling, 'row')} with calls)"
        return [Check(name=name, status="pass", details=details, count=0)]
    shown = "; ".join(_evidence(fault, place) for fault, place in islice(tally.broken_calls.items(), SHOWN))
    details = (
        f"in {broken:,} of {counted(calling, 'row')} with tool calls one cannot be made; kept as it is, a model would "
        f"learn to write such calls, or its chat template refuses the row: {shown}"
    )
    return [
        Check(
            name=name,
            status="fail" if broken > MANY * calling else "warn",
            details=details,
            count=broken,
            next_step=f"Correct the rows flagged {RULE} in ledger.jsonl at the source, or take them out.",
        )
    ]


def _evidence(fault: str, place: Place) -> str:
    return f"{quote(f'{place.source}:{place.line}', 160)}, {fault}"
