"""Texts repaired where they are broken, and rows dropped that have nothing to learn."""

from ..checks import Check
from ..examples.types import answer_of
from .batch import Done
from .ledger import Ledger
from .placeholders import answers_are_labels
from .plan import Plan
from .repairs import repair
from .row import Row
from .rules import RULES, judge, suspicion
from .texts import texts_of
from .wording import counted
from .worth import Worth, worst

PLACEHOLDER_RULES = frozenset(("placeholder_answer", "possible_placeholder"))
FEW = 0.01  # share of suspect rows below which a set as a whole is not
EMPTY = ("empty_answer", "empty_prompt", "no_answer")


class Clean:
    """The step: repair every text, drop rows that are worthless, flag those that are suspect."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._tokens, self._request = plan, plan.tokens, plan.request

    def __call__(self, rows: list[Row], done: Done) -> list[Row]:
        """The rows that go on."""
        if self._plan.answers_are_labels is None:
            self._plan.answers_are_labels = answers_are_labels([answer_of(row.example) for row in rows])
        kept = self._long_enough([row for row in rows if self._keeps(row, done)], done)
        done.worst = worst(done.worst)
        return kept

    def _keeps(self, row: Row, done: Done) -> bool:
        off = row.off | PLACEHOLDER_RULES if self._plan.answers_are_labels else row.off
        row.example, changes = repair(row.example, off)
        for change in changes:
            done.entries.change(row.place, change.rule, change.before, change.after)
        verdict = judge(row.example, off)
        if verdict.drop is not None:
            done.entries.drop(row.place, verdict.drop.rule, row.record, matched=verdict.drop.detail)
            return False
        for flag in verdict.flags:
            done.entries.flag(row.place, flag.rule, flag.detail)
        if verdict.flags:
            worth = Worth(suspicion(row.example, verdict), row.number, tuple(flag.rule for flag in verdict.flags))
            done.worst.append(worth)
        return True

    def _long_enough(self, rows: list[Row], done: Done) -> list[Row]:
        least = self._request.min_length
        if least <= 1:  # no row that is left is empty
            return rows
        counts = self._tokens.count_many(["\n".join(texts_of(row.example)) for row in rows])
        kept = []
        for row, count in zip(rows, counts, strict=True):
            if count >= least or "too_short" in row.off:
                kept.append(row)
            else:
                done.entries.drop(row.place, "too_short", row.record, matched=f"{count} of {least} tokens")
        return kept


def cleaning_checks(ledger: Ledger, least: int, rows_read: int) -> list[Check]:
    """How many rows were empty or too short, and what else the rules found."""
    return [_length_check(ledger, least), _suspect_check(ledger, rows_read)]


def _length_check(ledger: Ledger, least: int) -> Check:
    short, empty = ledger.dropped["too_short"], sum(ledger.dropped[rule] for rule in EMPTY)
    details = f"{counted(short, 'row')} below {counted(least, 'token')}, {empty:,} without question or answer; "
    details += "all dropped" if short + empty else "none to drop"
    step = "Look at them in ledger.jsonl." if short + empty else None
    status = "warn" if step else "pass"
    return Check(name="Min Length", status=status, details=details, count=short + empty, next_step=step)


def _suspect_check(ledger: Ledger, rows_read: int) -> Check:
    """What the rules found that drop or flag a row for what it says; the empty ones have a check of their own."""
    known = [name for name, rule in RULES.items() if rule.action != "repair" and name not in EMPTY]
    dropped = {name: ledger.dropped[name] for name in known if ledger.dropped[name]}
    flagged = {name: ledger.flagged[name] for name in known if ledger.flagged[name]}
    if not dropped and not flagged:
        return Check(name="Content", status="pass", details="no worthless or suspect rows", count=0)
    parts = [
        f"{verb}: {', '.join(f'{name} {count:,}' for name, count in sorted(counts.items(), key=lambda one: -one[1]))}"
        for verb, counts in (("dropped", dropped), ("flagged, kept", flagged))
        if counts
    ]
    few = not dropped and sum(flagged.values()) < FEW * rows_read
    step = "Read these rows in ledger.jsonl." + (" `restore` brings a rule's rows back." if dropped else "")
    return Check(
        name="Content",
        status="pass" if few else "warn",
        details="; ".join(parts),
        count=sum(dropped.values()) + sum(flagged.values()),
        next_step=None if few else step,
    )
