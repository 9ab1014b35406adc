"""Calls that were made against calls that were expected, both as the JSON lists of `Called.as_json`."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import text_match

Calls = list[dict[str, Any]]
Leaves = Counter[tuple[str, str]]


def calls(text: str) -> Calls:
    """The calls of one such list; an unreadable one has no name."""
    return json.loads(text)


def right(made: str, expected: str) -> bool:
    """Whether just the expected calls were made: by name and by arguments equal as JSON, in any order."""
    return Counter(map(_whole, calls(made))) == Counter(map(_whole, calls(expected)))


def names_right(made: str, expected: str) -> bool:
    """Whether just the expected tools were called, each as often."""
    return _names(calls(made)) == _names(calls(expected))


def argument_counts(made: str, expected: str) -> tuple[int, int, int]:
    """Arguments in common, made and expected, each with its value; a call without any counts as one.

    Calls of the same tool are paired so that most arguments agree.
    """
    given, wanted = _by_name(calls(made)), _by_name(calls(expected))
    common = sum(_most_in_common(given[name], wanted[name]) for name in given.keys() & wanted.keys())
    return common, _total(given), _total(wanted)


def _whole(call: Mapping[str, Any]) -> tuple[str | None, frozenset[tuple[tuple[str, str], int]]]:
    return call.get("name"), frozenset(_leaves(call).items())


def _names(found: Calls) -> Counter[str | None]:
    return Counter(call.get("name") for call in found)


def _leaves(call: Mapping[str, Any]) -> Leaves:
    return text_match.json_leaves(call.get("arguments"), "$")


def _by_name(found: Calls) -> dict[str | None, list[Leaves]]:
    grouped: dict[str | None, list[Leaves]] = {}
    for call in found:
        grouped.setdefault(call.get("name"), []).append(_leaves(call))
    return grouped


def _total(grouped: Mapping[str | None, list[Leaves]]) -> int:
    return sum(leaves.total() for several in grouped.values() for leaves in several)


def _most_in_common(given: list[Leaves], wanted: list[Leaves]) -> int:
    from scipy.optimize import linear_sum_assignment

    shared = np.asarray([[(one & other).total() for other in wanted] for one in given])
    return int(shared[linear_sum_assignment(shared, maximize=True)].sum())
