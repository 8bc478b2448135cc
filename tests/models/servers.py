"""A weights API of our own on loopback, which can be told to behave badly; real HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from streamkit.models.store.http import Patience
from tests.models.graphs import NAMES, write_folder

QUICK = Patience(tries=3, timeout=10, first_wait=0.01, longest_wait=0.05)

KEY = "goodkey-31415926"
"""May use everything; ``OTHER`` is good too, but not for these models."""
OTHER = "otherkey-2718281"


class FakeApi:
    """Serves models as the weights API does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        """Path and query of each request, in order."""
        self.ranges: list[str | None] = []
        """Its ``Range`` header."""
        self.workspaces = {KEY: "ws1", OTHER: "ws2"}
        self.projects = {"/ws1/street": "keypoint-detection"}
        self.replies: dict[str, Any] = {}
        """JSON by path, for a good key only."""
        self.files: dict[str, bytes] = {}
        """By path; no key is asked for, as with signed URLs."""
        self.headers: dict[str, dict[str, str]] = defaultdict(dict)
        """Of a path, on top."""
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        """Of a path: one is used up by each request."""
        self.resumable = True
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, model: str, folder: Path, **more: Any) -> None:
        """A numbered model with the files of ``folder``; ``more`` goes into the reply."""
        kind = json.loads((folder / "model_type.json").read_text())
        weights, environment = f"/files/{model}/weights", f"/files/{model}/environment"
        self.files[weights] = (folder / "weights.onnx").read_bytes()
        self.files[environment] = (folder / "environment.json").read_bytes()
        reply = {
            "type": kind["project_task_type"],
            "modelType": kind["model_type"],
            "model": f"{self.url}{weights}?X-Signature=signed-secret",
            "environment": self.url + environment,
            "classes": (folder / "class_names.txt").read_text().split("\n"),
        }
        self.replies[f"/ort/{model}"] = {"ort": reply | more}

    def paths(self) -> list[str]:
        """What was asked for, without queries."""
        return [urlsplit(request).path for request in self.requests]

    def wait_for(self, path: str, count: int = 1) -> None:
        """Until ``path`` has been asked for ``count`` times."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.paths().count(path) >= count, 20)

    def close(self) -> None:
        """End it, and all who wait in it."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


Fault: TypeAlias = Callable[["_Handler"], None]
"""Answers a request instead of the server."""


def status(code: int, headers: dict[str, str] | None = None) -> Fault:
    """This status and nothing else."""
    return lambda handler: handler.answer(code, b"{}", headers or {})


def body(data: bytes) -> Fault:
    """Another body than the real one."""
    return lambda handler: handler.answer(200, data, {})


def hang(handler: _Handler) -> None:
    """No answer until the server ends."""
    handler.server.api.closing.wait(30)
    handler.close_connection = True


def cut(count: int) -> Fault:
    """Break off after ``count`` bytes of the file, counted from where it was asked for."""

    def fault(handler: _Handler) -> None:
        handler.serve_file(count)

    return fault


def gated(count: int, gate: threading.Event) -> Fault:
    """Stop after ``count`` bytes until the gate opens."""

    def fault(handler: _Handler) -> None:
        handler.serve_file(count, gate)

    return fault


class _Server(ThreadingHTTPServer):
    api: FakeApi

    def handle_error(self, *_: Any) -> None:
        """Clients go away; that is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        api, path = self.server.api, urlsplit(self.path).path
        with api.changed:
            api.requests.append(self.path)
            api.ranges.append(self.headers.get("range"))
            fault = api.faults[path].popleft() if api.faults[path] else None
            api.changed.notify_all()
        if fault is not None:
            fault(self)
        elif path in api.files:
            self.serve_file()
        else:
            self._reply(api, path)

    def _reply(self, api: FakeApi, path: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        key = query.get("api_key", [""])[0]
        if key not in api.workspaces:
            return self.answer(401, b'{"error": "who are you?"}', {})
        if path == "/":
            reply: Any = {"workspace": api.workspaces[key]}
        elif path in api.projects:
            reply = {"project": {"type": api.projects[path]}}
        else:
            name = path if path != "/getWeights" else f"{path}?{query['model'][0]}"
            reply = api.replies.get(name) if key == KEY else None
        if reply is None:
            return self.answer(404 if key == KEY else 401, b"{}", {})
        return self.answer(200, json.dumps(reply).encode(), {})

    def serve_file(self, count: int | None = None, gate: threading.Event | None = None) -> None:
        """The file, or the range asked for; after ``count`` bytes it breaks off, or waits."""
        api, path = self.server.api, urlsplit(self.path).path
        data, start = api.files[path], self._range()
        headers = {"ETag": f'"{hashlib.md5(data).hexdigest()}"'} if api.resumable else {}
        headers |= api.headers[path]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        rest = data[start:]
        if count is not None:
            self.wfile.write(rest[:count])
            self.wfile.flush()
            if gate is None or not gate.wait(20):
                self.close_connection = True
                return
            rest = rest[count:]
        self.wfile.write(rest)

    def _range(self) -> int:
        asked = self.headers.get("range")
        return int(asked[6:-1]) if asked and self.server.api.resumable else 0

    def answer(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        """A whole answer."""
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """It speaks to nobody."""


def goog_md5(data: bytes) -> dict[str, str]:
    """The header with which Google's storage tells the MD5 of a file."""
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    return {"x-goog-hash": f"crc32c=AAAAAA==,md5={md5}"}


@contextmanager
def fake_api(folder: Path, size: int = 0) -> Iterator[FakeApi]:
    """One that has ``street/3``, whose weights have at least ``size`` bytes."""
    write_folder(folder / "origin", metadata={"names": repr(NAMES), "ballast": "x" * size})
    api = FakeApi()
    try:
        api.add("street/3", folder / "origin")
        yield api
    finally:
        api.close()
