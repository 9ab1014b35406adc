"""Arguments as a client sends them, into an input model; or one error that names every field that is wrong."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..core.errors import InputError
from ..core.schema import Model
from ..core.untrusted import quote

PLAIN = {  # pydantic names the types of Python; the caller wrote JSON
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "should be an object"),
    **dict.fromkeys(("tuple_type", "list_type"), "should be a list"),
    "path_type": "should be a path",
}
UNION_BRANCHES = ("str", "int", "float", "path")  # how pydantic names the ways to read an argument; or with [
NEEDED_PATHS = ("data_path", "model_name")  # output_dir says it itself
MIN_LIKENESS = 0.5  # of difflib's ratio; below it a suggestion confuses more than it helps


def parse(model: type[Model], arguments: Mapping[str, Any]) -> Any:
    """The input model that these arguments describe.

    Objects and lists that come as JSON text, as some clients send them, are read as what they say, and null or an empty
    text for what may be left out as left out.

    Raises:
        InputError: With one line for each argument that is unknown or wrong: its name, the problem, and the
            nearest right one.
    """
    arguments = _without_blanks(arguments, model)
    try:
        return model.model_validate(arguments)
    except ValidationError as first:
        decoded = _decode_failed(arguments, first)
        try:
            return model.model_validate(decoded)
        except ValidationError as error:
            lines = [_describe(detail, model) for detail in _relevant(error, model)]
            known = ", ".join(model.model_fields)
            raise InputError(
                "\n".join(lines), f"Correct the arguments named above. Known arguments: {known}."
            ) from None


def _without_blanks(arguments: Mapping[str, Any], model: type[Model]) -> dict[str, Any]:
    """The arguments without those that may be left out and say nothing.

    Raises:
        InputError: A needed one is an empty text, which would be read as the folder that paths count from.
    """
    given = dict(arguments)
    for name, field in model.model_fields.items():
        blank = isinstance(value := given.get(name), str) and not value.strip()
        if blank and name in NEEDED_PATHS and field.is_required():
            step = "Name a file or folder; a model may also be a hub id or a built-in name."
            raise InputError(f"{name}: is empty.", step)
        if not field.is_required() and (value is None or (blank and field.default is None)):
            given.pop(name, None)
    return given


def _decode_failed(arguments: Mapping[str, Any], error: ValidationError) -> dict[str, Any]:
    """The arguments with those that failed and hold the JSON text of an object or list decoded."""
    decoded = dict(arguments)
    for name in {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}:
        value = decoded.get(name)
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            try:
                decoded[name] = json.loads(value)
            except ValueError:
                continue
    return decoded


def _relevant(error: ValidationError, model: type[Model]) -> list[ErrorDetails]:
    """One error an argument, or a field of one: of a union's branches the one that got furthest into the value."""
    deepest: dict[str, ErrorDetails] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail)
        names = path.split(".")
        inside = len(names) > 1 and names[1] in _siblings(detail, model) and names[1] not in model.model_fields
        key = path if detail["type"] == "extra_forbidden" else ".".join(names[: 2 if inside else 1])
        if key not in deepest or len(detail["loc"]) > len(deepest[key]["loc"]):
            deepest[key] = detail
    return list(deepest.values())


def _path(detail: ErrorDetails) -> str:
    first, *rest = detail["loc"] or ("the arguments",)
    if rest and isinstance(rest[0], str) and (rest[0] in UNION_BRANCHES or "[" in rest[0]):
        rest = rest[1:]
    return ".".join(str(part) for part in (first, *rest))


def _describe(detail: ErrorDetails, model: type[Model]) -> str:
    path = _path(detail)
    if detail["type"] == "extra_forbidden":
        return f"{quote(path)}: there is no such argument.{nearest(str(detail['loc'][-1]), _siblings(detail, model))}"
    if detail["type"] == "missing":
        return f"{path}: required, but not given."
    given = detail["input"]
    problem = PLAIN.get(detail["type"]) or detail["msg"][0].lower() + detail["msg"][1:]
    if detail["type"] == "literal_error" and isinstance(given, str):
        choices = [choice.strip("'") for choice in str(detail["ctx"]["expected"]).replace(" or ", ", ").split(", ")]  # pyright: ignore[reportTypedDictNotRequiredAccess]
        return f"{path}: {quote(given)} is none of {', '.join(choices)}.{nearest(given, choices)}"
    return f"{path}: {problem}; given was {quote(json.dumps(given, default=str))}."


def _siblings(detail: ErrorDetails, model: type[Model]) -> list[str]:
    """The names known at the place where an unknown one was given."""
    for part in detail["loc"][:-1]:
        field = model.model_fields.get(str(part))
        nested = next((kind for kind in _models_in(field.annotation) if field), None) if field else None
        if nested is None:
            continue  # the name of a union's branch
        model = nested
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]


def nearest(name: str, known: list[str]) -> str:
    """A sentence that offers the known name most like this one; empty when none is like it."""
    found = get_close_matches(name.lower(), known, n=1, cutoff=MIN_LIKENESS)
    return f" Did you mean {found[0]}?" if found else ""
