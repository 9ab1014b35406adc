"""Prompt templates: the user's own Jinja text that makes a question of a record's fields.

A template comes from outside, so it runs in Jinja's sandbox, and the language is cut down to what a prompt needs: no
template can reach into Python, loop without end, or grow a text without bound.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from ..errors import DataError, InputError
from ..untrusted import quote
from .dialects import read_dialect
from .field_names import ANSWER_FIELDS, SYSTEM_FIELDS, Part, plain
from .recognise import Dialect, first
from .text import json_text
from .turns import text_of
from .types import ChatExample, CompletionExample, Example, Message, Rejected

MOST_SOURCE = 20_000  # characters of a template
MOST_OUTPUT = 1_000_000  # characters of a prompt, and of any text on the way to it: some 250,000 tokens
MOST_ITEMS = 1_000  # rounds of a loop
DEEPEST_LOOP = 2  # loops within loops
BIGGEST_NUMBER = 10**30
STATEMENTS = (nodes.Output, nodes.If, nodes.For, nodes.Assign)
FILTERS_ALLOWED = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "last", "length"),
    *("list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "select", "selectattr"),
    *("sort", "string", "sum", "title", "trim", "truncate", "unique", "upper", "wordcount"),
)
METHODS = frozenset(
    {
        *("capitalize", "count", "endswith", "find", "get", "items", "keys", "lower", "lstrip", "removeprefix"),
        *(
            "removesuffix",
            "replace",
            "rstrip",
            "split",
            "splitlines",
            "startswith",
            "strip",
            "title",
            "upper",
            "values",
        ),
    }
)
LOOP = frozenset({"index", "index0", "first", "last", "length", "revindex", "revindex0"})
ASKED: tuple[Part, ...] = ("user", "context", "prompt", "options")
TURNS: tuple[Part, ...] = ("messages", "request", "questions", "translation")
ALLOWED = "Use the record's fields, if, for, set, filters and simple text methods."


class PromptTemplate:
    """A Jinja template over a record's fields whose text is the user's turn.

    `{{ question }}` is the field of that name; one whose name is no word is `{{ record["the name"] }}`.
    """

    fields: frozenset[str]
    """The fields that it names."""

    def __init__(self, source: str) -> None:
        """Compiled at once.

        Raises:
            InputError: It is not Jinja, or uses what a prompt may not (macros, includes, calls into Python).
        """
        self.source = source
        if len(source) > MOST_SOURCE:
            raise InputError(f"The prompt template has more than {MOST_SOURCE:,} characters.", "Shorten it.")
        try:
            tree = _ENVIRONMENT.parse(source)
            _check(tree, 0)
            self.fields = _fields(tree)
            bounded = _Bounded().visit(tree)
            self._template = _ENVIRONMENT.from_string(bounded.set_environment(_ENVIRONMENT))
        except (jinja2.TemplateError, RecursionError) as error:
            raise InputError(f"The prompt template cannot be used: {quote(_message(error), 200)}.", ALLOWED) from error

    def __reduce__(self) -> tuple[type["PromptTemplate"], tuple[str]]:
        return PromptTemplate, (self.source,)  # a worker compiles it anew

    def render(self, record: Mapping[str, Any]) -> str:
        """The prompt of one record; null is empty, lists and objects are written as JSON.

        Raises:
            DataError: The record lacks a field that the template uses, or the template breaks a rule on it.
        """
        pieces: list[str] = []
        length = 0
        try:
            for piece in self._template.generate({"record": record, **record}):
                length += len(piece)
                _within(length)
                pieces.append(piece)
        except jinja2.UndefinedError as error:
            problem = f"The prompt template needs what the record lacks: {quote(_message(error), 200)}."
            raise DataError(problem, "Ask with `is defined`, or correct the record.") from error
        except (jinja2.TemplateError, TypeError, LookupError, ValueError, ArithmeticError, RecursionError) as error:
            problem = f"The prompt template fails on this record: {quote(_message(error), 200)}."
            raise DataError(problem, "Correct the template or the record.") from error
        return "".join(pieces)


def read_with_template(record: Mapping[str, Any], dialect: Dialect | None, template: PromptTemplate) -> Example:
    """The example of a record whose question the template writes; system text and answers are the dialect's.

    Fields of the question that the template does not use stay in `fields`. Without a dialect, the answer is the field
    that is named like one.

    Raises:
        DataError: The template does not fit the record, or the record has no answer or is a conversation.
    """
    question = template.render(record)
    dialect = dialect or _answer_alone(record)
    if any(part in TURNS for part in dialect.parts.values()):
        raise DataError(
            "The prompt template is for records with an answer field; this one is a conversation or a translation.",
            "Prepare conversations without a template.",
        )
    example = read_dialect(record, dialect)
    unused = {field: record[field] for field, part in dialect.parts.items() if part in ASKED and field in record}
    left = {**example.fields, **{field: value for field, value in unused.items() if field not in template.fields}}
    if isinstance(example, CompletionExample):
        if "prompt" not in dialect.parts.values():
            raise _no_answer()
        rejected = None if example.rejected is None else Rejected(1, (Message("assistant", example.rejected),))
        return ChatExample((Message("user", question), Message("assistant", example.completion)), left, rejected)
    if not {"assistant", "key"} & set(dialect.parts.values()):
        raise _no_answer()
    asked = max(i for i, message in enumerate(example.messages) if message.role == "user")
    messages = (*example.messages[:asked], Message("user", question), *example.messages[asked + 1 :])
    return ChatExample(messages, left, example.rejected)


def _no_answer() -> DataError:
    problem = "The record has no answer to the prompt template's question."
    return DataError(problem, "Name the field with `columns`: {field: assistant}.")


def _answer_alone(record: Mapping[str, Any]) -> Dialect:
    names = {plain(field): field for field in reversed(list(record)) if record[field] is not None}
    answer, system = first(names, ANSWER_FIELDS), first(names, SYSTEM_FIELDS)
    if answer is None:
        raise _no_answer()
    parts: dict[str, Part] = {} if system is None else {system: "system"}
    return Dialect("pair", {**parts, answer: "assistant"})


def _message(error: Exception) -> str:
    """What Jinja says is wrong, without the place in its own code."""
    return (isinstance(error, jinja2.TemplateError) and error.message) or str(error)


def _check(node: nodes.Node, loops: int) -> None:
    """Raises a SecurityError for a statement that a prompt has no use for."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Stmt) and not isinstance(child, STATEMENTS):
            raise SecurityError(f"a prompt has no use for {{% {type(child).__name__.lower()} %}}")
        deeper = loops + isinstance(child, nodes.For)
        if deeper > DEEPEST_LOOP or (isinstance(child, nodes.For) and child.recursive):
            raise SecurityError("loops are too deep")
        _check(child, deeper)


def _fields(tree: nodes.Template) -> frozenset[str]:
    """The names that a template takes from the record, also those in `record["..."]`."""
    names = meta.find_undeclared_variables(tree) - {"record"}
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and item.node.name == "record" and isinstance(item.arg, nodes.Const):
            names.add(str(item.arg.value))
    return frozenset(names | {a.attr for a in tree.find_all(nodes.Getattr) if _is_record(a.node)} - METHODS)


def _is_record(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "record"


class _Bounded(NodeTransformer):
    """Puts limits where Jinja leaves none to intercept: loops and the `~` operator."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        node.iter = self.filtered(node.iter, "_items")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return self.filtered(nodes.List(node.nodes, lineno=node.lineno), "_concat")

    def filtered(self, node: nodes.Node, name: str) -> nodes.Filter:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with a list of what is allowed in place of one of what is not."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def wrap_str_format(self, value: Any) -> None:
        """No text's `format`, not even the sandbox's own: it pads to any length."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr in LOOP if isinstance(obj, LoopContext) else isinstance(obj, (str, Mapping)) and attr in METHODS

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(__obj, "__name__", "") == "replace" and isinstance(getattr(__obj, "__self__", None), str):
            return _replace(__obj.__self__, *args, **kwargs)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not all(isinstance(value, (int, float)) for value in (left, right)):
            if operator != "+":
                raise SecurityError(f"{operator} is for numbers only")
            _within(len(left) + len(right))
        elif operator in ("*", "**") and (abs(left) > BIGGEST_NUMBER or abs(right) > BIGGEST_NUMBER):
            raise SecurityError("a number is too big")
        elif operator == "**" and (abs(left) > 1_000 or abs(right) > 10):
            raise SecurityError("a power is too big")
        return super().call_binop(context, operator, left, right)


def _shown(value: Any) -> str:
    return text_of(value) if not isinstance(value, jinja2.Undefined) else str(value)


def _within(length: int) -> None:
    if length > MOST_OUTPUT:
        raise SecurityError(f"the prompt grows beyond {MOST_OUTPUT:,} characters")


def _items(value: Any) -> list[Any]:
    items = list(value)
    if len(items) > MOST_ITEMS:
        raise SecurityError(f"a loop runs more than {MOST_ITEMS:,} times")
    return items


def _concat(values: Iterable[Any]) -> str:
    return _join(values)


def _join(values: Iterable[Any], separator: str = "") -> str:
    texts = [_shown(value) for value in values]
    _within(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _replace(text: Any, old: str, new: str, count: int = -1) -> str:
    shown = _shown(text)
    _within(len(shown) + shown.count(old) * max(len(new) - len(old), 0))
    return shown.replace(old, new, count)


def _environment() -> _Environment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    own: dict[str, Callable[..., Any]] = {"_items": _items, "_concat": _concat, "join": _join, "replace": _replace}
    environment.globals.clear()
    environment.filters = {name: FILTERS[name] for name in FILTERS_ALLOWED} | own | {"tojson": json_text}
    return environment


_ENVIRONMENT = _environment()
