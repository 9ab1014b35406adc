"""JSON schemas of the tools, as small and as plain as clients need them.

Some clients refuse `anyOf` in inputs or references anywhere, and every token of a schema is paid for in every
conversation. So titles go; an input is flat, closed and without references, and an optional argument is simply not
required; an output names every field with its type, and describes its own fields and those of the result: what lies
deeper speaks through its name, and its models' docstrings say the rest.
"""

import json
from typing import Any

from ..core.schema import Model

NOISE_IN_OUTPUT = ("additionalProperties", "required", "default", "minimum", "maximum", "exclusiveMinimum", "maxItems")


def input_schema(model: type[Model]) -> dict[str, Any]:
    """A flat, closed object schema without references; optional arguments have no null branch."""
    schema = model.model_json_schema(mode="validation")
    definitions = schema.pop("$defs", {})
    return _plain_input(_inlined(schema, definitions, ()))


def output_schema(model: type[Model]) -> dict[str, Any]:
    """The object schema of a tool's structured content; a shape that is used more than once is defined once."""
    schema = model.model_json_schema(mode="serialization")
    definitions = schema.pop("$defs", {})
    text = json.dumps([schema, definitions])
    shared = tuple(
        name for name in definitions if text.count(f'"#/$defs/{name}"') > 1 and "properties" in definitions[name]
    )
    plain = _plain_output(_inlined(schema, definitions, shared), described_levels=1)
    if shared:
        kept = {name: _inlined(definitions[name], definitions, shared) for name in shared}
        plain["$defs"] = {name: _plain_output(body, described_levels=0) for name, body in kept.items()}
    return plain


def _inlined(node: Any, definitions: dict[str, Any], shared: tuple[str, ...]) -> Any:
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
    node = _without_null(_tidy(node), keep_null=False)
    if node.get("default", 0) in (None, [], {}):
        del node["default"]
    if node.get("additionalProperties") is True:  # "anything" needs no word
        del node["additionalProperties"]
    return {
        key: {name: _plain_input(part) for name, part in value.items()} if key == "properties" else _plain_input(value)
        for key, value in node.items()  # names of properties are no keywords: one may be called "title"
    }


def _plain_output(node: Any, described_levels: int) -> Any:
    if isinstance(node, list):
        return [_plain_output(item, described_levels) for item in node]
    if not isinstance(node, dict):
        return node
    node = _without_null(_tidy(node), keep_null=True)
    node = {key: value for key, value in node.items() if key not in NOISE_IN_OUTPUT or isinstance(value, dict)}
    if "properties" not in node:
        return {key: _plain_output(value, described_levels) for key, value in node.items()}
    node.pop("description", None)
    fields = {}
    for name, field in node["properties"].items():
        levels = 1 if name == "result" else described_levels - 1
        fields[name] = _plain_output(field, levels)
        if described_levels < 1:
            fields[name].pop("description", None)
    return {"type": node["type"], "properties": fields}


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
    branches[0].pop("title", None)
    if not (nullable and keep_null):
        return {**branches[0], **rest}
    kind = branches[0].get("type")
    if isinstance(kind, str) and "enum" not in branches[0]:
        return {**branches[0], **rest, "type": [kind, "null"]}
    return rest | {"anyOf": node["anyOf"]}
