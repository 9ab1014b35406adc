"""Scores that other packages bring: a decorated function, found by its entry point.

    from faion_finetuner.core.evaluate.scorers import scorer

    @scorer("Polite", right_or_wrong=True)
    def polite(answer: str, reference: str) -> bool:
        return "please" in answer.lower()

and in that package's pyproject.toml, where the name on the left is what `metrics` then accepts:

    [project.entry-points."faion_finetuner.scorers"]
    polite = "my_package.my_module:polite"
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from ..errors import InputError
from ..untrusted import quote

GROUP = "faion_finetuner.scorers"

Function = Callable[[str, str], float]


@dataclass(frozen=True)
class Scorer:
    """A function from answer and reference to a number, and what is known of these numbers."""

    function: Function
    label: str
    """As reports print it."""
    right_or_wrong: bool
    higher_is_better: bool
    tool_calls: bool = False
    """Whether it scores the rows with tools in place of those with text."""

    def __call__(self, answer: str, reference: str) -> float:
        """The function's number.

        Raises:
            InputError: It raised an error, or gave something else.
        """
        fix = "Mend the scorer, or leave it out of metrics."
        try:
            value = float(self.function(answer, reference))
        except Exception as error:  # other people's code may raise anything
            reason = f"{type(error).__name__}: {quote(str(error), 200)}"
            raise InputError(f"The scorer '{self.label}' fails on an answer with {reason}.", fix) from error
        if not math.isfinite(value) or (self.right_or_wrong and value not in (0, 1)):
            expected = "0 or 1" if self.right_or_wrong else "a finite number"
            raise InputError(f"The scorer '{self.label}' gave {value} where {expected} was expected.", fix)
        return value


def scorer(
    label: str, *, right_or_wrong: bool = False, higher_is_better: bool = True, tool_calls: bool = False
) -> Callable[[Function], Scorer]:
    """Make a function of (answer, reference) a score.

    Args:
        label: What reports call it.
        right_or_wrong: Whether it gives only 0 and 1; then flips are counted, and the exact McNemar test applies.
        higher_is_better: Whether more of it is good.
        tool_calls: Whether it scores the rows with tools. It then gets the calls of both as JSON lists of
            {name, arguments}; [] where none is made, {unreadable: why} for a call that cannot be read.
    """

    def made(function: Function) -> Scorer:
        return Scorer(function, label, right_or_wrong, higher_is_better, tool_calls)

    return made


def names() -> tuple[str, ...]:
    """Of all scorers that are installed; none is imported for it."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def load(name: str) -> Scorer:
    """The installed scorer of this name.

    Raises:
        InputError: There is none, it cannot be imported, or it was not made by `scorer`.
    """
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        raise InputError(f"There is no scorer '{name}' installed here.", "Install the package that brings it.")
    loaded = _imported(found)
    if not isinstance(loaded, Scorer):
        raise InputError(
            f"The entry point '{name}' ({found.value}) is no scorer.",
            f"Decorate the function with {scorer.__module__}.scorer.",
        )
    return loaded


def _imported(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:  # other people's code may raise anything
        reason = f"{type(error).__name__}: {quote(str(error), 200)}"
        raise InputError(
            f"The scorer '{point.name}' ({point.value}) cannot be imported: {reason}.", "Install its package again."
        ) from error
