"""A real HTTP server that takes webhooks, and can be told to be down, slow, rude or half dead."""

from __future__ import annotations

import json
import random
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

from streamkit.outbox.signing import verify

Fault: TypeAlias = Callable[["_Handler"], None]
"""Answers a request instead of the server."""


@dataclass(frozen=True)
class Delivery:
    """A request that came."""

    id: str
    """Idempotency key."""
    body: bytes
    headers: dict[str, str]
    path: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Remembers what it took (answered with 200), and everything that came."""

    def __init__(self, secrets: list[str] | None = None, tls: Path | None = None) -> None:
        self.secrets = secrets
        """Requests that are not signed with one of them are answered with 401."""
        self.taken: list[Delivery] = []
        self.came: list[Delivery] = []
        self.faults: deque[Fault] = deque()
        """One is used up by each request."""
        self.choose: Callable[[], Fault | None] = lambda: None
        """Used where there is none of those."""
        self.closing = threading.Event()
        self.changed = threading.Condition()
        self._server: _Server | None = None
        self.port = 0
        self._tls = tls
        self.up()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/hook"

    def up(self) -> None:
        """Listen (again)."""
        if self._server is None:
            self._server = _Server(("127.0.0.1", self.port), _Handler)
            self._server.receiver = self
            if self._tls is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._tls)
                self._server.socket = context.wrap_socket(
                    self._server.socket, server_side=True, do_handshake_on_connect=False
                )
            self.port = self._server.server_address[1]
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
            self._thread.start()

    def down(self) -> None:
        """Nobody listens; connections that are open are cut."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.cut()
            server.server_close()
            self._thread.join()

    def close(self) -> None:
        self.closing.set()
        self.down()

    def ids(self) -> list[str]:
        """Of what was taken."""
        return [each.id for each in self.taken]

    def await_taken(self, count: int, timeout: float = 20.0) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= count, timeout), (
                f"{len(self.taken)} of {count}"
            )

    def await_came(self, count: int, timeout: float = 20.0) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.came) >= count, timeout), (
                f"{len(self.came)} of {count}"
            )


class _Server(ThreadingHTTPServer):
    receiver: Receiver
    daemon_threads = True
    block_on_close = False

    def __init__(self, *given: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*given)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, *_: Any) -> None:
        """Clients go away; that is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        delivery = Delivery(headers.get("idempotency-key", ""), body, headers, self.path)
        if receiver.secrets is not None:
            verify(body, headers, receiver.secrets)
        with receiver.changed:
            receiver.came.append(delivery)
            fault = receiver.faults.popleft() if receiver.faults else receiver.choose()
            receiver.changed.notify_all()
        if fault is not None:
            fault(self)
        else:
            self.take(delivery)

    def take(self, delivery: Delivery) -> None:
        receiver = self.server.receiver
        with receiver.changed:
            receiver.taken.append(delivery)
            receiver.changed.notify_all()
        self.answer(200, {})

    def answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": "2"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """It speaks to nobody."""


def status(code: int, **headers: str) -> Fault:
    """This answer: ``status(429, retry_after="1")``."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(code, given)


def cut(handler: _Handler) -> None:
    """Close without an answer."""
    handler.close_connection = True


def half(handler: _Handler) -> None:
    """Half an answer, then close."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    handler.close_connection = True


def hang(handler: _Handler) -> None:
    """No answer until the server ends."""
    handler.server.receiver.closing.wait(60)
    handler.close_connection = True


def dawdle(handler: _Handler) -> None:
    """Says that it took it, and does not come to an end."""
    handler.send_response(200)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    hang(handler)


def drip(handler: _Handler) -> None:
    """A byte now and then, for ever."""
    try:
        while not handler.server.receiver.closing.wait(0.05):
            handler.wfile.write(b"H")
            handler.wfile.flush()
    except OSError:
        handler.close_connection = True


def slow(seconds: float) -> Fault:
    """Takes its time, and then takes it."""

    def fault(handler: _Handler) -> None:
        receiver = handler.server.receiver
        receiver.closing.wait(seconds)
        handler.take(_of(handler))

    return fault


def _of(handler: _Handler) -> Delivery:
    key = handler.headers["idempotency-key"]
    return next(each for each in reversed(handler.server.receiver.came) if each.id == key)


def moody(seed: int) -> Callable[[], Fault | None]:
    """Chooses at random, half of the time to be well."""
    chance = random.Random(seed)
    moods: list[Fault | None] = [
        None, None, None, None, None, status(500), status(429, retry_after="0"), slow(0.05), half,
        cut,
    ]  # fmt: skip
    return lambda: chance.choice(moods)


@contextmanager
def receiver(secrets: list[str] | None = None, tls: Path | None = None) -> Iterator[Receiver]:
    """One that is closed at the end of the block."""
    there = Receiver(secrets, tls)
    try:
        yield there
    finally:
        there.close()
