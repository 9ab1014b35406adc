"""Stand-ins for providers that nobody here wrote: Node programs in .conformance/, where scripts/stand-ins puts them."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[2] / ".conformance" / "node_modules" / ".bin"
STARTS_WITHIN_S = 60


@contextmanager
def program(name: str, words: Callable[[str], list[str]], extra: Mapping[str, str]) -> Iterator[str]:
    """The address at which a program listens, once it does; skips the test when it is not there.

    Args:
        name: Of the program.
        words: From a free port to its arguments.
        extra: Environment variables beside the usual ones.
    """
    if not (PROGRAMS / name).exists() or shutil.which("node") is None:
        pytest.skip(f"needs Node and {name}: run scripts/stand-ins")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(PROGRAMS / name), *words(str(port))]
    server = subprocess.Popen(command, env=os.environ | extra, stdout=subprocess.DEVNULL)
    try:
        _until_open(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _until_open(port: int) -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")
