"""The ground of every model in the project: closed, frozen, documented."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A closed, frozen record whose field docstrings are its schema's descriptions.

    Unknown fields are refused and a built value never changes: use `model_copy(update=...)` for a changed one.
    Numbers that were not measured are None with a reason beside them, never 0.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),  # the contract has fields called model_name
        defer_build=True,  # a server start should not build validators that this session never uses
        allow_inf_nan=False,  # JSON has neither; a non-finite number is None with a reason
    )
