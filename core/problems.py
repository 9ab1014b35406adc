"""All problems of a request, told at once: a caller should not have to find them one call at a time."""

from collections.abc import Callable
from typing import TypeVar

from .errors import FinetunerError, InputError

Found = TypeVar("Found")


class Problems(list[FinetunerError]):
    """The errors that a request's checks have raised so far."""

    def attempt(self, check: Callable[[], Found]) -> Found | None:
        """What the check finds; None when it raises, and then its error is kept."""
        try:
            return check()
        except FinetunerError as error:
            self.append(error)
            return None

    def add(self, problem: str, next_step: str) -> None:
        """Keep a contradiction that no check has raised."""
        self.append(InputError(problem, next_step))

    def raise_any(self) -> None:
        """Do nothing when all is well.

        Raises:
            FinetunerError: The only one, as it is; of several an InputError with a line for each.
        """
        if len(self) == 1:
            raise self[0]
        if self:
            raise InputError(
                "\n".join(f"- {error.problem}" for error in self),
                "\n".join(f"- {step}" for step in dict.fromkeys(error.next_step for error in self)),
            )
