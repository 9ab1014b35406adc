"""Whether a chat template writes the tools of a row."""

from collections.abc import Mapping
from typing import Any

import orjson

from .chat import tools_of
from .types import ChatExample


def loses_tools(example: ChatExample, text: str) -> bool:
    """Whether a tool that the row defines or calls is nowhere named in its rendering, as it is or as JSON writes it."""
    calls = [call for message in example.messages for call in message.tool_calls or ()]
    names = {_name(tool) for tool in (*(tools_of(example) or ()), *calls)}
    return any(name and name not in text and orjson.dumps(name).decode()[1:-1] not in text for name in names)


def _name(tool: Mapping[str, Any]) -> str | None:
    function = tool.get("function")
    name = (function if isinstance(function, Mapping) else tool).get("name")
    return name if isinstance(name, str) else None
