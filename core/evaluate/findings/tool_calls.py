"""Whether the calls that were made can be read at all, as a server would have to."""

from collections.abc import Mapping, Sequence

from ...checks import Check, quoting
from ...untrusted import quote
from .. import scored
from ..measured import Measured
from ..scoring.written_calls import Called
from ..subject import Subject

SHOWN = 200  # characters of an answer
RIGHT = "An answer is right when it makes just the reference's calls, in any order, with equal arguments."
UNTRAINED = "Read them in samples.jsonl; training on rows with calls teaches how to write and to end them."
Found = Sequence[tuple[int, Called]]
"""Positions among `asked` of rows with tools, and the calls of their answers."""


def check(subject: Subject, base: Measured, finetuned: Measured | None) -> tuple[Check, ...]:
    """Calls that no parser takes, and those that were begun and not ended; nothing where no row has tools."""
    about = [place for place, row in enumerate(subject.asked) if subject.wanted(row)[1] is not None]
    if not about:
        return ()
    sides = {"the base": base} | ({"the fine-tuned model": finetuned} if finetuned else {})
    found = {name: [(place, scored.called(subject, place, one)) for place in about] for name, one in sides.items()}
    last = finetuned or base
    return (*_form(subject), _readable(found, last), *_closed(found, last))


def _form(subject: Subject) -> tuple[Check, ...]:
    if subject.reader.form is not None:
        details = f"Calls are read as the models are to write them: {quote(subject.reader.form)}. {RIGHT}"
        return (Check(name="tool_call_form", status="pass", details=details),)
    details = "How the chat template writes tool calls is not known here; every known form is tried."
    if subject.reader.example:
        details += f" It writes {quote(subject.reader.example, SHOWN)}."
    step = "Take the scores of tool calls as a lower bound; read samples.jsonl, or bring a scorer of your own."
    return (Check(name="tool_call_form", status="warn", details=details, next_step=step),)


def _readable(found: Mapping[str, Found], last: Measured) -> Check:
    """Calls that were written, and that nothing could act on; those never closed are told apart."""

    def bad(side: Found) -> list[int]:
        return [place for place, one in side if {"malformed", "in another form"} & set(one.faults)]

    counts = {name: len(bad(side)) for name, side in found.items()}
    told = " and ".join(f"{count} of {name}" for name, count in counts.items())
    n = len(next(iter(found.values())))
    details = f"Of the answers to {n} rows with tools, {told} hold a call that cannot be read"
    places = bad(list(found.values())[-1])
    if not places:
        return Check(name="tool_calls_read", status="pass", details=f"{details}.", count=0)
    details += "; it counts as a wrong one."
    step = "Read them in samples.jsonl; broken calls after training want more rows of their kind, or more steps."
    if len(found) == 1:
        step = UNTRAINED
    if foreign := sum("in another form" in one.faults for _, one in list(found.values())[-1]):
        details += (
            f" {foreign} of {'these' if len(found) == 1 else 'the latter'} are in the form of another model family."
        )
        step = "Read them in samples.jsonl; train on rows whose calls stand in `tool_calls`: the template writes them."
    details = quoting(details, quote(scored.written(last.answers[places[0]]), SHOWN))
    return Check(name="tool_calls_read", status="warn", details=details, count=len(places), next_step=step)


def _closed(found: Mapping[str, Found], last: Measured) -> tuple[Check, ...]:
    side = list(found.values())[-1]
    places = [place for place, one in side if "never closed" in one.faults]
    if not places:
        return ()
    cut = sum(not last.answers[place].stopped for place in places)
    details = (
        f"{len(places)} of {len(side)} answers begin a tool call and never close it, {cut} of them cut by the token "
        "limit; they count as wrong calls."
    )
    details = quoting(details, quote(scored.written(last.answers[places[0]]), SHOWN))
    step = "See in train's report whether answers were cut by max_seq_length, and whether their end token is learned."
    if len(found) == 1:
        step = UNTRAINED
    return (Check(name="tool_calls_closed", status="warn", details=details, count=len(places), next_step=step),)
