"""JSON schemas of the tools, as small and as plain as clients need them.

Some clients refuse `anyOf` at the root or in inputs, and every token of a schema is paid for in every
conversation: titles go, an optional input is simply not required, and an input has no references.
"""

from typing import Any

from ..core.schema import Model


def input_schema(model: type[Model]) -> dict[str, Any]:
    """A flat, closed object schema without references; optional arguments have no null branch."""
    schema = model.model_json_schema(mode="validation")
    definitions = schema.pop("$defs", {})
    return _plain(_inlined(schema, definitions), keep_null=False)


def output_schema(model: type[Model]) -> dict[str, Any]:
    """The object schema of a tool's structured content."""
    return _plain(model.model_json_schema(mode="serialization"), keep_null=True)


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _inlined({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    return {key: _inlined(value, definitions) for key, value in node.items()}


def _plain(node: Any, *, keep_null: bool) -> Any:
    if isinstance(node, list):
        return [_plain(item, keep_null=keep_null) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: value for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if isinstance(node.get("description"), str):
        node["description"] = " ".join(node["description"].split())
    if "anyOf" in node:
        node = _without_null(node, keep_null=keep_null)
    if node.get("default", 0) is None:
        del node["default"]
    if keep_null or node.get("additionalProperties") is True:  # an output may gain fields; "anything" needs no word
        node.pop("additionalProperties", None) if isinstance(node.get("additionalProperties"), bool) else None
    if "properties" in node:  # names of properties are not keywords: one may be called "title"
        properties = {name: _plain(value, keep_null=keep_null) for name, value in node["properties"].items()}
        return {key: _plain(value, keep_null=keep_null) for key, value in node.items() if key != "properties"} | {
            "properties": properties
        }
    return {key: _plain(value, keep_null=keep_null) for key, value in node.items()}


def _without_null(node: dict[str, Any], *, keep_null: bool) -> dict[str, Any]:
    branches = [branch for branch in node["anyOf"] if branch.get("type") != "null"]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    nullable = len(branches) < len(node["anyOf"])
    if len(branches) > 1:
        return rest | {"anyOf": node["anyOf"] if keep_null else branches}
    if not nullable or not keep_null:
        return {**branches[0], **rest}
    kind = branches[0].get("type")
    if isinstance(kind, str) and "enum" not in branches[0]:
        return {**branches[0], **rest, "type": [kind, "null"]}
    return rest | {"anyOf": node["anyOf"]}
