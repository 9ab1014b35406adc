"""Conversations that branch, as the conversation that one path through them is."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..errors import DataError
from .turns import text_of

CHATGPT = frozenset({"mapping"})
REPLIES = frozenset({"prompt"})
TEXTS = ("text", "multimodal_text")
HIDDEN = "is_visually_hidden_from_conversation"


def read_chatgpt(record: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]] | None:
    """The plain record of a conversation of ChatGPT's data export: the path that ends in `current_node`.

    What is not carried over is counted: other branches, what the model wrote to its tools and they to it, and what
    was hidden from the user.

    Raises:
        DataError: The nodes are no tree that leads anywhere.
    """
    nodes = record["mapping"]
    if (
        not isinstance(nodes, Mapping)
        or not nodes
        or not all(isinstance(n, Mapping) and "message" in n for n in nodes.values())
    ):
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


def read_replies(record: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]] | None:
    """The plain record of a message tree of Open Assistant: from the prompt on always the reply that is ranked best."""
    message = record["prompt"]
    if not isinstance(message, Mapping) or not isinstance(message.get("replies"), list) or "role" not in message:
        return None
    turns: list[dict[str, Any]] = []
    others = 0
    while True:
        turns.append({"role": message.get("role"), "content": message.get("text")})
        replies = [reply for reply in _list(message.get("replies")) if isinstance(reply, Mapping)]
        if not replies:
            break
        others += len(replies) - 1
        message = min(replies, key=_rank)
    rest = {field: value for field, value in record.items() if field != "prompt"}
    return {"messages": turns, **rest}, Counter({"other replies": others} if others else {})


def _rank(reply: Mapping[str, Any]) -> tuple[bool, int]:
    """Ranked replies first, the best, which has 0, before the others."""
    rank = reply.get("rank")
    return (False, rank) if isinstance(rank, int) else (True, 0)


def _path(nodes: Mapping[str, Any], last: Any) -> list[str]:
    """The names of the nodes from the root to `last`, or to the newest leaf where that is no node."""
    name = _known(nodes, last) or _newest_leaf(nodes)
    path: dict[str, None] = {}
    while name is not None:
        if name in path:
            raise DataError("The messages of the conversation go round in a circle.", "Drop the record.")
        path[name] = None
        name = _known(nodes, nodes[name].get("parent"))
    return list(path)[::-1]


def _newest_leaf(nodes: Mapping[str, Any]) -> str | None:
    """Where the newest branches lead: from the root on, always the last child."""
    name = next((name for name, node in nodes.items() if _known(nodes, node.get("parent")) is None), None)
    seen: set[str] = set()
    while name is not None and name not in seen:
        seen.add(name)
        children = [child for child in _list(nodes[name].get("children")) if _known(nodes, child)]
        if not children:
            break
        name = children[-1]
    return name


def _known(nodes: Mapping[str, Any], name: Any) -> str | None:
    return name if isinstance(name, str) and name in nodes else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


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
    return {"role": role, "content": [_part(part) for part in _list(content.get("parts"))]}


def _part(part: Any) -> dict[str, Any]:
    """A part as OpenAI's API writes it; a picture and its like stay what they are, which no reader takes for text."""
    if isinstance(part, Mapping) and not isinstance(part.get("text"), str):
        return {"type": str(part.get("content_type"))}
    return {"type": "text", "text": part["text"] if isinstance(part, Mapping) else text_of(part)}


def _is_said(message: Any) -> bool:
    """Whether a message holds anything at all; the root does not, and the system's often is an empty text."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, Mapping):
        return False
    if isinstance(content.get("parts"), list):
        return any(content["parts"])
    return any(value for key, value in content.items() if key != "content_type")
