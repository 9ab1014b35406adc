"""How a client reaches the server: standard input and output, or HTTP on loopback."""

import hmac
import ipaddress
import logging
import os
import socket
import sys

import anyio

from ..core.errors import InputError
from ..core.settings import Settings
from .app import build_server

TOKEN = "FAION_FINETUNER_TOKEN"
MIN_TOKEN_CHARACTERS = 16

log = logging.getLogger("faion_finetuner.server")


def serve_stdio(settings: Settings) -> None:
    """Serve one client on standard input and output until it closes them. Logs go to standard error."""
    from mcp.server.stdio import stdio_server

    _log_to_stderr()

    async def serve() -> None:
        server = build_server(settings)
        async with stdio_server() as (reader, writer):
            await server.run(reader, writer, server.create_initialization_options())

    anyio.run(serve)


def serve_http(settings: Settings, *, host: str, port: int, allowed_hosts: list[str]) -> None:
    """Serve streamable HTTP at /mcp.

    On loopback the Host and Origin headers are checked. Any other address needs a bearer token in
    FAION_FINETUNER_TOKEN (at least 16 characters); when it is set, loopback asks for it too.

    Raises:
        InputError: The address is taken, or not loopback without a token, or the token is too short.
    """
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    token = os.environ.get(TOKEN, "")
    if not _is_loopback(host) and not token:
        raise InputError(f"Serving on {host} lets other machines in.", f"Set {TOKEN}, or serve on 127.0.0.1.")
    if token and len(token) < MIN_TOKEN_CHARACTERS:
        raise InputError(f"{TOKEN} is too short.", f"Use at least {MIN_TOKEN_CHARACTERS} random characters.")
    names = [*allowed_hosts, host, "127.0.0.1", "localhost", "[::1]"]
    security = TransportSecuritySettings(
        allowed_hosts=[f"{name}:*" for name in names],
        allowed_origins=[f"{scheme}://{name}:*" for name in names for scheme in ("http", "https")],
    )
    _log_to_stderr()
    app = build_server(settings).streamable_http_app(host=host, transport_security=security)
    server = uvicorn.Server(uvicorn.Config(_TokenGate(app, token) if token else app, log_config=None))
    with _listening(host, port) as listening:
        log.info("Streamable HTTP on http://%s:%s/mcp", host, listening.getsockname()[1])
        server.run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        problem = f"{host}:{port} cannot be served on: {error.strerror}."
        raise InputError(problem, "Choose another --port (0: any free one), or a --host of this machine.") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


class _TokenGate:
    """ASGI: answer 401 unless the request carries the bearer token; compared in constant time."""

    def __init__(self, app, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)
