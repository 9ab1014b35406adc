"""What can be said of the data as a whole, once every row has gone its way."""

from collections.abc import Iterable, Mapping, Sequence

from ..checks import Check
from ..examples.content import ONLY_TEXT
from ..untrusted import quote
from .balance import FIELD_NAMES
from .ledger import Ledger
from .read import DataFile
from .request import PrepareRequest
from .result import Source
from .row import Place
from .rules import RULES
from .tally import Tally
from .understand import LEFT_OUT, NAME_THEM, READ_AS
from .wording import counted, place_of

FIRST = ("Valid JSON", "Required Fields", "Min Length", "Max Length", "Encoding")  # the mission's, in its order
FIELD_RULES = ("not_an_example", "no_prompt")
LATER_RULES = (*FIELD_RULES, "tie", *RULES, "too_short", "personal_data", "duplicate", "near_duplicate")
MANY = 0.1  # share of bad rows from which the file as a whole is in doubt
LOST = 0.2  # share of dropped rows from which a person should look
BESIDE = {
    *(*FIELD_NAMES, "id", "idx", "index", "uid", "uuid", "tools", "rejected"),
    *("metadata", "response_metadata", "meta", "url", "date", "model"),
    *("completions", "generations", "answers", "ratings"),  # of which the pair was made, or of which one was taken
}
GOOD_OR_BAD = ("label", "kto_tag")  # TRL's and LLaMA-Factory's names for what unpaired preferences say
NO_MEDIA = "Take out what is no text (pictures, sound, files), or whole rows of it: here text alone is learned."
SMALL = 100  # examples; the mission holds 100 good ones for a usable set


def ordered(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The mission's five first, the others as they come."""
    return tuple(sorted(checks, key=lambda check: FIRST.index(check.name) if check.name in FIRST else len(FIRST)))


def reading_checks(ledger: Ledger, tally: Tally, files: Sequence[DataFile], rows_read: int) -> list[Check]:
    """What reading found: broken rows, records without the needed fields, and the encoding."""
    bad = {rule: count for rule, count in ledger.dropped.items() if rule not in (*LATER_RULES, "undecodable")}
    doubtful = {rule: ledger.flagged[rule] for rule in READ_AS if ledger.flagged[rule]}
    syntax = _syntax(bad, doubtful, tally.unparsed, rows_read)
    encoding = _encoding(ledger.dropped["undecodable"], files)
    return [syntax, _fields(ledger, tally, rows_read), encoding, *_left_out(ledger, tally)]


def _syntax(bad: Mapping[str, int], doubtful: Mapping[str, int], reasons: Mapping[str, Place], rows_read: int) -> Check:
    count = sum(bad.values())
    settled = f"; read by a rule, and flagged: {listed(doubtful)}" if doubtful else ""
    if not count and not doubtful:
        return Check(name="Valid JSON", status="pass", details="0 errors; every row could be parsed", count=0)
    errors = f"{counted(count, 'error')} ({listed(bad)}); each dropped, with its text in ledger.jsonl"
    first = next((f"; the first at {place_of(place)}: {reason}" for reason, place in reasons.items()), "")
    details = (errors if count else "0 errors") + first + settled
    status = "fail" if count > MANY * rows_read else "warn"
    return Check(
        name="Valid JSON", status=status, details=details, count=count, next_step="Correct these rows at the source."
    )


def _fields(ledger: Ledger, tally: Tally, rows_read: int) -> Check:
    count = sum(ledger.dropped[rule] for rule in FIELD_RULES)
    if not count:
        return Check(name="Required Fields", status="pass", details="Missing: none", count=0)
    reasons = [f"{reason} (first at {place_of(place)})" for reason, place in tally.unreadable.items()]
    if ledger.dropped["no_prompt"]:
        reasons.append(f"{counted(ledger.dropped['no_prompt'], 'plain text')} without a prompt")
    status = "fail" if count > MANY * rows_read else "warn"
    details = f"Missing in {counted(count, 'row')}, all dropped: {'; '.join(reasons)}"
    step = NO_MEDIA if _all_media(tally) else "Say with `columns` which field is what, or correct the rows."
    return Check(name="Required Fields", status=status, details=details, count=count, next_step=step)


def _encoding(broken: int, files: Sequence[DataFile]) -> Check:
    names = (
        ", ".join(dict.fromkeys(file.encoding.label for file in files if file.encoding))
        or "typed columns, no text encoding"
    )
    guessed = any(file.encoding and file.encoding.guessed for file in files)
    if broken:
        details = f"{names}; {counted(broken, 'row')} with bytes that are not in it, dropped and kept in ledger.jsonl"
        return Check(
            name="Encoding", status="warn", details=details, count=broken, next_step="Export the data as UTF-8."
        )
    if guessed:
        step = "Read some rows; if letters are wrong, convert the file to UTF-8."
        return Check(
            name="Encoding", status="warn", details=f"{names}; read as such, written as UTF-8", count=0, next_step=step
        )
    return Check(name="Encoding", status="pass", details=names, count=0)


def _left_out(ledger: Ledger, tally: Tally) -> list[Check]:
    """What of exported conversations the rows do not hold; nothing to say where all is carried over."""
    count = ledger.flagged[LEFT_OUT]
    if not count:
        return []
    details = f"{counted(count, 'row')} kept without something of theirs, by rows: {listed(tally.left_out)}"
    step = "See in ledger.jsonl (left_out) that the conversations make sense without it."
    return [Check(name="Carried Over", status="warn", details=details, count=count, next_step=step)]


def accounting_check(ledger: Ledger, rows_read: int, kept: int) -> Check:
    """Whether every row that was read is either written or dropped for a reason."""
    dropped = ledger.dropped
    adds_up = rows_read == kept + dropped.total()
    reasons = f" ({listed(dropped)})" if dropped else ""
    details = f"{rows_read:,} read = {kept:,} kept + {dropped.total():,} dropped{reasons}"
    details += "" if adds_up else "; this does not add up"
    return Check(name="Row Accounting", status="pass" if adds_up else "fail", details=details)


def source_of(files: Sequence[DataFile], tally: Tally, rows_read: int) -> Source:
    """What was read, as the result says it."""
    dialects = dict.fromkeys(file.dialect.label for file in files if file.dialect)
    encodings = dict.fromkeys(file.encoding.label for file in files if file.encoding)
    return Source(
        files=tuple(str(file.path) for file in files),
        detected_format=", ".join(dict.fromkeys(file.kind for file in files if file.kind != "empty")),
        encoding=", ".join(encodings) or "none: typed columns",
        dialect="; ".join(dialects) or None,
        records=dict(tally.shapes.most_common()),
        rows_read=rows_read,
    )


def warnings(
    request: PrepareRequest, ledger: Ledger, tally: Tally, checks: Iterable[Check], rows: tuple[int, int]
) -> tuple[str, ...]:
    """What a person should know before training, gravest first; `rows` are those read and those kept."""
    flawed = sorted((check for check in checks if check.status != "pass"), key=lambda check: check.status == "warn")
    found = [f"{check.name}: {check.details}." + (f" {check.next_step}" if check.next_step else "") for check in flawed]
    read, kept = rows
    if kept < SMALL:
        found.append(f"Only {kept:,} examples are left; fine-tuning usually wants {SMALL} good ones or more.")
    if len(tally.shapes) > 1:
        found.append(f"The records come in several shapes ({listed(tally.shapes)}); see that they mean the same.")
    if (lost := read - kept) >= LOST * read:
        found.append(
            f"{lost / read:.0%} of the rows were dropped ({listed(ledger.dropped)}); "
            "see in ledger.jsonl that this is meant."
        )
    if unseen := [name for name in tally.unused if name.lower() not in BESIDE]:
        named = ", ".join(quote(name, 40) for name in unseen[:8]) + (" and more" if len(unseen) > 8 else "")
        found.append(
            f"The model will not see the fields {named}: they stay beside the conversation. "
            "Give them a role with `columns` if the answer depends on them."
        )
    if marks := sorted(name for name in GOOD_OR_BAD if name in tally.unused and _is_yes_or_no(tally, name)):
        found.append(
            f"{quote(marks[0])} is true or false beside the answers. Where it says whether an answer is a good one "
            "(unpaired preferences, as for KTO), take out the rows with false: they would be learned as good ones."
        )
    changed = {rule: n for rule, n in ledger.changed.items() if rule != "personal_data"}
    if changed:
        found.append(f"Texts were repaired ({listed(changed)}); ledger.jsonl has them before and after.")
    if request.dry_run:
        found.append("Dry run: nothing was written; the files are those that would be.")
    return tuple(found)


def _is_yes_or_no(tally: Tally, name: str) -> bool:
    """Whether a field beside the answers says true in some rows and false in others, or false in all."""
    said = {label.lower() for label in tally.labels.get(name, {}).values()}
    return "false" in said and said <= {"true", "false"}


def _all_media(tally: Tally) -> bool:
    return bool(tally.unreadable) and all(ONLY_TEXT in reason for reason in tally.unreadable)


def unusable_next_step(dropped: Mapping[str, int], tally: Tally) -> str:
    """What to do when no row is left."""
    main = max(dropped, key=lambda rule: dropped[rule])
    if main == "not_an_example" and _all_media(tally):
        return NO_MEDIA
    if main == "not_an_example" and "input_ids" in tally.names:
        return "These rows are tokens already, made for one model: give the texts that they were made of."
    if main == "not_an_example":
        [(step, _)] = tally.next_steps.most_common(1)
        if step != NAME_THEM:
            return step
    steps = {
        "not_an_example": 'Say what the fields are with `columns`, for example {"q": "user", "a": "assistant"}.',
        "tie": "Give pairs of which one answer is the better one: in all of these neither is.",
        "no_prompt": "Plain text has no prompts: pass format: completion.",
        "no_answer": "Give conversations with an answer to learn: name its field with `columns`, or add it.",
        "empty_answer": "Name the field of the answers with `columns`; the one that was taken is empty.",
        "empty_prompt": "Name the field of the questions with `columns`; the one that was taken is empty.",
        "too_short": "Lower min_length.",
        "personal_data": "Use pii: redact instead of drop.",
    }
    return steps.get(main, "Check that the file holds records, one a line in JSON Lines.")


def listed(counts: Mapping[str, int]) -> str:
    """ "duplicate 12, empty_answer 3", the largest first."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
