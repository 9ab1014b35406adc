"""The experiments of a request: each is a training of its own, with some hyperparameters changed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue, ValidationError

from ..errors import FinetunerError, InputError
from ..untrusted import quote
from .hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from .request import TrainRequest

FOLDER = "experiments"
NAME_LETTERS = 60
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.+-]+")


@dataclass(frozen=True, slots=True)
class Variant:
    """One experiment."""

    name: str
    """Its number and what it changes: the name of its folder."""

    changes: dict[str, JsonValue]
    request: "TrainRequest"
    """As if it had been asked for alone."""


def variants(request: "TrainRequest") -> tuple[Variant, ...]:
    """The experiments in the order in which they were given.

    Raises:
        InputError: One of them changes what is no hyperparameter, or to what it cannot be.
    """
    return tuple(_variant(request, number, changes) for number, changes in enumerate(request.experiments, start=1))


def _variant(request: "TrainRequest", number: int, changes: dict[str, JsonValue]) -> Variant:
    given = request.hyperparameters.model_dump(exclude_none=True)
    try:
        numbers = Hyperparameters.model_validate(given | changes)
    except ValidationError as error:
        known = f"Each may change: {', '.join(Hyperparameters.model_fields)}."
        raise InputError(f"experiments, number {number}: {_explained(error)}", known) from error
    alone = request.model_copy(update={"hyperparameters": numbers, "experiments": ()})
    return Variant(_name(number, changes), changes, alone)


def _explained(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    problem = "there is no such hyperparameter" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{quote('.'.join(map(str, first['loc'])))}: {problem}"


def _name(number: int, changes: Mapping[str, JsonValue]) -> str:
    values = {name: "+".join(map(str, value)) if isinstance(value, list) else value for name, value in changes.items()}
    text = NOT_IN_NAMES.sub("-", "-".join(f"{name}-{value}" for name, value in values.items()) or "as-given")
    return f"{number}-{text}"[:NAME_LETTERS].rstrip("-.+")


def problems(request: "TrainRequest") -> list[FinetunerError]:
    """What cannot be about the experiments."""
    if not request.experiments:
        return []
    if request.technique == "full":
        problem = "Experiments train several adapters over one base, and technique full changes the base itself."
        return [InputError(problem, "Use technique lora or qlora, or start one run for each.")]
    seen: list[dict[str, JsonValue]] = []
    for number, changes in enumerate(request.experiments, start=1):
        if changes in seen:
            problem = f"experiments, number {number}: the same as number {seen.index(changes) + 1}."
            return [InputError(problem, "Leave one of them out; all have the same seed.")]
        seen.append(changes)
    return []
