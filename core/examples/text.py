"""Values as texts and texts as values: what a table's cell or a field can only hold as text."""

import ast
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

from .. import lossless_json
from ..lossless_json import Number

# Strings are matched first so that nothing inside one is taken for structure. numpy writes no commas between the
# items of an array, and `array([...], dtype=object)` around it.
REPR = re.compile(
    r"""(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?P<next>\s+(?=['"]))?"""
    r"""|(?P<array>\barray\(|,\s*dtype=\w+\)|(?<=\])\))|(?P<end>[}\]])(?P<gap>\s+(?=[{\[]))""",
    re.DOTALL,
)
LONGEST_REPR = 4_000_000  # characters; Python's parser takes some 100 bytes of memory for each


def json_text(value: Any) -> str:
    """A value as JSON text with a space after commas and colons; numbers as their record writes them."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json_text(str(key))}: {json_text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(json_text, value)) + "]"
    if isinstance(value, Number):
        return value.text
    return json.dumps(value, ensure_ascii=False, default=str)


def parsed(text: str) -> Any:
    """The value of a text that is a JSON or Python list or object, numpy's spelling included; None for other text."""
    start = text.lstrip()[:1]
    if start != "[" and start != "{" and not text.startswith("array("):
        return None
    try:
        return lossless_json.loads(text.encode())
    except ValueError:  # also a lone surrogate, which is no text
        return _literal(text.strip()) if "'" in text or '"' in text else None


def _literal(text: str) -> Any:
    if len(text) > LONGEST_REPR:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # a backslash in a text is no matter to warn of
            return ast.literal_eval(REPR.sub(_with_commas, text))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _with_commas(match: re.Match[str]) -> str:
    if match["string"] is not None:
        return f"{match['string']}, " if match["next"] else match["string"]
    return "" if match["array"] is not None else f"{match['end']}, "
