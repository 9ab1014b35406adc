"""What can go wrong between here and a provider: which requests may be sent again, and what to tell the user."""

import math
import re
from collections.abc import Mapping

from ...errors import FinetunerError, RemoteError
from ...untrusted import quote
from .answers import Malformed
from .providers import Provider

LONGEST_PAUSE_S = 60.0
FIRST_PAUSE_S = 0.5
QUOTA = re.compile(r"quota|billing|credit|balance|hard_limit", re.IGNORECASE)
KEY_LIKE = re.compile(r"\b(?:sk|pk|key|rk)[-_][\w*.\-]{6,}")
NOT_TAKEN = (400, 413, 422)  # a single prompt that the provider finds too long, or forbids
CONTACT = "See the provider's status page; `runs` with action resume goes on where this stopped."


class Unanswered(RemoteError):
    """No answer says whether the request was carried out: it may have been."""


class Rejected(RemoteError):
    """The provider does not know what the request names, or finds it wrong."""

    status: int | None = None
    """The HTTP status that says so."""


class Busy(RemoteError):
    """The provider refused for now, and did nothing."""

    wait_s: float | None = None
    """Seconds that it asked to wait; None when it named none."""


def pause_before(attempt: int, fault: FinetunerError) -> float:
    """Seconds to wait before the next attempt: what the provider asked for, else doubling from half a second."""
    asked = fault.wait_s if isinstance(fault, Busy) else None
    return min(LONGEST_PAUSE_S, asked if asked is not None else FIRST_PAUSE_S * 2 ** min(attempt - 1, 10))


def explained(error: Exception, provider: Provider, key: str) -> RemoteError:
    """An error of the client library in words of ours, as one that may be tried again or one that is final."""
    import openai

    if isinstance(error, RemoteError):  # an answer was malformed: the request was carried out, perhaps
        return Unanswered(error.problem, error.next_step) if isinstance(error, Malformed) else error
    if isinstance(error, openai.APITimeoutError):
        return Unanswered(f"{provider.name} did not answer in time.", CONTACT)
    if isinstance(error, openai.APIConnectionError):
        why = type(error.__cause__).__name__ if error.__cause__ else "connection error"
        step = f"Check OPENAI_BASE_URL and the network. {CONTACT}"
        return Unanswered(f"{provider.name} cannot be reached, or the connection was cut ({why}).", step)
    if isinstance(error, openai.APIStatusError):
        return _refused(error.status_code, _said(error, key), error.response.headers, provider)
    return Unanswered(f"{provider.name} sent an answer that cannot be read ({type(error).__name__}).", CONTACT)


def _refused(status: int, said: str, headers: Mapping[str, str], provider: Provider) -> RemoteError:
    name = provider.name
    match status:
        case 401:
            return RemoteError(f"{name} refused the key: {said}.", "Put a valid key into OPENAI_API_KEY.")
        case 403:
            why = f" {provider.refused}" if provider.refused else ""
            step = "Train an open model with `train`, or name another provider by OPENAI_BASE_URL."
            return RemoteError(f"{name} refuses this to the account: {said}.{why}", step)
        case 404:
            step = "Check the id and the model's name, and that OPENAI_BASE_URL ends in the version, such as /v1."
            return _rejected(status, f"{name} does not have this: {said}.", step)
        case 402:
            return RemoteError(f"{name} asks for payment: {said}.", "Add credit to the account.")
        case 429 if QUOTA.search(said):
            step = "Add credit or raise the account's limit; asking again does not help before that."
            return RemoteError(f"The account's quota at {name} is used up: {said}.", step)
        case 429:
            busy = Busy(f"{name} is asked too often: {said}.", "Try again in a while.")
            busy.wait_s = _asked_wait(headers)
            return busy
        case 408 | 409:
            return Unanswered(f"{name} gave up on the request ({status}): {said}.", CONTACT)
        case _ if status >= 500:
            return Unanswered(f"{name} failed ({status}): {said}.", CONTACT)
        case _:
            return _rejected(status, f"{name} refused the request ({status}): {said}.", "Change what it names.")


def _rejected(status: int, problem: str, step: str) -> Rejected:
    rejected = Rejected(problem, step)
    rejected.status = status
    return rejected


def _said(error: Exception, key: str) -> str:
    """The provider's code and message, quoted, without anything like a key."""
    body = getattr(error, "body", None)
    body = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(body, dict):
        parts = [str(body[name]) for name in ("code", "message") if body.get(name)]
        text = ": ".join(dict.fromkeys(parts))
    else:
        text = str(body or getattr(error, "message", ""))
    text = text.replace(key, "[key]") if key else text
    return quote(KEY_LIKE.sub("[key]", text) or "no reason given", 300)


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None
