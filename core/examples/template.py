"""Chat templates: the Jinja dialect in which models ship them, rendered as transformers renders it.

Options, filters and globals follow `transformers/utils/chat_template_utils.py` (5.23); the tests compare both.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from ..errors import DataError, ModelError
from ..lossless_json import Number
from ..untrusted import quote

CHATML = (
    "{{ bos }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + END + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SandboxedT = TypeVar("SandboxedT", bound=ImmutableSandboxedEnvironment)
REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")


def plain_chatml(*, has_end_token: bool, with_bos: bool) -> str:
    """The ChatML template for a model that ships none.

    A turn ends in <|im_end|> where the vocabulary has it, else in the model's end-of-text token, so that the model can
    learn to stop. It is a complete template: saved beside a tokenizer, transformers renders the same.
    """
    text = CHATML.replace("END", "'<|im_end|>'" if has_end_token else "eos_token")
    return text.replace("{{ bos }}", "{{ bos_token }}" if with_bos else "")


def render(template: str, messages: list[dict[str, Any]], **variables: Any) -> str:
    """The template's text for a conversation.

    Raises:
        DataError: The template refuses this conversation (no system role, roles must alternate, ...).
        ModelError: The template is not valid Jinja.
    """
    chat = [_with_reasoning(message) for message in messages]
    try:
        return compiled(template).render(messages=chat, **variables)
    except (jinja2.TemplateError, TypeError, LookupError, ValueError, AttributeError, ArithmeticError) as error:
        raise DataError(
            f"The model's chat template refuses the conversation: {quote(str(error), 200)}.",
            "Change the conversation to what this model expects, or choose another model.",
        ) from error


@lru_cache(maxsize=32)
def compiled(template: str) -> jinja2.Template:
    """The compiled template.

    Raises:
        ModelError: It is not valid Jinja.
    """
    environment = environment_of(ImmutableSandboxedEnvironment)
    try:
        return environment.from_string(template)
    except jinja2.TemplateError as error:
        raise ModelError(
            f"The chat template is not valid Jinja: {quote(str(error), 200)}.",
            "Repair the model's chat_template.jinja.",
        ) from error


def environment_of(kind: type[SandboxedT]) -> SandboxedT:
    """Options, extensions, filters and globals for templates, in a sandbox of this class."""
    environment = kind(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["dict"] = _TemplateDict()
    environment.globals["namespace"] = _TemplateNamespace
    return environment


class _Generation(Extension):
    """`{% generation %}` marks the answer for trainers; rendering just writes what is inside."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _TemplateDict:
    """`dict` for templates, without the type itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


class _TemplateNamespace(Namespace):
    """`namespace` for templates, which refuses names that reach into Python's internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _refuse_underscore(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        super().__setitem__(name, value)


def _refuse_underscore(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"A chat template may not set {name!r} on a namespace.")


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys, default=_number
    )


def _number(value: Any) -> Any:
    """A number whose text was kept, as transformers would have read it."""
    if isinstance(value, Number):
        return json.loads(value.text)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)  # noqa: DTZ005 - templates mean the local day


def _with_reasoning(message: Mapping[str, Any]) -> dict[str, Any]:
    """Reasoning under both names that templates read."""
    reasoning = next((message[key] for key in REASONING_FIELDS if message.get(key) is not None), None)
    if reasoning is None:
        return dict(message)
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}
