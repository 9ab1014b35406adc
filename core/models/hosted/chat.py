"""Asking hosted models: one chat completion at a time, read with suspicion, in one manner for all that are compared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .answers import Malformed, fields
from .faults import Rejected, Unanswered
from .service import Service

Message = Mapping[str, Any]
HEARING: tuple[Message, ...] = ({"role": "user", "content": "Answer with one word: ready"},)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request took, as the provider bills it."""

    read_tokens: int
    """Of the prompt."""
    written_tokens: int
    """Of the answer, those that the model thought in among them."""


OnUsage = Callable[[str, Usage | None], None]
"""Called with the model and what a request took, of each that was answered or lost on its way; None: nobody says."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered."""

    text: str
    """Its words, or those with which it refused."""
    cut: bool
    """Whether the limit of tokens ended it."""
    refused: bool
    """Whether the model refused, or the provider withheld the answer."""
    usage: Usage | None
    """None when the provider does not say."""
    tool_calls: Sequence[Any] = ()
    """What it gives as calls beside the words, unchecked."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How models are asked for their likeliest answer, as far as they let themselves be asked so.

    Models that reason take no temperature, and name the limit of tokens otherwise. Others know the old name alone,
    which is therefore tried first.
    """

    greedy: bool = True
    """Whether temperature 0 is asked for."""
    limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    def arguments(self, limit: int | None) -> dict[str, Any]:
        """The arguments of a request for at most so many tokens; None sets no limit."""
        return ({"temperature": 0} if self.greedy else {}) | ({} if limit is None else {self.limit_name: limit})

    def after(self, refusal: Rejected) -> "Manner":
        """The manner that avoids what this refusal names; the same one when it names nothing that can be avoided."""
        if "max_tokens" in refusal.problem:
            return replace(self, limit_name="max_completion_tokens")
        return replace(self, greedy=False) if "temperature" in refusal.problem else self


def ask(
    service: Service,
    model: str,
    messages: Sequence[Message],
    on_usage: OnUsage = lambda *_: None,
    **settings: Any,
) -> Reply:
    """A model's answer; passing faults are retried, which at worst pays twice for one answer.

    Raises:
        RemoteError: The provider refused, or no attempt was answered.
    """
    said: Any = messages  # the library's type of it names every role apart

    def once() -> Reply:
        usage: Usage | None = None

        def read(answer: object) -> Reply:
            nonlocal usage
            found = fields(answer, "reply")
            usage = _usage(found)
            return _reply(found, usage)

        try:
            reply = service.once(
                lambda client: client.chat.completions.create(model=model, messages=said, **settings), read
            )
        except Unanswered:
            on_usage(model, usage)
            raise
        on_usage(model, usage)
        return reply

    return service.patiently(once)


def agree(
    service: Service, models: Sequence[str], limit: int | None = None, on_usage: OnUsage = lambda *_: None
) -> Manner:
    """The one manner in which all these models answer, found by asking each for a word.

    Raises:
        RemoteError: The provider does not have one of them, refuses the key, or cannot be reached.
    """
    manner = Manner()
    for model in models:
        manner = _heard(service, model, manner, limit, on_usage)
    return manner


def _heard(service: Service, model: str, manner: Manner, limit: int | None, on_usage: OnUsage) -> Manner:
    try:
        ask(service, model, HEARING, on_usage, **manner.arguments(limit))
    except Rejected as refusal:
        other = manner.after(refusal)
        if other == manner:
            raise
        return _heard(service, model, other, limit, on_usage)
    return manner


def _reply(found: dict[str, Any], usage: Usage | None) -> Reply:
    try:
        choice = found["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        ended, calls = choice.get("finish_reason"), message.get("tool_calls")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Malformed("The provider answered without a message.", "Try again; see its status page.") from None
    return Reply(
        text=str(content or refusal or ""),
        cut=ended == "length",
        refused=bool(refusal) or ended == "content_filter",
        usage=usage,
        tool_calls=calls if isinstance(calls, list) else (),
    )


def _usage(found: dict[str, Any]) -> Usage | None:
    used = found.get("usage")
    if not isinstance(used, dict):
        return None
    read, written = _count(used.get("prompt_tokens")), _count(used.get("completion_tokens"))
    return Usage(read, written) if read and written is not None else None  # who read nothing did not count


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
