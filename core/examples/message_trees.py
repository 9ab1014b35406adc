"""Conversations that branch, as the conversation that one path through them is."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..errors import DataError

FIELDS = frozenset({"mapping"})
TEXTS = ("text", "multimodal_text")
HIDDEN = "is_visually_hidden_from_conversation"


def read_tree(record: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]] | None:
    """The plain record of a conversation of ChatGPT's data export: the path that ends in `current_node`.

    What is not carried over is counted: other branches, what the model wrote to its tools and they to it, and what
    was hidden from the user.

    Raises:
        DataError: The nodes are no tree that leads anywhere.
    """
    nodes = record["mapping"]
    if not isinstance(nodes, Mapping) or not all(isinstance(n, Mapping) and "message" in n for n in nodes.values()):
        return None
    left_out: Counter[str] = Counter()
    path = _path(nodes, record.get("current_node"))
    turns: list[dict[str, Any]] = []
    for node in path:
        message = nodes[node]["message"]
        turn = _turn(message, left_out) if isinstance(message, Mapping) else None
        if turn is None:
            continue
        if turns and turns[-1]["role"] == turn["role"] == "assistant":  # one answer, in parts around its tools
            turns[-1]["content"] = [*turns[-1]["content"], {"type": "text", "text": "\n\n"}, *turn["content"]]
        else:
            turns.append(turn)
    beside = sum(_is_said(nodes[name]["message"]) for name in nodes.keys() - set(path))
    if beside:
        left_out["turns of other branches"] += beside
    rest = {field: value for field, value in record.items() if field not in ("mapping", "current_node")}
    return {"messages": turns, **rest}, left_out


def _path(nodes: Mapping[str, Any], last: Any) -> list[str]:
    """The names of the nodes from the root to `last`, or to the newest leaf where that is no node."""
    if last not in nodes:
        last = next((name for name, node in nodes.items() if node.get("parent") not in nodes), None)
        seen = set()
        while last in nodes and last not in seen:
            seen.add(last)
            children = [child for child in nodes[last].get("children") or () if child in nodes]
            if not children:
                break
            last = children[-1]
    path: list[str] = []
    while last in nodes:
        if last in path:
            raise DataError("The messages of the conversation go round in a circle.", "Drop the record.")
        path.append(last)
        last = nodes[last].get("parent")
    return path[::-1]


def _turn(message: Mapping[str, Any], left_out: Counter[str]) -> dict[str, Any] | None:
    author, content = message.get("author"), message.get("content")
    role = author.get("role") if isinstance(author, Mapping) else None
    if role is None or not isinstance(content, Mapping):
        return None
    kind = str(content.get("content_type"))
    if not _is_said(message):
        return None
    metadata = message.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get(HIDDEN):
        left_out["hidden messages"] += 1
        return None
    if role == "tool" or message.get("recipient") not in (None, "all") or kind not in TEXTS:
        left_out[f"{role}: {kind}"] += 1
        return None
    return {"role": role, "content": [_part(part) for part in content.get("parts") or ()]}


def _part(part: Any) -> dict[str, Any]:
    """A part as OpenAI's API writes it; a picture and its like stay what they are, which no reader takes for text."""
    text = part.get("text") if isinstance(part, Mapping) else part
    return {"type": "text", "text": text} if isinstance(text, str) else {"type": str(part.get("content_type"))}


def _is_said(message: Any) -> bool:
    """Whether a message holds anything at all; the root does not, and the system's often is an empty text."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, Mapping):
        return False
    if isinstance(content.get("parts"), list):
        return any(content["parts"])
    return any(value for key, value in content.items() if key != "content_type")
