"""The ways in which models write a tool call: JSON, XML, Python, or a name before its arguments."""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...examples.tool_calls import ARGUMENT_KEYS, arguments_of, function_of

Tools = Sequence[Mapping[str, Any]]
DECODER = json.JSONDecoder()
BETWEEN = re.compile(r"[\s;]+")  # Llama's calls stand behind each other with a semicolon
PYTHON = re.compile(r"\[\s*[A-Za-z_][\w.]*\(")
NAMED = re.compile(  # Mistral's; gpt-oss writes a channel between name and arguments
    r"([\w.\-]+)\s*(?:(?:\[CALL_ID\]\w+)?\s*(?:\[ARGS\])?|[^{]*<\|message\|>)\s*(?=\{)"
)
GEMMA = re.compile(r"call:([\w.\-]+)\s*(?=\{)")
GEMMA_QUOTE = re.compile(r"<\|\"\|>|<escape>")
BARE_KEY = re.compile(r"(?<=[{,])\s*([\w.\-]+)\s*:")
PYTHON_NAME = re.compile(r"\b(?:None|True|False)\b")
FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)</function>", re.DOTALL)
PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
AS_JSON = {"None": "null", "True": "true", "False": "false"}


class Call(NamedTuple):
    """One call."""

    name: str
    arguments: Any
    """A JSON object; another value only in data that is broken."""


class NoCall(ValueError):
    """The text is no call."""


class RanOut(NoCall):
    """The text ends within a call."""


def read_body(text: str, tools: Tools) -> list[Call]:
    """The calls that a text is, and nothing else.

    Args:
        text: What stands between the marks of a call.
        tools: The row's definitions: a form that quotes no text leaves types to them.

    Raises:
        RanOut: It ends within one.
        NoCall: It is none.
    """
    text = text.strip()
    if text.startswith("<function="):
        return _xml(text, tools)
    if "<arg_key>" in text:
        return [_pairs(text, tools)]
    if PYTHON.match(text):
        return list(_python(text))
    if named := GEMMA.match(text):
        return [Call(named[1], _only(_unquoted(text[named.end() :])))]
    if named := NAMED.match(text):
        return [Call(named[1], _only(text[named.end() :]))]
    return [call for value in _values(text) for call in calls_of(value)]


def calls_of(value: Any) -> list[Call]:
    """The calls that a JSON value is: one, or a list of them.

    Raises:
        NoCall: It is none.
    """
    return [_call(one) for one in (value if isinstance(value, list) else [value])]


def _call(value: Any) -> Call:
    if not isinstance(value, Mapping):
        raise NoCall("no object")
    function = function_of(value)
    name, key = function.get("name"), next((key for key in ARGUMENT_KEYS if key in function), None)
    if not isinstance(name, str) or (key is None and len(function) > 1):
        raise NoCall("no name, or other members in place of the arguments")
    whole = function is not value and key == "arguments"  # OpenAI's shape alone writes them as a text
    return Call(name, _object(arguments_of(function) if whole else function[key] if key else {}))


def _object(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise NoCall("the arguments are no object")
    return value


def _only(text: str) -> Any:
    """The one object that the text is."""
    values = _values(text)
    return _object(values[0] if len(values) == 1 else None)


def _unquoted(text: str) -> str:
    """Gemma's notation as JSON: keys without quotes, texts between marks of their own."""
    pieces = GEMMA_QUOTE.split(text)
    if len(pieces) % 2 == 0:
        raise RanOut("no end of a text")
    for place, piece in enumerate(pieces):
        if place % 2:
            pieces[place] = json.dumps(piece)
        else:
            quoted = BARE_KEY.sub(r'"\1":', piece)
            pieces[place] = PYTHON_NAME.sub(lambda found: AS_JSON[found[0]], quoted)
    return "".join(pieces)


def _values(text: str) -> list[Any]:
    """The JSON values that stand in the text one behind the other."""
    values, place = [], 0
    try:
        while place < len(text):
            value, place = DECODER.raw_decode(text, place)
            values.append(value)
            if between := BETWEEN.match(text, place):
                place = between.end()
    except json.JSONDecodeError as error:
        at_end = error.msg.startswith("Unterminated") or not text[error.pos :].strip()
        raise (RanOut if at_end else NoCall)(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise NoCall("a number too long, or too deep") from error
    if not values:
        raise RanOut("nothing")
    return values


def _xml(text: str, tools: Tools) -> list[Call]:
    found = FUNCTION.findall(text)
    if not found:
        raise RanOut("no end of the function")
    return [
        Call(name, {key: _typed(value, name, key, tools) for key, value in PARAMETER.findall(body)})
        for name, body in found
    ]


def _pairs(text: str, tools: Tools) -> Call:
    name = text.partition("<arg_key>")[0].strip()
    if not text.endswith("</arg_value>"):
        raise RanOut("no end of a value")
    return Call(name, {key: _typed(value, name, key, tools) for key, value in PAIR.findall(text)})


def _typed(text: str, name: str, key: str, tools: Tools) -> Any:
    """The text as its definition wants it: itself where that is a text or there is none, else the JSON value."""
    properties = next((_properties(tool) for tool in tools if function_of(tool).get("name") == name), {})
    schema = properties.get(key)
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind is None or kind == "string" or (isinstance(kind, list) and "string" in kind):
        return text
    if text in WORDS:  # Qwen 3.5's template writes them as Python does
        return WORDS[text]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _properties(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = function_of(tool).get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _python(text: str) -> Iterator[Call]:
    try:
        whole = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise (NoCall if text.endswith("]") else RanOut)(str(error)) from error
    for one in whole.elts if isinstance(whole, ast.List) else ():
        if not isinstance(one, ast.Call) or one.args or any(word.arg is None for word in one.keywords):
            raise NoCall("no call with named arguments")
        yield Call(ast.unparse(one.func), {str(word.arg): _literal(word.value) for word in one.keywords})


class _JsonWords(ast.NodeTransformer):
    """true, false and null as the values that they are in JSON."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """See the class."""
        return ast.Constant(WORDS[node.id]) if node.id in WORDS else node


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(_JsonWords().visit(node))
    except (ValueError, TypeError, RecursionError) as error:
        raise NoCall("an argument is no value") from error
