"""Small servers for the tests of sources: web servers to order, and listeners that misbehave."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

from tests.sources.certificates import Certificate

Answer: TypeAlias = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; ``answer`` of the server says what to do with it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Let the test answer; a client that hung up is no error."""
        assert isinstance(self.server, WebServer)
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.server.answer(self)

    def reply(self, data: bytes, kind: str = "text/plain", status: int = 200, **more: str) -> None:
        """A whole answer with its length."""
        self.begin(kind, status, Content_Length=str(len(data)), **more)
        self.wfile.write(data)

    def begin(self, kind: str, status: int = 200, **more: str) -> None:
        """Status and headers; what is written afterwards ends with the connection."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def reply_file(self, path: Path, kind: str = "video/mp4") -> None:
        """A file, or the range of it that was asked for."""
        data = path.read_bytes()
        wanted = self.headers.get("Range")
        if not wanted:
            self.reply(data, kind, Accept_Ranges="bytes")
            return
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        place = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.reply(data[start:], kind, 206, Accept_Ranges="bytes", Content_Range=place)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class WebServer(ThreadingHTTPServer):
    """On any free port of the loopback."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answer = answer

    def handle_error(self, *_: object) -> None:
        """A client that went away in the middle of a handshake is what some tests are about."""


@contextmanager
def web(answer: Answer, certificate: Certificate | None = None) -> Iterator[str]:
    """Serve ``answer`` until the block ends; gives the address without a path."""
    server = WebServer(answer)
    scheme = "http"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def listener(serve: Callable[[socket.socket], None] | None = None) -> Iterator[int]:
    """A port that accepts; ``serve`` gets each connection, without it nobody ever answers."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                accepted.append(connection)
                if serve:
                    with suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)  # closing alone does not wake an accept
            for connection in accepted:
                connection.close()
            thread.join(2)


def unused_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
