"""Whether tool calls are ones that a model may learn: each with arguments that are an object.

Such rows are kept, since every format can hold a text in the place of the object. But no template can write them
rightly: those that write `arguments | tojson` teach a quoted text, those that go through its members refuse the row,
and those that write it as it is teach JSON that no parser takes.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ..checks import Check
from ..errors import DataError
from ..examples.chat import tools_of
from ..examples.tool_calls import fault_of, function_of
from ..examples.turns import names_speakers, unread_calls
from ..examples.types import ChatExample
from ..untrusted import quote
from .batch import Done
from .ledger import Ledger
from .row import Row
from .tally import Tally, note
from .wording import counted, place_of

RULE = "broken_tool_call"
NULLS = "null_tool_arguments"
MANY = 0.1  # share of the rows with calls from which the set teaches broken ones
SHOWN = 3  # faults named in the check; all are in the ledger
CALLING = "rows with tool calls"


def look_at_calls(row: Row, done: Done, *, typed: bool) -> None:
    """Flag the row when a call of it is not as it should be; `typed` when it is from a table of typed columns."""
    if not isinstance(row.example, ChatExample):
        return
    calls = any(message.tool_calls for message in row.example.messages)
    faults = [*(_faults(row.example) if calls or "tools" in row.example.fields else ()), *_not_read(row.record)]
    nulls = list(_nulls(row.record)) if typed and calls else []
    if calls or faults:
        done.tally.calling[CALLING] += 1
    for rule, found in ((RULE, faults), (NULLS, nulls)):
        if found:
            done.entries.flag(row.place, rule, "; ".join(found))
            note(done.tally.broken_calls, found[0], row.place)


def _faults(example: ChatExample) -> Iterator[str]:
    """What is wrong with which call; the other answer of a preference pair may be the worse one for just that."""
    for turn, message in enumerate(example.messages, start=1):
        for number, call in enumerate(message.tool_calls or (), start=1):
            function = function_of(call)
            if (fault := fault_of(function)) is not None:
                yield f"turn {turn}, call {number} ({quote(str(function.get('name')), 40)}): {fault}"
    yield from _stray_replies(example)
    if (fault := _fault_of_tools(example)) is not None:
        yield fault


def _stray_replies(example: ChatExample) -> Iterator[str]:
    """Replies that name a call which no turn before made; where calls have no ids, replies need none."""
    made: set[str] = set()
    for turn, message in enumerate(example.messages, start=1):
        made.update(str(call["id"]) for call in message.tool_calls or () if call.get("id"))
        named = message.fields.get("tool_call_id") if message.role == "tool" else None
        if named and made and str(named) not in made:
            yield f"turn {turn}: the reply is to call {quote(str(named), 40)}, which no turn before made"


def _fault_of_tools(example: ChatExample) -> str | None:
    """Why a template would not see the definitions in `tools`; None when it does, or when they are about no calls."""
    tools = example.fields.get("tools")
    texts = tools if isinstance(tools, list) else [tools]
    if not texts or not all(isinstance(text, str) and text.lstrip().startswith(("[", "{")) for text in texts):
        return None
    try:
        readable = tools_of(example) is not None or json.loads(str(texts[0])) == []
    except (DataError, ValueError):
        return "`tools` is no valid JSON"
    return None if readable else "`tools` is no list of definitions, so that no chat template would write them"


def _nulls(record: Mapping[str, Any]) -> Iterator[str]:
    """Arguments that are null in a typed table, which gives every row the members that any row has."""
    turns = next((value for value in record.values() if names_speakers(value) and isinstance(value, list)), [])
    for number, turn in enumerate(turns, start=1):
        calls = turn.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = function_of(call)
            if empty := _empty_members(function.get("arguments")):
                called, listed = quote(str(function.get("name")), 40), ", ".join(quote(name, 40) for name in empty[:5])
                yield f"turn {number}, call of {called}: {listed} is null, as a typed table writes what a row lacks"


def _empty_members(arguments: Any) -> list[str]:
    return [name for name, value in arguments.items() if value is None] if isinstance(arguments, Mapping) else []


def _not_read(record: Mapping[str, Any]) -> Iterator[str]:
    for value in record.values():
        for turn in unread_calls(value):
            yield f"turn {turn}: it is to be a call, but its text is not the JSON of one, so it is kept as plain text"


def tool_call_checks(ledger: Ledger, tally: Tally) -> list[Check]:
    """Whether every call in the data could be made; nothing where no row calls a tool."""
    calling, broken, nulls = tally.calling[CALLING], ledger.flagged[RULE], ledger.flagged[NULLS]
    if not calling:
        return []
    name, found = "Tool Calls", broken + nulls
    if not found:
        details = f"the arguments of every call are an object ({counted(calling, 'row')} with calls)"
        return [Check(name=name, status="pass", details=details, count=0)]
    shown = "; ".join(f"{place_of(place)}, {fault}" for fault, place in islice(tally.broken_calls.items(), SHOWN))
    details = (
        f"in {found:,} of {counted(calling, 'row')} with tool calls one is not as it should be; kept as it is, a model "
        f"would learn to write such calls, or its chat template refuses the row: {shown}"
    )
    step = f"Correct the rows flagged {RULE} in ledger.jsonl at the source, or take them out." if broken else ""
    step += f"{' ' if step else ''}For {NULLS}, store the arguments as JSON text in the table." if nulls else ""
    status = "fail" if broken > MANY * calling else "warn"
    return [Check(name=name, status=status, details=details, count=found, next_step=step)]
