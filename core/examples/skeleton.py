"""What a chat template writes around the texts of a conversation, learned once for each order of roles.

Most templates only write a message's text out, at most trimmed. Then all conversations with the same roles differ in
nothing but these texts, and joining strings gives what the template would, ten times faster. That a template does so
is proven by running it on texts that note each thing done to them: what is more than joining, trimming or looking for
a constant makes the order of roles opaque, and the template itself has to run.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .template import environment_of

OPEN, CLOSE = "\ue010", "\ue011"  # private use: no template writes them
SLOT = re.compile(f"{OPEN}(\\d+){CLOSE}")
PASSING = frozenset(("trim", "length", "count", "default", "d", "string", "list", "first", "last"))
CHOOSING = frozenset(("selectattr", "rejectattr"))
TYPE_TESTS = frozenset(
    ("none", "defined", "undefined", "string", "mapping", "sequence", "iterable", "number", "boolean", "true", "false")
)
SHORT_KEYS = frozenset(("role", "type", "name", "index", "index0", "first", "last"))  # never a message's text
STRUCTURE = (nodes.AssignBlock, nodes.FilterBlock, nodes.CallBlock, nodes.Include, nodes.Import, nodes.FromImport)


class Opaque(Exception):
    """The template does more with a text than to write it."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The parts of a rendering: `constants[0]`, the text of `slots[0]`, `constants[1]`, ..."""

    constants: tuple[str, ...]
    slots: tuple["Slot", ...]

    absent: frozenset[str]
    """What no message's text may hold: the template would act on it."""

    def write(self, texts: Sequence[str]) -> tuple[str, list[int]]:
        """The rendering of these texts, and where in it each constant begins."""
        pieces, starts, at = [], [], 0
        for constant, slot in zip(self.constants, self.slots, strict=False):
            text = slot.text(texts) if slot.trims else texts[slot.message]
            pieces += (constant, text)
            starts.append(at)
            at += len(constant) + len(text)
        return "".join((*pieces, self.constants[-1])), [*starts, at]

    def begins(self, other: "Skeleton") -> bool:
        """Whether every other text begins with this one's, whatever the messages say."""
        count = len(self.slots)
        return (
            other.slots[:count] == self.slots
            and other.constants[:count] == self.constants[:count]
            and other.constants[count].startswith(self.constants[count])
        )


@dataclass(frozen=True, slots=True)
class Slot:
    """A message's text as the template writes it."""

    message: int
    trims: tuple[tuple[str, str | None], ...]
    """Names and arguments of the string methods that trim it."""

    def text(self, texts: Sequence[str]) -> str:
        """The text of this slot, of all messages' texts."""
        text = texts[self.message]
        for name, characters in self.trims:
            text = getattr(text, name)(characters)
        return text


def learn(template: str, roles: Sequence[str], **variables: Any) -> Skeleton:
    """What the template writes for messages with these roles and texts that are not blank.

    Raises:
        Opaque: It cannot be said without the texts, or the template refuses these roles.
    """
    notes = _Notes()
    messages = [{"role": role, "content": notes.text(Slot(number, ()))} for number, role in enumerate(roles)]
    try:
        written = _tracing(template).render(messages=messages, **variables)
    except (jinja2.TemplateError, TypeError, LookupError, ValueError, AttributeError, ArithmeticError) as error:
        raise Opaque from error
    pieces = SLOT.split(written)
    if any(OPEN in constant or CLOSE in constant for constant in pieces[::2]):
        raise Opaque
    slots = tuple(notes.slots[int(number)] for number in pieces[1::2])
    return Skeleton(tuple(pieces[::2]), slots, frozenset(notes.absent))


@dataclass
class _Notes:
    """What was seen of one run of a template."""

    slots: list[Slot] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)

    def text(self, slot: Slot) -> "_Text":
        self.slots.append(slot)
        return _Text.of(f"{OPEN}{len(self.slots) - 1}{CLOSE}", self, slot)


def _opaque(*_: Any, **__: Any) -> NoReturn:
    raise Opaque


class _Text(str):
    """Stands for any text that is not blank and has none of the noted constants; everything else done to it raises."""

    _notes: _Notes
    _slot: Slot | None  # None when joined with other text
    _OWN = frozenset(
        ("strip", "lstrip", "rstrip", "startswith", "endswith", "split", "replace", "__class__", "_notes", "_slot")
    )

    @classmethod
    def of(cls, text: str, notes: _Notes, slot: Slot | None) -> "_Text":
        made = cls(text)
        made._notes, made._slot = notes, slot
        return made

    def __getattribute__(self, name: str) -> Any:
        if name not in _Text._OWN and not name.startswith("_Text__"):
            raise Opaque
        return super().__getattribute__(name)

    def __str__(self) -> str:
        return self

    def __bool__(self) -> bool:
        return True

    def __add__(self, other: Any) -> "_Text":
        return _Text.of(str.__add__(self, other), self._notes, None)

    def __radd__(self, other: Any) -> "_Text":
        return _Text.of(str.__add__(other, self), self._notes, None)

    def __contains__(self, needle: Any) -> bool:
        return self.__lacks(needle)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, str) and other != "" and self.__lacks(other)

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def startswith(self, needle: Any, *more: Any) -> bool:
        if more:
            raise Opaque
        return any(map(self.__lacks, needle if isinstance(needle, tuple) else (needle,)))

    endswith = startswith

    def split(self, sep: Any = None, maxsplit: Any = -1) -> list[Any]:
        self.__lacks(sep)
        return [self]

    def replace(self, old: Any, *_: Any) -> Any:
        self.__lacks(old)
        return self

    def strip(self, characters: str | None = None, *, name: str = "strip") -> "_Text":
        if self._slot is None or isinstance(characters, _Text) or (characters and characters.strip()):
            raise Opaque  # of a text that is not blank, only white space surely leaves something
        return self._notes.text(Slot(self._slot.message, (*self._slot.trims, (name, characters))))

    def lstrip(self, characters: str | None = None) -> "_Text":
        return self.strip(characters, name="lstrip")

    def rstrip(self, characters: str | None = None) -> "_Text":
        return self.strip(characters, name="rstrip")

    def __lacks(self, needle: Any) -> bool:
        """False, because the text has no such part; that is noted."""
        if self._slot is None or not needle or type(needle) is not str:
            raise Opaque
        self._notes.absent.add(needle)
        return False


for _use in (
    "hash", "len", "iter", "getitem", "lt", "le", "gt", "ge",
    "mul", "rmul", "mod", "rmod", "format", "reversed",
):  # fmt: skip
    setattr(_Text, f"__{_use}__", _opaque)


class _Tracing(ImmutableSandboxedEnvironment):
    """Keeps noting texts away from functions that could read them unseen."""

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        if _holds_text((args, kwargs)):
            raise Opaque
        result = super().call(__context, __obj, *args, **kwargs)
        if isinstance(result, str) and not isinstance(result, _Text) and OPEN in result:  # what a macro wrote
            raise Opaque
        return result


@lru_cache(maxsize=32)
def _tracing(template: str) -> jinja2.Template:
    environment = environment_of(_Tracing)
    _refuse_hidden_uses(environment.parse(template))
    environment.filters = {
        name: function if name in CHOOSING else _guarded(function, name in PASSING)
        for name, function in environment.filters.items()
    }
    environment.tests = {name: _guarded(function, name in TYPE_TESTS) for name, function in environment.tests.items()}
    return environment.from_string(template)


def _guarded(function: Callable[..., Any], passes: bool) -> Callable[..., Any]:
    """The filter or test, which raises when it is given a text."""

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not passes and _holds_text((args, kwargs)):
            raise Opaque
        return function(*args, **kwargs)

    return checked


def _holds_text(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_text, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_text, value))
    return isinstance(value, _Text | Iterator)


def _refuse_hidden_uses(tree: nodes.Template) -> None:
    """Python's own operators and blocks that would read a text without its noticing.

    Raises:
        Opaque: The template has one.
    """
    joined = {id(node) for output in tree.find_all(nodes.Output) for node in output.nodes}
    hidden = (
        any(True for _ in tree.find_all(STRUCTURE))
        or any(id(node) not in joined for node in tree.find_all(nodes.Concat))
        or any(not isinstance(node.right, nodes.Const) for node in tree.find_all(nodes.Mod))
        or any(isinstance(node.left, nodes.Const) for node in tree.find_all(nodes.Mod))
        or any(not _sought(node) for node in tree.find_all(nodes.Compare))
    )
    if hidden:
        raise Opaque


def _sought(compared: nodes.Compare) -> bool:
    """Whether what is looked for inside something is surely no message's text."""
    if not any(operand.op in ("in", "notin") for operand in compared.ops):
        return True
    left = compared.expr
    if len(compared.ops) > 1:
        return False
    if isinstance(left, nodes.Getitem):
        return isinstance(left.arg, nodes.Const) and left.arg.value in SHORT_KEYS
    return isinstance(left, nodes.Const) or (isinstance(left, nodes.Getattr) and left.attr in SHORT_KEYS)
