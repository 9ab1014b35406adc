"""A provider as this project talks to it: one client, one way to try again, one kind of error."""

import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import InputError, RemoteError
from .environment import KEY, base_url, host_of, shown
from .faults import Busy, Unanswered, explained, pause_before
from .providers import provider_at

if TYPE_CHECKING:
    from openai import OpenAI

TRIES = 5
NO_KEY = "none"  # the client library wants one
T = TypeVar("T")


class Service:
    """The provider that the environment names.

    The client library's own retries are off: a request that makes something must not be sent twice unseen.

    Attributes:
        provider: What is known of it.
        host: Where it is.
        address: The whole base URL, without a password.
    """

    def __init__(
        self,
        timeout_s: float,
        tries: int = TRIES,
        sleep: Callable[[float], None] = time.sleep,
        *,
        needs_key: bool = True,
    ) -> None:
        """Find provider and key in the environment; only a server of one's own may be asked without a key.

        Raises:
            InputError: There is no key, or the providers file cannot be used.
        """
        from openai import OpenAI

        self._key = os.environ.get(KEY, "")
        if needs_key and not self._key:
            raise InputError(f"{KEY} is not set.", "Start the server with the key in its environment.")
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs whole addresses
        url = base_url()
        self.provider, self.host, self.address = provider_at(url), host_of(url), shown(url)
        self._client = OpenAI(api_key=self._key or NO_KEY, base_url=url, max_retries=0, timeout=timeout_s)
        self._tries = tries
        self._sleep = sleep

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def once(self, call: "Callable[[OpenAI], Any]", read: Callable[[Any], T]) -> T:
        """The answer to a request that is sent one time.

        Raises:
            Unanswered: It may have been carried out.
            Busy: It was not carried out, and may be sent again later.
            RemoteError: It was refused for good.
        """
        from openai import OpenAIError

        try:
            answer = call(self._client)
        # Where a list should be and a page of HTML is, the library stumbles with an AttributeError or TypeError.
        except (OpenAIError, RemoteError, ValueError, AttributeError, TypeError) as error:
            raise explained(error, self.provider, self._key) from None  # its text may hold the key
        try:
            return read(answer)
        except RemoteError as error:
            raise explained(error, self.provider, self._key) from None

    def ask(self, call: "Callable[[OpenAI], Any]", read: Callable[[Any], T]) -> T:
        """The answer to a request that does no harm when it is carried out more than once; passing faults are retried.

        Raises:
            RemoteError: It was refused, or no attempt was answered.
        """
        return self.patiently(lambda: self.once(call, read))

    def patiently(self, once: Callable[[], T]) -> T:
        """What comes of a request sent by `once`, sent again after passing faults.

        Raises:
            RemoteError: It was refused, or no attempt was answered.
        """
        for attempt in range(1, self._tries):
            try:
                return once()
            except (Unanswered, Busy) as fault:
                self.pause(attempt, fault)
        return once()

    def pause(self, attempt: int, fault: RemoteError) -> None:
        """Wait before the next attempt."""
        self._sleep(pause_before(attempt, fault))
