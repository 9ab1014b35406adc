"""HTTP: on loopback without a token, anywhere else only with one."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from faion_finetuner.core.errors import InputError
from faion_finetuner.core.settings import Settings
from faion_finetuner.server import transports
from mcp import Client

pytestmark = pytest.mark.anyio
TOKEN = "a-token-for-this-test-only"


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """A server over HTTP in a process of its own; yields its URL once it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-P", "-m", "faion_finetuner.server.command", "serve", "--http", "--port", str(port)]
    with subprocess.Popen(command, cwd=settings.roots[0], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        for line in server.stderr:
            if "Streamable HTTP on" in line:
                break
        try:
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.terminate()
            server.stderr.read()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_reaches_the_tools_over_http_in_both_eras(settings: Settings, mode: str):
    with serving(settings) as url:
        async with Client(url, mode=mode) as client:
            reply = await client.call_tool("runs", {"action": "list"})
    assert reply.structured_content is not None
    assert reply.structured_content["result"]["runs"] == []


async def status_of(url: str, *headers: str) -> int:
    """The HTTP status of a bare POST with these header lines."""
    host, port = url.removeprefix("http://").removesuffix("/mcp").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = ["POST /mcp HTTP/1.1", f"Host: {host}:{port}", "Content-Length: 2", "Connection: close", *headers, "", "{}"]
    writer.write("\r\n".join(lines).encode())
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


async def test_a_foreign_origin_is_refused(settings: Settings):
    with serving(settings) as url:
        headers = ("Content-Type: application/json", "Accept: application/json, text/event-stream")
        assert await status_of(url, *headers, "Origin: https://evil.example") == 403


async def test_with_a_token_every_request_must_carry_it(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(transports.TOKEN, TOKEN)
    with serving(settings) as url:
        assert await status_of(url) == 401
        assert await status_of(url, "Authorization: Bearer wrong") == 401
        assert await status_of(url, f"Authorization: Bearer {TOKEN}") != 401


def test_another_address_needs_a_token(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(transports.TOKEN, raising=False)
    with pytest.raises(InputError, match="other machines"):
        transports.serve_http(settings, host="0.0.0.0", port=0, allowed_hosts=[])
    monkeypatch.setenv(transports.TOKEN, "short")
    with pytest.raises(InputError, match="too short"):
        transports.serve_http(settings, host="0.0.0.0", port=0, allowed_hosts=[])
