"""A provider's answers, read with suspicion: whatever is missing or of a wrong kind is a malformed answer."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import RemoteError

PLAIN = re.compile(r"[\w.:/=+@\- ]{1,200}")  # ids, names and statuses stand in our own sentences and commands
T = TypeVar("T")


class Malformed(RemoteError):
    """An answer that is not what the interface says."""


def fields(answer: object, what: str) -> dict[str, Any]:
    """The fields of an answer of the client library.

    Raises:
        Malformed: It is no object, such as a page of HTML or a cut-off text.
    """
    to_dict = getattr(answer, "to_dict", None)
    found = to_dict(mode="json", warnings=False) if callable(to_dict) else answer
    if not isinstance(found, dict):
        raise Malformed(f"The provider answered with something that is no {what}.", "Try again; see its status page.")
    return found


def plain_text(found: dict[str, Any], name: str, what: str) -> str:
    """A field that must be an id, a name or a single word.

    Raises:
        Malformed: It is missing, or could be taken for something else where it is quoted.
    """
    value = found.get(name)
    if not isinstance(value, str) or not PLAIN.fullmatch(value):
        raise Malformed(
            f"The provider answered with a {what} that has no usable {name}.", "Try again; see its status page."
        )
    return value


def identity(answer: object, what: str) -> str:
    """The id of what was made or found.

    Raises:
        Malformed: There is none.
    """
    return plain_text(fields(answer, what), "id", what)


def page(answer: object, read: Callable[[object], T], what: str) -> list[T]:
    """The things on one page of a list.

    Raises:
        Malformed: It is no such page.
    """
    data = fields(answer, f"list of {what}s").get("data")
    if not isinstance(data, list):
        raise Malformed(f"The provider answered with something that is no list of {what}s.", "Try again later.")
    return [read(item) for item in data]
