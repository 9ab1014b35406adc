"""The rules for a grader of reinforcement jobs: its fields, and what it looks for in every row.

Source: the service's OpenAPI description, GraderStringCheck and its siblings.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..checks import Check
from ..lossless_json import texts_in
from ..untrusted import quote
from .lines import Problem

NEEDS: Mapping[str, tuple[str, ...]] = {
    "string_check": ("name", "input", "reference", "operation"),
    "text_similarity": ("name", "input", "reference", "evaluation_metric"),
    "python": ("name", "source"),
    "score_model": ("name", "model", "input"),
    "multi": ("name", "graders", "calculate_output"),
}
OF_ROW = re.compile(r"\{\{\s*item\.([A-Za-z_]\w*)")  # {{item.answer}} is the row's field "answer"


def grader_check(grader: object) -> Check:
    """Whether the grader has the fields that its type needs; of a type that is not known here nothing is claimed."""
    if grader is None:
        step = 'Give hyperparameters {"extra": {"grader": {...}}}; start needs it.'
        return Check(name="Grader", status="warn", details="none is given, so it was not checked", next_step=step)
    problems = list(_problems(grader, "grader"))
    if problems:
        step = "Correct hyperparameters.extra.grader as the provider describes it."
        return Check(name="Grader", status="fail", details="; ".join(problems), count=len(problems), next_step=step)
    kind = grader.get("type") if isinstance(grader, dict) else None
    if kind not in NEEDS:
        step = f"Known here are {', '.join(NEEDS)}."
        return Check(name="Grader", status="warn", details=f"{quote(str(kind))} is not known here", next_step=step)
    return Check(name="Grader", status="pass", details=f"{kind}, with every field that it needs", count=0)


def _problems(grader: object, place: str) -> Iterator[str]:
    if not isinstance(grader, dict):
        yield f"{place} is no object"
        return
    missing = [name for name in NEEDS.get(str(grader.get("type")), ("type",)) if not grader.get(name)]
    if missing:
        yield f"{place} lacks {', '.join(missing)}"
    parts = grader.get("graders") if grader.get("type") == "multi" else None
    named = parts.items() if isinstance(parts, dict) else enumerate(parts) if isinstance(parts, list) else ()
    for name, part in named:
        yield from _problems(part, f"{place}.graders[{quote(str(name), 40)}]")


def fields_of_rows(grader: object) -> frozenset[str]:
    """The fields that the grader's templates take from every row."""
    return frozenset(name for text in texts_in(grader) for name in OF_ROW.findall(text))


def check_fields(record: Mapping[str, Any], wanted: frozenset[str]) -> Iterator[Problem]:
    """The problem of a row that lacks what the grader takes from it."""
    missing = sorted(wanted - record.keys())
    if missing:
        yield Problem("Grader Fields", "", f"lacks {', '.join(missing)}, which the grader takes from every row")
