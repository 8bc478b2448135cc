"""A small RTSP client that looks at every answer: for examining a camera, not for playing it.

RTSP 1.0 as in RFC 2326; Digest as in RFC 7616 (MD5, SHA-256). Play a camera with ``RtspSource``.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from streamkit.errors import SourceError, StreamErrorCode
from streamkit.sources.connection import Connection, Patience, Trust, connect, failure
from streamkit.sources.reference import Address

_HEAD_LIMIT = 65536
_BODY_LIMIT = 1 << 20
_HASHES = {"MD5": "md5", "SHA-256": "sha256"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Status line, headers (names in lower case, the last of each) and body of an answer."""

    status: int
    reason: str
    headers: Mapping[str, str]
    challenges: tuple[str, ...] = ()
    """All ``WWW-Authenticate`` headers."""
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the request was granted."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Arrived:
    """One datagram of the media: RTP, or RTCP; ``at`` is ``time.monotonic()``."""

    data: bytes
    control: bool
    at: float


@dataclass
class Credentials:
    """How this camera wants to be told who asks; learnt from its first refusal."""

    address: Address
    scheme: str | None = None
    """``basic``, ``digest`` or ``None``: nobody has asked."""
    _challenge: dict[str, str] = field(default_factory=dict, repr=False)
    _count: int = 0

    def learn(self, challenges: tuple[str, ...]) -> bool:
        """Choose among what is offered (Digest before Basic); whether it can be answered."""
        offered = {c.partition(" ")[0].lower(): c.partition(" ")[2] for c in reversed(challenges)}
        self.scheme = next((s for s in ("digest", "basic") if s in offered), None)
        if self.scheme is None or self.address.username is None:
            return False
        pairs = re.findall(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))', offered[self.scheme])
        self._challenge = {name.lower(): quoted or bare for name, quoted, bare in pairs}
        known = self._challenge.get("algorithm", "MD5").upper() in _HASHES
        return self.scheme == "basic" or known

    def header(self, method: str, uri: str) -> str | None:
        """The ``Authorization`` header for a request; ``None`` while nobody asked for one."""
        user, password = self.address.username or "", self.address.password or ""
        if not self._challenge:
            return None
        if self.scheme == "basic":
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        return self._digest(method, uri, user, password)

    def _digest(self, method: str, uri: str, user: str, password: str) -> str:
        given = self._challenge
        algorithm = given.get("algorithm", "MD5").upper()

        def hashed(text: str) -> str:
            return hashlib.new(_HASHES[algorithm], text.encode(), usedforsecurity=False).hexdigest()

        realm, nonce = given.get("realm", ""), given.get("nonce", "")
        who, what = hashed(f"{user}:{realm}:{password}"), hashed(f"{method}:{uri}")
        fields = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
        if "auth" in re.split(r"[,\s]+", given.get("qop", "")):
            self._count += 1
            count, own = f"{self._count:08x}", os.urandom(8).hex()
            fields["response"] = hashed(f"{who}:{nonce}:{count}:{own}:auth:{what}")
            tail = f', qop=auth, nc={count}, cnonce="{own}"'
        else:
            fields["response"], tail = hashed(f"{who}:{nonce}:{what}"), ""
        if "opaque" in given:
            fields["opaque"] = given["opaque"]
        tail += f", algorithm={given['algorithm']}" if "algorithm" in given else ""
        return (
            "Digest "
            + ", ".join(f"{name}={_quoted(value)}" for name, value in fields.items())
            + tail
        )


class Session:
    """One RTSP connection. Raises ``SourceError`` with a code for what goes wrong on the way."""

    def __init__(self, address: Address, patience: Patience, trust: Trust | None) -> None:
        self.address = address
        self.uri = replace(address, username=None, password=None).url
        self.credentials = Credentials(address)
        self._seconds = patience.seconds
        self._connection: Connection = connect(address, patience, trust)
        self._buffer = bytearray()
        self._sequence = 0
        self._session = ""
        self._ports: tuple[socket.socket, socket.socket] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye, without waiting for the answer, and hang up."""
        try:
            if self._session:
                self._send("TEARDOWN", self.uri, {})
        except (OSError, SourceError):
            pass  # it has gone already
        for port in self._ports or ():
            port.close()
        self._connection.close()

    # -- asking ------------------------------------------------------------------------------

    def ask(self, method: str, uri: str | None = None, **headers: str) -> Answer:
        """Send a request and wait for its answer; answers a challenge once."""
        where = uri or self.uri
        answer = self._exchange(method, where, headers)
        if answer.status == 401 and self.credentials.learn(answer.challenges):
            answer = self._exchange(method, where, headers)
        return answer

    def _exchange(self, method: str, uri: str, headers: Mapping[str, str]) -> Answer:
        self._connection.wait(self._seconds, f"waiting for the answer to {method}")
        self._send(method, uri, headers)
        answer = self._answer()
        self._session = answer.headers.get("session", self._session).partition(";")[0]
        return answer

    def _send(self, method: str, uri: str, headers: Mapping[str, str]) -> None:
        self._sequence += 1
        lines = {"CSeq": str(self._sequence), "User-Agent": "streamkit-doctor", **headers}
        if (proof := self.credentials.header(method, uri)) is not None:
            lines["Authorization"] = proof
        if self._session:
            lines["Session"] = self._session
        text = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        self._connection.sendall(f"{method} {uri} RTSP/1.0\r\n{text}\r\n".encode())

    def _answer(self) -> Answer:
        while True:
            while self._buffer[:1] == b"$":  # media that was on its way
                self._take(4 + int.from_bytes(self._peek(4)[2:4], "big"))
            head = self._until(b"\r\n\r\n")
            answer = _parsed(head, self.address.printable)
            length = int(answer.headers.get("content-length", "0") or 0)
            if length > _BODY_LIMIT:
                raise failure(self.address.printable, f"an answer of {length} bytes")
            answer = replace(answer, body=self._take(length))
            if int(answer.headers.get("cseq", self._sequence) or 0) == self._sequence:
                return answer

    # -- the media ---------------------------------------------------------------------------

    def set_up(self, control: str, transport: str) -> Answer:
        """Ask for the media over ``tcp`` (inside this connection) or ``udp`` (two ports here)."""
        wanted = "RTP/AVP/TCP;unicast;interleaved=0-1"
        if transport == "udp":
            self._ports = _pair(self._connection)
            first = self._ports[0].getsockname()[1]
            wanted = f"RTP/AVP;unicast;client_port={first}-{first + 1}"
        return self.ask("SETUP", control, Transport=wanted)

    def listen(self, seconds: float) -> Iterator[Arrived]:
        """What arrives during ``seconds``; ends early when the camera hangs up."""
        until = time.monotonic() + seconds
        return self._heard(until) if self._ports else self._interleaved(until)

    def _interleaved(self, until: float) -> Iterator[Arrived]:
        while (left := until - time.monotonic()) > 0:
            self._connection.wait(left, "listening")
            try:
                if self._peek(1) != b"$":
                    self._until(b"\r\n\r\n")  # an answer, or a request of the camera's own
                    continue
                head = self._peek(4)
                data = self._take(4 + int.from_bytes(head[2:4], "big"))[4:]
            except SourceError as error:
                if error.code is StreamErrorCode.TIMEOUT:
                    return
                raise
            yield Arrived(data, bool(head[1] & 1), time.monotonic())

    def _heard(self, until: float) -> Iterator[Arrived]:
        import selectors

        assert self._ports is not None
        with selectors.DefaultSelector() as selector:
            for number, port in enumerate(self._ports):
                selector.register(port, selectors.EVENT_READ, bool(number))
            while (left := until - time.monotonic()) > 0:
                for key, _ in selector.select(min(left, 0.2)):
                    data = self._ports[key.data].recv(65536)
                    yield Arrived(data, key.data, time.monotonic())

    # -- bytes -------------------------------------------------------------------------------

    def _peek(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        return bytes(self._buffer[:count])

    def _take(self, count: int) -> bytes:
        taken = self._peek(count)
        del self._buffer[:count]
        return taken

    def _until(self, mark: bytes) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise failure(self.address.printable, "what it says is not RTSP")
            self._more()
        return self._take(end + len(mark))

    def _more(self) -> None:
        chunk = bytearray(65536)
        try:
            count = self._connection.readinto(chunk)
        except OSError as error:
            raise failure(self.address.printable, "it hung up", StreamErrorCode.LOST) from error
        if not count:
            raise failure(self.address.printable, "it hung up", StreamErrorCode.LOST)
        self._buffer += chunk[:count]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _parsed(head: bytes, reference: str) -> Answer:
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    match = re.match(r"RTSP/\d\.\d (\d{3}) ?(.*)", first)
    if match is None:
        raise failure(reference, "whoever listens there does not speak RTSP")
    headers: dict[str, str] = {}
    challenges = []
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
        if name.strip().lower() == "www-authenticate":
            challenges.append(value.strip())
    return Answer(int(match[1]), match[2], headers, tuple(challenges))


def _pair(connection: Connection) -> tuple[socket.socket, socket.socket]:
    """An even UDP port and the next one, on the address that the camera talks to."""
    family, host = connection.local
    for _ in range(64):
        first = socket.socket(family, socket.SOCK_DGRAM)
        second = socket.socket(family, socket.SOCK_DGRAM)
        try:
            first.bind((host, 0))
            port = first.getsockname()[1]
            if port % 2 == 0:
                second.bind((host, port + 1))
                first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
                return first, second
        except OSError:
            pass
        first.close()
        second.close()
    raise OSError("no two neighbouring UDP ports are free")
