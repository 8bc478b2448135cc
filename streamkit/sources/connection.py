"""A TCP or TLS connection whose every wait can be interrupted from another thread."""

from __future__ import annotations

import errno
import io
import ipaddress
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from streamkit.errors import SourceConnectionError, SourceError, StreamErrorCode
from streamkit.sources.reference import Address

SLICE = 0.1
"""Seconds between two looks at the interrupt flag; nothing is polled while bytes flow."""

T = TypeVar("T")
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}


@dataclass(frozen=True)
class Trust:
    """Whom to believe in TLS."""

    verify: bool = True
    ca_file: str | None = None
    """PEM file of authorities; the system's where there is none."""

    def context(self) -> ssl.SSLContext:
        """The client context. Raises ``OSError`` where ``ca_file`` cannot be read."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass
class Patience:
    """How long one thing may take, and whether anybody still wants it."""

    stopped: threading.Event
    seconds: float
    reference: str
    doing: str = "connecting"
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.seconds

    def check(self) -> None:
        """Raises ``SourceError`` INTERRUPTED, or ``SourceConnectionError`` TIMEOUT."""
        if self.stopped.is_set():
            raise interrupted(self.reference)
        if time.monotonic() > self.deadline:
            text = f"no answer within {self.seconds:g} s while {self.doing}"
            raise failure(self.reference, text, StreamErrorCode.TIMEOUT)

    def share(self, among: int) -> Patience:
        """An equal part of what is left, for one of ``among`` attempts."""
        left = max(0.0, self.deadline - time.monotonic())
        return Patience(self.stopped, left / among, self.reference, self.doing)


class Connection(io.RawIOBase):
    """A connected socket as a raw stream; reads obey ``patience``, which ``wait`` renews."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        super().__init__()
        self._sock = sock
        self.patience = patience

    def wait(self, seconds: float, doing: str) -> None:
        """What follows may take ``seconds`` from now."""
        self.patience = Patience(self.patience.stopped, seconds, self.patience.reference, doing)

    @property
    def local(self) -> tuple[int, str]:
        """Address family and address of this end."""
        return self._sock.family, self._sock.getsockname()[0]

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for bytes; 0 when the other side has closed."""
        return _patiently(self._sock, self.patience, partial(self._sock.recv_into, buffer))

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``."""
        view = memoryview(data)
        while view:
            sent = _patiently(self._sock, self.patience, partial(self._sock.send, view))
            view = view[sent:]

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """A buffered reader of this stream, as ``http.client`` asks for it."""
        return io.BufferedReader(self, 65536)

    def close(self) -> None:
        """Close the socket; harmless twice."""
        self._sock.close()
        super().close()


def connect(address: Address, patience: Patience, trust: Trust | None = None) -> Connection:
    """Resolve, connect and, with ``trust``, shake hands. Raises ``SourceConnectionError``."""
    places = _resolve(address, patience)
    for left, (family, place) in zip(range(len(places), 0, -1), places, strict=True):
        try:
            sock = _reach(family, place, patience.share(left))
            break
        except SourceError as error:
            if left == 1 or error.code is StreamErrorCode.INTERRUPTED:
                raise
    if trust is not None:
        sock = _shake_hands(sock, address, patience, trust)
    return Connection(sock, patience)


def failure(
    reference: str, text: str, code: StreamErrorCode = StreamErrorCode.CONNECTION_FAILED
) -> SourceConnectionError:
    """A ``SourceConnectionError`` that names its source."""
    return SourceConnectionError(f"{reference}: {text}", code, source_reference=reference)


def interrupted(reference: str) -> SourceError:
    """Somebody called ``interrupt``."""
    code = StreamErrorCode.INTERRUPTED
    return SourceError(f"{reference}: interrupted", code, source_reference=reference)


def _resolve(address: Address, patience: Patience) -> list[tuple[int, Any]]:
    """Family and socket address of each place the name stands for.

    The resolver cannot be interrupted: it has a thread of its own, which dies with its answer.
    """
    host, port = address.bare_host, address.known_port
    answers: list[tuple[int, Any]] = []
    errors: list[OSError] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.extend((int(line[0]), line[4]) for line in found)
        except (OSError, UnicodeError) as error:
            errors.append(error if isinstance(error, OSError) else OSError(str(error)))

    _interruptibly(ask, patience, at_once=_is_literal(host))
    if errors or not answers:
        text = f"the host name {host!r} cannot be resolved"
        raise failure(patience.reference, text, StreamErrorCode.UNREACHABLE) from next(
            iter(errors), None
        )
    return answers


def _interruptibly(work: Callable[[], None], patience: Patience, *, at_once: bool) -> None:
    if at_once:
        work()
        return
    thread = threading.Thread(target=work, name="streamkit resolver", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(SLICE)
        if thread.is_alive():
            patience.check()


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    return True


def _reach(family: int, place: Any, patience: Patience) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        code = sock.connect_ex(place)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            _await(sock, selectors.EVENT_WRITE, patience)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise _refusal(code, patience.reference)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _refusal(code: int, reference: str) -> SourceConnectionError:
    error = OSError(code, errno.errorcode.get(code, str(code)))
    if code == errno.ECONNREFUSED:
        known = StreamErrorCode.REFUSED, "connection refused: nothing listens on that port"
    elif code in _UNREACHABLE:
        known = StreamErrorCode.UNREACHABLE, "the host cannot be reached"
    elif code == errno.ETIMEDOUT:
        known = StreamErrorCode.TIMEOUT, "the host does not answer"
    else:
        known = StreamErrorCode.CONNECTION_FAILED, f"cannot connect ({error.strerror})"
    found = failure(reference, known[1], known[0])
    found.__cause__ = error
    return found


def _shake_hands(
    sock: socket.socket, address: Address, patience: Patience, trust: Trust
) -> socket.socket:
    reference = patience.reference
    try:
        secured = trust.context().wrap_socket(
            sock, server_hostname=address.bare_host, do_handshake_on_connect=False
        )
    except (OSError, ValueError) as error:
        sock.close()
        text = f"TLS cannot be set up ({error})"
        raise failure(reference, text, StreamErrorCode.TLS_CERTIFICATE) from error
    try:
        _patiently(secured, patience, secured.do_handshake)
    except ssl.SSLCertVerificationError as error:
        secured.close()
        text = f"the certificate is not trusted ({error.verify_message})"
        raise failure(reference, text, StreamErrorCode.TLS_CERTIFICATE) from error
    except OSError as error:
        secured.close()
        text = f"the TLS handshake failed ({error})"
        raise failure(reference, text, StreamErrorCode.TLS_HANDSHAKE) from error
    except SourceError:
        secured.close()
        raise
    return secured


def _patiently(sock: socket.socket, patience: Patience, act: Callable[[], T]) -> T:
    """Do ``act`` on a non-blocking socket as often as it takes."""
    while True:
        try:
            return act()
        except (BlockingIOError, ssl.SSLWantReadError):
            _await(sock, selectors.EVENT_READ, patience)
        except ssl.SSLWantWriteError:
            _await(sock, selectors.EVENT_WRITE, patience)


def _await(sock: socket.socket, event: int, patience: Patience) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, event)
        while not selector.select(SLICE):
            patience.check()
