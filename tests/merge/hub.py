"""Stands in for the model hub on loopback: repositories, uploads of large files and commits, kept in memory."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"
LARGE = (".safetensors", ".gguf")


@dataclass
class Hub:
    """What the stand-in was told."""

    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    """Repositories by name."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """Large files by their digest."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What was committed, by name."""
    requests: list[str] = field(default_factory=list)
    refuses_commits: bool = False


@contextmanager
def hub_stand_in() -> Iterator[Hub]:
    """A hub for as long as the block lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def do_PUT(self) -> None:
            self._answer("PUT")

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.requests.append(f"{method} {self.path}")
            allowed = self.path.startswith("/store/") or self.headers.get("Authorization") == f"Bearer {TOKEN}"
            status, reply = _reply(hub, f"{method} {self.path.split('?')[0]}", body) if allowed else (401, {})
            content = json.dumps(reply).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _reply(hub: Hub, asked: str, body: bytes) -> tuple[int, Any]:
    if asked == "GET /api/whoami-v2":
        return 200, {"type": "user", "name": "me"}
    if found := re.fullmatch(r"GET /api/models/(.+)", asked):
        known = found[1] in hub.private
        return (200, {"id": found[1], "private": hub.private[found[1]]}) if known else (404, {})
    if asked == "POST /api/repos/create":
        return _create(hub, json.loads(body))
    if asked.endswith("/preupload/main"):
        return 200, {"files": [_mode(file["path"]) for file in json.loads(body)["files"]]}
    if asked.endswith("/info/lfs/objects/batch"):
        objects = json.loads(body)["objects"]
        return 200, {"transfer": "basic", "objects": [_place(hub, one["oid"], one["size"]) for one in objects]}
    if found := re.fullmatch(r"PUT /store/(\w+)", asked):
        hub.stored[found[1]] = body
        return 200, {}
    if asked == "POST /api/validate-yaml":
        return 200, {"errors": [], "warnings": []}
    if found := re.fullmatch(r"POST /api/models/(.+)/commit/main", asked):
        return _commit(hub, found[1], body)
    return 404, {}


def _create(hub: Hub, wanted: dict[str, Any]) -> tuple[int, Any]:
    name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
    if name in hub.private:
        return 409, {"error": "there already"}
    hub.private[name] = wanted.get("visibility") == "private" or bool(wanted.get("private"))
    return 200, {"url": f"{hub.address}/{name}"}


def _mode(path: str) -> dict[str, Any]:
    mode = "lfs" if path.endswith(LARGE) else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None}


def _place(hub: Hub, oid: str, size: int) -> dict[str, Any]:
    return {"oid": oid, "size": size, "actions": {"upload": {"href": f"{hub.address}/store/{oid}", "header": {}}}}


def _commit(hub: Hub, repo: str, body: bytes) -> tuple[int, Any]:
    if hub.refuses_commits:
        return 403, {"error": "read only"}
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        if line["key"] == "file":
            hub.files[value["path"]] = base64.b64decode(value["content"])
        if line["key"] == "lfsFile":
            hub.files[value["path"]] = hub.stored[value["oid"]]
    return 200, {"commitUrl": f"{hub.address}/{repo}/commit/{'a' * 40}", "commitOid": "a" * 40}
