"""Rows that hold text of a benchmark: a model trained on them has seen the test."""

from collections.abc import Mapping

from ..checks import Check
from .batch import Done
from .benchmarks import RUN, Benchmarks
from .ledger import Ledger
from .plan import Plan
from .row import Place, Row
from .shingles import shingle
from .tally import note
from .texts import texts_of
from .wording import counted

SHOWN = 3
NAME = "Contamination"


class Contamination:
    """The step: flag rows that overlap with a benchmark. They are kept: what to do about them is the user's choice."""

    def __init__(self, plan: Plan) -> None:
        self._benchmarks = plan.benchmarks

    def __call__(self, rows: list[Row], done: Done) -> list[Row]:
        """All rows."""
        if not self._benchmarks:
            return rows
        texts = [(row, text) for row in rows for text in texts_of(row.example)]
        hits: dict[str, tuple[Row, str]] = {}
        for index, item in self._benchmarks.overlaps(shingle([text for _, text in texts])).items():
            row = texts[index][0]
            hits.setdefault(row.place.row_id, (row, item))
        for row, item in hits.values():
            done.entries.flag(row.place, "contamination", item)
            note(done.tally.contaminated, item, row.place)
        return rows


def contamination_checks(benchmarks: Benchmarks, ledger: Ledger, items: Mapping[str, Place]) -> list[Check]:
    """How many rows overlap, with which benchmark; and what was not checked."""
    checks = []
    if benchmarks.names:
        found = ledger.flagged["contamination"]
        names = ", ".join(benchmarks.names)
        details = f"{counted(found, 'row')} sharing a run of {RUN} words (or a whole shorter text) with {names}"
        if found:
            details += f"; the first: {', '.join(list(items)[:SHOWN])}"
        step = "Remove the rows flagged contamination in ledger.jsonl, or do not evaluate on it." if found else None
        checks.append(
            Check(name=NAME, status="warn" if found else "pass", details=details, count=found, next_step=step)
        )
    if benchmarks.missing:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in benchmarks.missing.items())
        step = "Pass the benchmark's own file (JSONL, CSV, Parquet) in benchmarks."
        details = f"not checked against {reasons}"
        checks.append(Check(name=f"{NAME} (not checked)", status="warn", details=details, next_step=step))
    return checks
