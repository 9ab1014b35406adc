"""A real OpenAI-compatible server on a GGUF file, on loopback, for as long as a block lasts: llama.cpp's own server.

Either its program llama-server, or the same code in the wheel xllamacpp; always a process of its own.
"""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import ExportError
from ..models.gguf.engines import CONTEXT
from ..models.gguf.programs import find_program
from ..runs.active import ActiveRun
from ..runs.child import TAIL

START_TIMEOUT_S = 600.0
POLL_S = 0.1
STOP_S = 10.0
HOST = "127.0.0.1"
ADDRESS = re.compile(r"^(http://127\.0\.0\.1:\d+)$", re.MULTILINE)
NEXT = "Try it by hand with the commands in the report, and see its words with `runs` and action logs."


@dataclass(frozen=True, slots=True)
class Server:
    """A program that serves a GGUF file."""

    name: str
    command: tuple[str, ...]
    """Without the model and the port."""
    picks_port: bool
    """Whether it takes a free port itself and prints its address."""

    @contextmanager
    def serving(self, model: Path, run: ActiveRun) -> Iterator[str]:
        """Its address, e.g. http://127.0.0.1:8080, once it answers; it ends with the block.

        Raises:
            ExportError: It ended, or it did not answer in time; with its last words.
            Cancelled: The run was asked to stop.
        """
        port = None if self.picks_port else _free_port()
        arguments = ["-m", str(model), *(["--port", str(port)] if port else [])]
        with tempfile.TemporaryFile() as said:
            # in the worker's process group, so that a killed worker leaves no server behind
            child = subprocess.Popen(
                [*self.command, *arguments], stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )
            try:
                yield _wait_for_address(self.name, child, said, f"http://{HOST}:{port}" if port else None, run)
                if child.poll() is not None:
                    raise _ended(self.name, child, said)
            finally:
                _stop(child)


def find_server() -> Server | None:
    """llama-server (LLAMA_CPP_DIR, then PATH), then xllamacpp; None when neither is here."""
    if program := find_program("llama-server"):
        options = ("--host", HOST, "-c", str(CONTEXT), "--jinja")
        return Server("llama-server", (str(program), *options), picks_port=False)
    if importlib.util.find_spec("xllamacpp") is not None:
        module = ("-m", "faion_finetuner.core.merge.xllamacpp_child")
        return Server("xllamacpp", (sys.executable, "-P", *module), picks_port=True)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _wait_for_address(
    name: str, child: subprocess.Popen[bytes], said: IO[bytes], address: str | None, run: ActiveRun
) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        run.raise_if_stopped()
        if child.poll() is not None:
            raise _ended(name, child, said)
        printed = ADDRESS.search(_words(said))
        found = address or (printed[1] if printed else None)
        if found and _answers(found):
            return found
        time.sleep(POLL_S)
    raise ExportError(f"{name} did not answer within {START_TIMEOUT_S:.0f} seconds: {_words(said)[-200:]}", NEXT)


def _answers(address: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on loopback
    try:
        with direct.open(f"{address}/health", timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False


def _ended(name: str, child: subprocess.Popen[bytes], said: IO[bytes]) -> ExportError:
    code = child.returncode
    how = f"crashed with {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return ExportError(f"{name} {how}: {_words(said)[-200:].strip() or 'no words'}", NEXT)


def _words(said: IO[bytes]) -> str:
    size = os.fstat(said.fileno()).st_size
    return os.pread(said.fileno(), 10 * TAIL, max(0, size - 10 * TAIL)).decode("utf-8", "replace")


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
