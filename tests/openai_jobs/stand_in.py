"""A small provider on loopback that does as it is told: stores, trains by a script of statuses, fails on request."""

import base64
import email
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789abcdefghij"
CURVE = "step,train_loss,train_accuracy,valid_loss\n1,2.5,0.4,\n2,2.0,0.5,2.2\n3,1.5,0.6,\n"
Answer = tuple[int, Any]


@dataclass
class Fault:
    """What goes wrong with the next request of this kind, once."""

    request: str
    """Pattern of "METHOD /path"."""
    how: str | int
    """A status; lost: carried out, connection cut; cut: not carried out; html, garbage: instead of the answer;
    held: no answer until released, not carried out; held after: carried out first."""
    error: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class StandIn:
    """The provider's state, open to the tests."""

    statuses: tuple[str, ...] = ("validating_files", "queued", "running", "succeeded")
    """One a look at the job; the last stays."""
    error: dict[str, str] | None = None
    """Of the job."""
    forgets_metadata: bool = False
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Of the requests for jobs and answers."""
    looks: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    """Set while a request is held."""
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    on_request: Callable[[str], Fault | None] | None = None
    """Looked at first: what goes wrong with this request."""
    always: Answer | None = None
    """Instead of all other answers."""
    chat: Callable[[dict[str, Any]], Answer] | None = None
    """Answers requests for a completion; without it they are all answered alike."""

    def let_go(self) -> None:
        """Cut the held request, and be ready to hold another."""
        self.released.set()
        self.held, self.released = threading.Event(), threading.Event()

    def counted(self, pattern: str) -> int:
        """How many requests of this kind came in."""
        return sum(bool(re.fullmatch(pattern, request)) for request in self.requests)

    def fault_for(self, request: str) -> Fault | None:
        """What goes wrong with this request; said once."""
        if self.on_request is not None and (found := self.on_request(request)) is not None:
            return found
        for fault in self.faults:
            if re.fullmatch(fault.request, request):
                self.faults.remove(fault)
                return fault
        return None

    def answer(self, request: str, path: str, body: bytes, headers: Any) -> Answer:
        """Carry out one request."""
        if self.always is not None:
            return self.always
        for pattern, act in ROUTES:
            if match := re.fullmatch(pattern, request):
                return act(self, *match.groups(), body=body, headers=headers)
        return 404, {"error": {"message": f"no such path: {path}"}}

    def add_file(self, name: str, data: bytes) -> dict[str, Any]:
        file_id = f"file-{len(self.files) + 1}"
        made = {"id": file_id, "object": "file", "bytes": len(data), "created_at": int(time.time()), "filename": name}
        self.files[file_id] = made | {"purpose": "fine-tune", "status": "processed"}
        self.contents[file_id] = data
        return self.files[file_id]


def _form(body: bytes, headers: Any) -> dict[str, tuple[str | None, bytes]]:
    message = email.message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
    found = {}
    parts: Any = message.get_payload()
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        found[str(name)] = (part.get_filename(), part.get_payload(decode=True))
    return found


def _store(state: StandIn, *, body: bytes, headers: Any) -> Answer:
    name, data = _form(body, headers)["file"]
    return 200, state.add_file(str(name), data)


def _files(state: StandIn, **_: Any) -> Answer:
    return 200, {"object": "list", "data": list(reversed(state.files.values())), "has_more": False}


def _content(state: StandIn, file_id: str, **_: Any) -> Answer:
    return 200, base64.b64encode(CURVE.encode()) if file_id == "file-result" else state.contents[file_id]


def _begin(state: StandIn, *, body: bytes, headers: Any) -> Answer:
    upload = json.loads(body) | {"id": f"upload-{len(state.uploads) + 1}", "object": "upload", "status": "pending"}
    state.uploads[upload["id"]] = upload
    return 200, upload


def _part(state: StandIn, upload_id: str, *, body: bytes, headers: Any) -> Answer:
    if state.uploads[upload_id]["status"] != "pending":
        return 400, {"error": {"message": "this upload has expired"}}
    part_id = f"part-{len(state.parts) + 1}"
    state.parts[part_id] = _form(body, headers)["data"][1]
    return 200, {"id": part_id, "object": "upload.part", "upload_id": upload_id, "created_at": 1}


def _complete(state: StandIn, upload_id: str, *, body: bytes, headers: Any) -> Answer:
    asked = json.loads(body)
    data = b"".join(state.parts[part] for part in asked["part_ids"])
    upload = state.uploads[upload_id]
    if len(data) != upload["bytes"] or hashlib.md5(data).hexdigest() != asked["md5"]:
        return 400, {"error": {"message": "the parts do not make the file"}}
    upload["status"] = "completed"
    return 200, upload | {"file": state.add_file(upload["filename"], data)}


def _create(state: StandIn, *, body: bytes, headers: Any) -> Answer:
    asked = json.loads(body)
    state.bodies.append(asked)
    job = {
        "id": f"ftjob-{len(state.jobs) + 1}",
        "object": "fine_tuning.job",
        "created_at": int(time.time()),
        "model": asked["model"],
        "training_file": asked["training_file"],
        "status": state.statuses[0],
        "metadata": None if state.forgets_metadata else asked.get("metadata"),
        "result_files": [],
    }
    state.jobs.append(job)
    return 200, job


def _jobs(state: StandIn, *, body: bytes, headers: Any) -> Answer:
    return 200, {"object": "list", "data": list(reversed(state.jobs)), "has_more": False}


def _job(state: StandIn, job_id: str, **_: Any) -> Answer:
    job = next((job for job in state.jobs if job["id"] == job_id), None)
    if job is None:
        return 404, {"error": {"message": f"no such job: {job_id}", "code": "not_found"}}
    if job["status"] != "cancelled":
        job["status"] = state.statuses[min(state.looks, len(state.statuses) - 1)]
        state.looks += 1
    if job["status"] == "succeeded":
        job |= {"fine_tuned_model": f"ft:{job['model']}:acme::1", "trained_tokens": 4000}
        job |= {"result_files": ["file-result"], "finished_at": job["created_at"] + 600}
    if job["status"] == "failed":
        job["error"] = state.error
    return 200, job


def _events(state: StandIn, job_id: str, **_: Any) -> Answer:
    made = [
        {"id": "e1", "created_at": 1, "level": "info", "message": "Job created", "type": "message"},
        {"id": "e2", "created_at": 2, "level": "info", "message": "Step 1/3", "type": "metrics",
         "data": {"step": 1, "train_loss": 2.5, "total_steps": 3, "train_mean_token_accuracy": 0.4}},
    ]  # fmt: skip
    return 200, {"object": "list", "data": list(reversed(made[: max(1, state.looks)])), "has_more": False}


def _act(state: StandIn, job_id: str, action: str, **_: Any) -> Answer:
    job = next(job for job in state.jobs if job["id"] == job_id)
    job["status"] = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}[action]
    return 200, job


def _checkpoints(state: StandIn, job_id: str, **_: Any) -> Answer:
    one = {"id": "ckpt-1", "fine_tuned_model_checkpoint": "ft:m:acme::1:ckpt-step-2", "step_number": 2}
    return 200, {"object": "list", "data": [one | {"metrics": {"train_loss": 2.0}}], "has_more": False}


def _chat(state: StandIn, *, body: bytes, headers: Any) -> Answer:
    asked = json.loads(body)
    state.bodies.append(asked)
    if state.chat is not None:
        return state.chat(asked)
    return 200, {"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Four."}}]}


def _model(state: StandIn, name: str, **_: Any) -> Answer:
    return 200, {"id": name, "object": "model", "shutdown_date": "2027-01-14"}


JOBS = r"/v1/fine_tuning/jobs"
ROUTES = (
    (r"POST /v1/files", _store),
    (r"GET /v1/files", _files),
    (r"GET /v1/files/([^/]+)/content", _content),
    (r"POST /v1/uploads", _begin),
    (r"POST /v1/uploads/([^/]+)/parts", _part),
    (r"POST /v1/uploads/([^/]+)/complete", _complete),
    (rf"POST {JOBS}", _create),
    (rf"GET {JOBS}", _jobs),
    (rf"GET {JOBS}/([^/]+)", _job),
    (rf"GET {JOBS}/([^/]+)/events", _events),
    (rf"GET {JOBS}/([^/]+)/checkpoints", _checkpoints),
    (rf"POST {JOBS}/([^/]+)/(cancel|pause|resume)", _act),
    (r"POST /v1/chat/completions", _chat),
    (r"GET /v1/models/(.+)", _model),
)


class Handler(BaseHTTPRequestHandler):
    state: StandIn
    wbufsize = 1 << 16  # head and body in one packet: else each answer waits 40 ms for an acknowledgement
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.carry_out()

    def do_POST(self) -> None:
        self.carry_out()

    def carry_out(self) -> None:
        path = self.path.split("?")[0]
        request = f"{self.command} {path}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or self.chunked()
        self.state.requests.append(request)
        fault = self.state.fault_for(request)
        if self.headers["Authorization"] != f"Bearer {KEY}":
            fault = Fault("", 401, {"code": "invalid_api_key", "message": f"Incorrect API key: {KEY}"})
        if fault is None:
            self.send(*self.state.answer(request, path, body, self.headers))
        elif isinstance(fault.how, int):
            self.send(fault.how, {"error": {"message": "as told"} | fault.error}, fault.headers)
        else:
            self.fail(fault.how, request, path, body)

    def fail(self, how: str, request: str, path: str, body: bytes) -> None:
        if how == "held after":
            self.state.answer(request, path, body, self.headers)
        if how.startswith("held"):
            released = self.state.released
            self.state.held.set()
            released.wait(30)
        if how in ("lost", "html", "garbage"):
            self.state.answer(request, path, body, self.headers)
        if how in ("html", "garbage"):
            kind, text = ("text/html", b"<html>Gateway</html>") if how == "html" else ("application/json", b'{"id"')
            self.send(200, text, kind=kind)
            return
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def chunked(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, status: int, body: Any, headers: Any = None, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving() -> Iterator[StandIn]:
    """The provider on a free port of loopback."""
    state = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state}))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
