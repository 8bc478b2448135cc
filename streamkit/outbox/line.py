"""Connections that go to a checked address only, end by a deadline, and can be cut by others."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore

from streamkit.errors import ConfigError
from streamkit.outbox.reach import Reach


class Lines(httpcore.NetworkBackend):
    """What httpcore connects with.

    ``deadline`` (monotonic seconds) holds for everything that is done on any connection: a
    receiver that sends one byte a second gains nothing. ``cut`` ends what is under way.
    """

    def __init__(self, reach: Reach) -> None:
        self.deadline = 0.0
        self._reach = reach
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.is_cut = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline is what counts
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """To the first address of ``host`` that answers; all are checked before the first is
        tried. Raises ``httpcore.ConnectError``, ``httpcore.ConnectTimeout``."""
        with _translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            try:
                addresses = self._reach.addresses(host, port)
            except (ConfigError, UnicodeError) as error:
                raise httpcore.ConnectError(str(error)) from error
            for number, address in enumerate(addresses, 1):
                try:
                    return Line(self._connected(address, port, len(addresses) - number), self)
                except OSError:
                    if number == len(addresses):
                        raise
        raise httpcore.ConnectError(f"{host} has no address")

    def _connected(self, address: str, port: int, others: int) -> socket.socket:
        """An equal part of the time for each address that is left to try."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            self.enter(sock)
            sock.settimeout(self.left() / (others + 1))
            sock.connect((address, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.leave(sock)
            raise
        return sock

    def left(self) -> float:
        """Seconds until the deadline. Raises ``TimeoutError`` after it, ``ConnectionAbortedError``
        once cut."""
        if self.is_cut:
            raise ConnectionAbortedError("stopped")
        if (left := self.deadline - time.monotonic()) <= 0:
            raise TimeoutError("no time left")
        return left

    def enter(self, sock: socket.socket) -> None:
        """From now on it may be cut."""
        with self._lock:
            self._open.add(sock)
        self.left()

    def leave(self, sock: socket.socket) -> None:
        """Close it."""
        with self._lock:
            self._open.discard(sock)
        sock.close()

    def exchange(self, before: socket.socket, after: socket.socket) -> None:
        """TLS has taken the connection over."""
        with self._lock:
            self._open.discard(before)
        self.enter(after)

    def cut(self) -> None:
        """From any thread: whoever waits on a connection wakes with an error; none is made any
        more."""
        self.is_cut = True
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # past TLS, which may be busy


class Line(httpcore.NetworkStream):
    """One connection."""

    def __init__(self, sock: socket.socket, lines: Lines) -> None:
        self._sock, self._lines = sock, lines

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """At most so many bytes; none at the end."""
        with _translated(httpcore.ReadTimeout, httpcore.ReadError):
            self._sock.settimeout(self._lines.left())
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """All of it."""
        rest = memoryview(buffer)
        with _translated(httpcore.WriteTimeout, httpcore.WriteError):
            while rest:
                self._sock.settimeout(self._lines.left())
                rest = rest[self._sock.send(rest) :]

    def close(self) -> None:
        """Let go of it."""
        self._lines.leave(self._sock)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Certificate and name are checked, whatever address it is."""
        with _translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            try:
                self._sock.settimeout(self._lines.left())
                plain = self._sock
                self._sock = secure = ssl_context.wrap_socket(
                    plain, server_hostname=server_hostname, do_handshake_on_connect=False
                )
                self._lines.exchange(plain, secure)
                secure.do_handshake()
            except BaseException:
                self.close()
                raise
            return Line(secure, self._lines)

    def get_extra_info(self, info: str) -> Any:
        """``is_readable``: an idle connection on which something comes was closed there."""
        if info != "is_readable":
            return None
        if self._sock.fileno() < 0:
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            return bool(selector.select(0))


@contextlib.contextmanager
def _translated(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late("no answer in time") from error
    except OSError as error:
        raise broken(error.strerror or str(error)) from error
