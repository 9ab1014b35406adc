"""The queue for an accelerator: tickets in a folder, each held by a file lock.

Every waiting worker holds the lock of its own ticket and blocks on the nearest held ticket before it (a CLH
queue). The kernel frees a lock when its process ends, however it ends, so a crash never blocks the queue, the
order survives the server, and nobody polls.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def turn(folder: Path, ticket: str, on_wait: Callable[[int], None]) -> Iterator[None]:
    """Hold one place in the queue; the block runs when every ticket with a smaller name is free.

    Args:
        folder: The queue; created when missing.
        ticket: File name whose sort order is the order of service.
        on_wait: Called with the number of tickets before this one each time it has to wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / ticket
    with own.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            while before := [path for path in sorted(folder.iterdir()) if path.name < ticket and _is_held(path)]:
                on_wait(len(before))
                _wait_until_free(before[-1])
            yield
        finally:
            own.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    path.unlink(missing_ok=True)  # its process died without cleaning up
    return False


def _wait_until_free(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def slot_name() -> str:
    """Name of the queue for the devices that this process may see: each set of visible GPUs queues by itself."""
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return "devices-" + ("".join(c if c.isalnum() else "-" for c in devices) or "all")
