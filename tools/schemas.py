"""JSON schemas of the tools, as small and as plain as clients need them.

Some clients refuse `anyOf` in inputs or references anywhere, and every token of a schema is paid for in every
conversation. So titles go; an input is flat, closed and without references, and an optional argument is simply not
required; an output names the fields of the reply, of the result and of what that holds, and describes those of the
result, with their types. Those of the reply and the innermost ones speak through their names alone; their models'
docstrings say the rest.
"""

import json
from collections.abc import Collection
from typing import Any

from ..core.runs.request import RunRequest
from ..core.schema import Model

NOISE_IN_OUTPUT = frozenset(
    [
        "enum",
        "additionalProperties",
        "required",
        "default",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
        "prefixItems",
    ]
)
TOLD_IN_INSTRUCTIONS = ("Check",)  # the same in five outputs; the server's instructions give its fields
TOLD_BY_THEMSELVES = ("Event", "HostedMetric", "HostedCheckpoint", "TunedModel", "Leaving")  # plain words in each reply
PLAIN_OBJECTS = (*TOLD_IN_INSTRUCTIONS, *TOLD_BY_THEMSELVES)
UNSHAPED = (("items", {"type": "object"}), ("items", {}))  # a list of what is not described says no more than "array"
SHAPED_LEVELS = 2  # of a result: its fields, and the fields of the objects that they hold


def input_schema(model: type[Model]) -> dict[str, Any]:
    """A flat, closed object schema without references; the tool's own arguments first, then those that all share."""
    schema = model.model_json_schema(mode="validation")
    definitions = schema.pop("$defs", {})
    plain = _plain_input(_inlined(schema, definitions))
    shared = {name: plain["properties"].pop(name) for name in RunRequest.model_fields if name in plain["properties"]}
    plain["properties"] |= shared
    return plain


def output_schema(model: type[Model]) -> dict[str, Any]:
    """The object schema of a tool's structured content; a shape that stands in it more than once is defined once."""
    schema = model.model_json_schema(mode="serialization")
    definitions = schema.pop("$defs", {})
    definitions |= {name: {"type": "object"} for name in PLAIN_OBJECTS if name in definitions}
    text = json.dumps([schema, definitions])
    shared = {name for name in definitions if text.count(f'"#/$defs/{name}"') > 1 and "properties" in definitions[name]}
    result = _inlined(schema["properties"]["result"], definitions, shared)
    shaped = {"result": _plain_output(result, levels=SHAPED_LEVELS, described=True)}
    plain = {"type": "object", "properties": {name: {} for name in schema["properties"]} | shaped}
    bodies = {name: _inlined(definitions[name], definitions, shared) for name in sorted(shared)}
    used = {name: body for name, body in bodies.items() if f'"#/$defs/{name}"' in json.dumps(plain)}
    kept = {name: _plain_output(body, levels=1, described=False) for name, body in used.items()}
    return plain | ({"$defs": kept} if kept else {})


def _inlined(node: Any, definitions: dict[str, Any], shared: Collection[str] = ()) -> Any:
    """The node with every reference replaced by what it names, except to shared shapes."""
    if isinstance(node, list):
        return [_inlined(item, definitions, shared) for item in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).rsplit("/", 1)[-1]
    if name and name not in shared:
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _inlined({**definitions[name], **beside}, definitions, shared)
    return {key: _inlined(value, definitions, shared) for key, value in node.items()}


def _plain_input(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain_input(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = _tidy(_without_null(node, keep_null=False))
    if node.get("default", 0) is None or isinstance(node.get("default"), list | dict):
        del node["default"]
    if node.get("additionalProperties") is True:  # "anything" needs no word
        del node["additionalProperties"]
    return {
        key: {name: _plain_input(part) for name, part in value.items()} if key == "properties" else _plain_input(value)
        for key, value in node.items()  # names of properties are no keywords: one may be called "title"
    }


def _plain_output(node: Any, levels: int, described: bool) -> Any:
    """The node with the fields of its objects down to so many levels."""
    if isinstance(node, list):
        return [_plain_output(item, levels, described) for item in node]
    if not isinstance(node, dict):
        return node
    node = _tidy(_without_null(node, keep_null=True))
    if levels == 0 and node.get("type") not in ("object", "array"):
        return {}
    node = {key: value for key, value in node.items() if key not in NOISE_IN_OUTPUT}
    if "$ref" in node and levels == 0:
        return {"type": "object"}
    if "properties" not in node:
        plain = {key: _plain_output(value, levels, described) for key, value in node.items()}
        return {key: value for key, value in plain.items() if (key, value) not in UNSHAPED}
    if levels == 0:
        return {"type": node["type"]}
    fields = {name: _plain_output(field, levels - 1, described=False) for name, field in node["properties"].items()}
    for name, field in fields.items():
        text = node["properties"][name].get("description")
        if described and text:
            field["description"] = " ".join(text.split())
        else:
            field.pop("description", None)
    kind = {} if node["type"] == "object" and levels < SHAPED_LEVELS else {"type": node["type"]}
    return kind | {"properties": fields}  # fields say that it is an object


def _tidy(node: dict[str, Any]) -> dict[str, Any]:
    """Without the title and the format of paths; the description on one line."""
    kept = {key: value for key, value in node.items() if not (key in ("title", "format") and isinstance(value, str))}
    if isinstance(kept.get("description"), str):
        kept["description"] = " ".join(kept["description"].split())
    return kept


def _without_null(node: dict[str, Any], *, keep_null: bool) -> dict[str, Any]:
    """A union of one thing and null as that thing, or as a type that may be null where null must stay valid."""
    if "anyOf" not in node:
        return node
    branches = [branch for branch in node["anyOf"] if branch.get("type") != "null"]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    nullable = len(branches) < len(node["anyOf"])
    if len(branches) > 1:
        return rest | {"anyOf": node["anyOf"] if keep_null else branches}
    if not (nullable and keep_null):
        return {**branches[0], **rest}
    if "enum" in branches[0]:
        return rest | {"enum": [*branches[0]["enum"], None]}
    if "type" in branches[0]:
        return {**branches[0], **rest, "type": [branches[0]["type"], "null"]}
    return rest | {"anyOf": node["anyOf"]}
