"""What can go wrong while a training runs, recognised and said in words that help."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import torch

from ..errors import TrainingError
from ..untrusted import quote

LESS_MEMORY = "Reduce max_seq_length, set gradient_checkpointing, or use technique qlora."
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
NO_ROOM_WORDS = ("No space left", "os error 28", "inline_container")  # the last is torch's, when a write falls short
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


class NonFiniteError(TrainingError):
    """A loss, a gradient or a weight is not a number; the last checkpoint is sound."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether a step failed because memory, of the accelerator or of the host, did not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    signs = ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def one_row_too_many(what: str, rows: str) -> TrainingError:
    """The end of all halving."""
    return TrainingError(
        f"Memory does not suffice for {what}, even with one sequence at once (on rows {rows}).", LESS_MEMORY
    )


def unwritable(what: str, folder: Path, error: BaseException) -> TrainingError:
    """Why something could not be saved, and what stands nevertheless."""
    number, text = getattr(error, "errno", None), str(error)
    if number in NO_ROOM or any(words in text for words in NO_ROOM_WORDS):
        reason, next_step = "the disk is full", "Free some space, or lower save_total_limit"
    elif number in NOT_ALLOWED or "ermission denied" in text:
        reason, next_step = "writing there is not allowed", "Give this user the right to write there"
    else:
        reason, next_step = quote(text), "See to the disk"
    return TrainingError(
        f"{what} could not be written to '{folder}': {reason}. What was saved before stands.",
        f"{next_step}; then continue the run with `runs`, action resume.",
    )


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Say what a failure of memory, disk or data loading means.

    Args:
        folder: Where the run writes.

    Raises:
        TrainingError: One of these happened inside.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (*NO_ROOM, *NOT_ALLOWED):
            raise
        raise unwritable("The training's files", folder, error) from error
    except (RuntimeError, MemoryError) as error:
        if ran_out_of_memory(error):
            raise TrainingError("The machine ran out of memory.", f"Reduce batch_size. {LESS_MEMORY}") from error
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            f"A process that loads the rows died: {quote(str(error))}. What was saved before stands.",
            "Mostly memory: close other programs; then continue the run with `runs`, action resume.",
        ) from error
