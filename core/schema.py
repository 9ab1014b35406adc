"""The ground of every model in the project: closed, frozen, documented."""

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic_core import CoreSchema


class Model(BaseModel):
    """A closed, frozen record whose field docstrings are its schema's descriptions.

    Unknown fields are refused and a built value never changes: use `model_copy(update=...)` for a changed one.
    Numbers that were not measured are None with a reason beside them, never 0.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),  # the contract has fields called model_name
        defer_build=True,  # a server start should not build validators that this session never uses
        allow_inf_nan=False,  # JSON has neither; a non-finite number is None with a reason
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in descriptions(cls).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return schema


@cache
def descriptions(model: type[Model]) -> dict[str, str]:
    """The docstrings below the fields of a model and of its parents, by field.

    Of classes at the top level of their module. pydantic's `use_attribute_docstrings` would read them as each class is
    made: in every command and every worker, which show no schema, and for a seventh of the time of a small run.
    """
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, Model):
            found |= _docstrings(owner)
    return found


def _docstrings(model: type[Model]) -> dict[str, str]:
    definition = _classes(model.__module__).get(model.__qualname__)
    return {
        member.target.id: inspect.cleandoc(after.value.value)
        for member, after in pairwise(definition.body if definition else ())
        if isinstance(member, ast.AnnAssign)
        and isinstance(member.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
