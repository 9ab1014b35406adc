"""Where the answers of a conversation stand in its rendering, for each order of roles; see `skeleton`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .skeleton import Opaque, Skeleton, learn
from .types import ChatExample

MOST_LAYOUTS = 256
VAIN = 8  # orders of roles that are opaque, after which no other is tried
CHECK_EVERY = 500  # conversations, of which one is also rendered by the template


class Point(NamedTuple):
    """A place in a rendering."""

    constant: int
    """Place of the constant that it stands in, among those of the skeleton."""

    offset: int
    """Characters from the start of that constant."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How conversations with one order of roles are rendered."""

    whole: Skeleton

    answers: tuple[tuple[Point, Point], ...]
    """For each assistant turn the end of its generation prompt and the start of the turn after it."""

    absent: tuple[str, ...]
    """What no message's text may hold."""

    @classmethod
    def learned(cls, template: str, roles: Sequence[str], **variables: Any) -> "Layout":
        """The layout of a template.

        Raises:
            Opaque: The texts matter, or an answer does not follow its generation prompt.
        """
        whole = learn(template, roles, add_generation_prompt=False, **variables)
        absent, answers = set(whole.absent), []
        for index in (index for index, role in enumerate(roles) if role == "assistant"):
            before = learn(template, roles[:index], add_generation_prompt=True, **variables)
            after = learn(template, roles[: index + 1], add_generation_prompt=False, **variables)
            if not (after.begins(whole) and before.begins(after)):
                raise Opaque
            answers.append((_end_of(before), _end_of(after)))
            absent |= before.absent | after.absent
        return cls(whole, tuple(answers), tuple(absent))


def _end_of(skeleton: Skeleton) -> Point:
    return Point(len(skeleton.slots), len(skeleton.constants[-1]))


class Written(NamedTuple):
    """A conversation's rendering."""

    text: str
    answers: list[tuple[int, int]]
    """For each assistant turn where its generation prompt ends and where the turn after it begins."""

    check: bool
    """Whether it is time to compare it with what the template writes."""


@dataclass
class Layouts:
    """The layouts of one template, learned as conversations come."""

    template: str
    variables: dict[str, Any]
    _known: dict[tuple[str, ...], Layout | None] = field(default_factory=dict)
    _opaque: int = 0
    _until_check: int = 0

    def write(self, example: ChatExample) -> Written | None:
        """What the template writes for a conversation; None when the template itself has to say."""
        messages = example.messages
        roles: tuple[str, ...] = ()
        for one in messages:
            if one.fields or one.tool_calls or one.name is not None:
                return None
            roles += (one.role,)
        layout = self._known[roles] if roles in self._known else self._learn(roles)
        texts = [one.content for one in messages]
        if layout is None or not all(texts) or any(map(str.isspace, texts)):
            return None
        if layout.absent and any(needle in text for text in texts for needle in layout.absent):
            return None
        text, starts = layout.whole.write(texts)
        answers = [(starts[a.constant] + a.offset, starts[b.constant] + b.offset) for a, b in layout.answers]
        self._until_check -= 1
        if check := self._until_check < 0:
            self._until_check = CHECK_EVERY
        return Written(text, answers, check)

    def distrust(self) -> None:
        """From now on the template itself has to say."""
        self._known, self._opaque = {}, VAIN

    def _learn(self, roles: tuple[str, ...]) -> Layout | None:
        if self._opaque >= VAIN or len(self._known) >= MOST_LAYOUTS:
            return None
        self._until_check = 0  # the first of each order of roles is checked
        try:
            layout = Layout.learned(self.template, roles, **self.variables)
        except Opaque:
            self._opaque += 1
            layout = None
        self._known[roles] = layout
        return layout
