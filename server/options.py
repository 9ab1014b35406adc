"""Command-line options from an input model: one option a field, its name with dashes, its description as help."""

import argparse
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ..core.schema import Model, descriptions

POSITIONAL = "data_path"
POSITIONAL_WORDS = "data_path_words"  # of its own, or the empty positional would undo --data-path
NOT_OPTIONS = {"wait_s"}  # a command always waits to the end


def add_options(parser: argparse.ArgumentParser, model: type[Model], skip: set[str] | None = None) -> None:
    """Give the parser an option for every field of the model; `data_path` is also the positional argument."""
    said = descriptions(model)
    for name, field in model.model_fields.items():
        if name in NOT_OPTIONS | (skip or set()):
            continue
        help_ = _help(field, said.get(name, ""))
        if name == POSITIONAL:
            parser.add_argument(POSITIONAL_WORDS, nargs="*", metavar="DATA", help=help_)
        kind = _kind(field.annotation)
        flag = "--" + name.replace("_", "-")
        if kind is bool:
            parser.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, default=None, help=help_)
        elif _is_many(kind):
            metavar = "JSON" if _is_objects(kind) else "VALUE"
            parser.add_argument(flag, dest=name, action="append", metavar=metavar, help=help_ + _one_of(kind))
        else:
            parser.add_argument(flag, dest=name, metavar=_metavar(kind), choices=_choices(kind), help=help_)


def split_dotted(words: list[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Take `--field.key value` and `--field.key=value` out of the words; returns the rest and {field: {key: value}}."""
    rest: list[str] = []
    nested: dict[str, dict[str, str]] = {}
    waiting = iter(words)
    for word in waiting:
        name, separator, value = word.partition("=")
        if not word.startswith("--") or "." not in name:
            rest.append(word)
            continue
        field, _, key = name.removeprefix("--").partition(".")
        nested.setdefault(field.replace("-", "_"), {})[key] = value if separator else next(waiting, "")
    return rest, nested


def as_arguments(options: argparse.Namespace, model: type[Model], nested: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The arguments that were given, named as the tool names them."""
    given = {name: getattr(options, name, None) for name in model.model_fields}
    if POSITIONAL in given:
        words = [*(getattr(options, POSITIONAL_WORDS) or []), *_as_list(given[POSITIONAL])]
        given[POSITIONAL] = words[0] if len(words) == 1 else words or None
    for name, field in model.model_fields.items():
        if _is_objects(_kind(field.annotation)) and (texts := given[name]):
            given[name] = [found for text in texts for found in _objects(text)]
        elif name != POSITIONAL and _are_names(_kind(field.annotation)) and (texts := given[name]):
            given[name] = [word for text in texts for word in _names(text)]
    given |= {name: _joined(given.get(name), dotted, model.model_fields.get(name)) for name, dotted in nested.items()}
    return {name: value for name, value in given.items() if value is not None}


def _joined(plain: Any, dotted: dict[str, str], field: FieldInfo | None) -> Any:
    """An object that is given as JSON, by dotted options, or by both, where the dotted ones count.

    Dotted options beside what is no object stay beside it, for the model to refuse. Dashes in the names of the user's
    own fields are theirs.
    """
    if field is not None and _is_model(_kind(field.annotation)):
        dotted = {key.replace("-", "_"): value for key, value in dotted.items()}
    if plain is None:
        return dotted
    objects = _objects(plain) if isinstance(plain, str) else []
    if len(objects) == 1 and isinstance(objects[0], dict):
        return objects[0] | dotted
    return [plain, dotted]


def _objects(text: str) -> list[Any]:
    """The objects in a JSON text, be it one or a list of them; a text that is none stays, for the model to refuse."""
    try:
        found = json.loads(text)
    except ValueError:
        return [text]
    return found if isinstance(found, list) else [found]


def _as_list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _help(field: FieldInfo, description: str) -> str:
    text = " ".join(description.split()).replace("%", "%%")
    default = None if field.is_required() or field.default_factory else field.default
    return text if default in (None, ()) else f"{text} Default: {default}."


def _kind(annotation: Any) -> Any:
    """The annotation without None."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return next((part for part in parts if _is_many(part)), parts[0])
    return annotation


def _is_many(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list)


def _is_objects(kind: Any) -> bool:
    return _is_many(kind) and get_origin(get_args(kind)[0]) is dict


def _one_of(kind: Any) -> str:
    choices = _many_choices(kind)
    return f" Of {', '.join(choices)}; several with commas, or the option again." if choices else ""


def _are_names(kind: Any) -> bool:
    """Whether it is a list of choices or of plain texts, such as the names of benchmarks."""
    return _many_choices(kind) is not None or (_is_many(kind) and get_args(kind)[0] is str)


def _names(text: str) -> list[str]:
    """A file may be given by a name with commas."""
    return [text] if Path(text).exists() else [word.strip() for word in text.split(",")]


def _many_choices(kind: Any) -> tuple[str, ...] | None:
    return _choices(get_args(kind)[0]) if _is_many(kind) else None


def _choices(kind: Any) -> tuple[str, ...] | None:
    return get_args(kind) if get_origin(kind) is Literal else None


def _metavar(kind: Any) -> str | None:
    if get_origin(kind) is Literal:
        return None
    return "JSON" if _is_model(kind) or get_origin(kind) is dict else "VALUE"


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Model)
