"""HTTP for video: a GET whose every wait can be interrupted, read like a file."""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import secrets
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urljoin
from urllib.request import parse_http_list, parse_keqv_list

from streamkit.errors import SourceError, StreamErrorCode
from streamkit.sources.connection import Connection, Patience, Trust, connect, failure
from streamkit.sources.reference import Address, parse

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_SKIP = 256 * 1024
"""Bytes that are rather read and thrown away than asked for in a new request."""
_STATUS = {
    401: (StreamErrorCode.AUTH_FAILED, "user or password was not accepted (401)"),
    403: (StreamErrorCode.AUTH_FAILED, "access is forbidden (403)"),
    404: (StreamErrorCode.NOT_FOUND, "there is no such address (404)"),
    410: (StreamErrorCode.NOT_FOUND, "this address is gone (410)"),
    408: (StreamErrorCode.TIMEOUT, "the server waited too long (408)"),
    504: (StreamErrorCode.TIMEOUT, "the server waited too long (504)"),
}


@dataclass
class Web:
    """How to reach one HTTP(S) source: its limits (seconds), whom it trusts, how it logs in."""

    reference: str
    stopped: threading.Event
    open_timeout: float = 10.0
    read_timeout: float = 10.0
    trust: Trust = field(default_factory=Trust)
    _log_in: dict[tuple[str, int], Callable[[str], str]] = field(default_factory=dict)

    def get(self, address: Address, *, start: int = 0, end: int | None = None) -> Body:
        """The body at ``address`` (from byte ``start`` up to ``end``), after redirects and log-in.

        Raises ``SourceConnectionError``, or ``SourceError`` INTERRUPTED.
        """
        tried = False
        for _ in range(_MOST_REDIRECTS):
            body = self._asked(address, start, end)
            if body.status in _REDIRECTS and "Location" in body.headers:
                body.close()
                address = _redirected(address, body.headers["Location"])
            elif body.status == 401 and not tried and self._learns_to_log_in(address, body):
                tried = True
            else:
                return self._accepted(body)
        raise failure(self.reference, "it redirects for ever")

    def _asked(self, address: Address, start: int, end: int | None) -> Body:
        if address.scheme not in ("http", "https"):
            raise failure(self.reference, f"it refers to a {address.scheme} address")
        patience = Patience(self.stopped, self.open_timeout, self.reference)
        trust = self.trust if address.scheme == "https" else None
        connection = connect(address, patience, trust)
        patience.doing = "waiting for the answer"
        try:
            connection.sendall(self._request(address, start, end))
            response = http.client.HTTPResponse(connection, method="GET")  # type: ignore[arg-type]
            response.begin()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            reason = str(error) or type(error).__name__
            raise failure(self.reference, f"no proper HTTP answer ({reason})") from error
        except SourceError:
            connection.close()
            raise
        return Body(self, address, connection, response)

    def _request(self, address: Address, start: int, end: int | None) -> bytes:
        target = address.request_target
        lines = [f"GET {target} HTTP/1.1", f"Host: {address.place}"]
        lines += ["User-Agent: streamkit", "Accept: */*", "Connection: close"]
        if start or end is not None:
            lines.append(f"Range: bytes={start}-{'' if end is None else end - 1}")
        if answer := self._log_in.get((address.bare_host, address.known_port)):
            lines.append(f"Authorization: {answer(target)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")

    def _learns_to_log_in(self, address: Address, body: Body) -> bool:
        """From the challenge in a 401; a second one in a row means that it was not believed."""
        challenges = body.headers.get_all("WWW-Authenticate") or []
        answer = _log_in(address, challenges) if address.username is not None else None
        if answer is None:
            return False
        body.close()
        self._log_in[address.bare_host, address.known_port] = answer
        return True

    def _accepted(self, body: Body) -> Body:
        if body.status in (200, 206):
            return body
        body.close()
        fallback = StreamErrorCode.CONNECTION_FAILED, f"the server answered {body.status}"
        code, text = _STATUS.get(body.status, fallback)
        raise failure(self.reference, text, code)


class Body(io.RawIOBase):
    """What one GET brings. ``read`` returns as soon as something is there, ``b""`` at the end."""

    def __init__(self, web: Web, address: Address, connection: Connection, response: Any) -> None:
        super().__init__()
        self.address = address
        """Where it came from in the end; relative addresses in it start from here."""
        self.status: int = response.status
        self.headers: http.client.HTTPMessage = response.headers
        self.length: int | None = response.length
        self._web, self._connection, self._response = web, connection, response
        self._left = self.length

    @property
    def kind(self) -> str:
        """The media type, lower case, without parameters."""
        return self.headers.get_content_type().lower()

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes. Raises ``SourceError`` TIMEOUT, LOST when it ends too early."""
        if size < 0:
            return self.readall()
        self._connection.wait(self._web.read_timeout, "reading")
        try:
            data: bytes = self._response.read1(size)
        except (OSError, http.client.HTTPException) as error:
            raise self._cut(str(error)) from error
        if self._left is not None:
            self._left -= len(data)
            if not data and size and self._left > 0:
                raise self._cut(f"{self._left} bytes are missing")
        return data

    def readall(self) -> bytes:
        """Everything."""
        parts = []
        while part := self.read(65536):
            parts.append(part)
        return b"".join(parts)

    def begins_with(self, mark: bytes) -> bool:
        """Do the next bytes say ``mark``? They are gone then."""
        begun = b""
        while len(begun) < len(mark) and (part := self.read(len(mark) - len(begun))):
            begun += part
        return begun == mark

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self._connection.close()
        super().close()

    def _cut(self, reason: str) -> SourceError:
        reference = self._web.reference
        text = f"{reference}: the connection was cut ({reason})"
        return SourceError(text, StreamErrorCode.LOST, source_reference=reference)


class RemoteFile(io.RawIOBase):
    """A finite HTTP resource as a file; seeks become range requests where the server takes them."""

    def __init__(self, web: Web, address: Address) -> None:
        super().__init__()
        self._web, self._address = web, address
        self._body = web.get(address)
        self.length = self._body.length
        self._ranges = self._body.headers.get("Accept-Ranges", "").lower() == "bytes"
        self._at = self._wanted = 0

    @property
    def headers(self) -> http.client.HTTPMessage:
        """Of the first answer."""
        return self._body.headers

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Where the length is known and ranges are served."""
        return self._ranges and self.length is not None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Only remembers the place; the request is made by the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._wanted, io.SEEK_END: self.length or 0}[whence]
        self._wanted = max(0, base + offset)
        return self._wanted

    def tell(self) -> int:
        """Where the next read starts."""
        return self._wanted

    def read(self, size: int = -1) -> bytes:
        """As ``Body.read``."""
        if self.length is not None and self._wanted >= self.length:
            return b""
        self._catch_up()
        data = self._body.read(size)
        self._at = self._wanted = self._at + len(data)
        return data

    def close(self) -> None:
        """Hang up."""
        self._body.close()
        super().close()

    def _catch_up(self) -> None:
        while self._at < self._wanted <= self._at + _SKIP:
            thrown = self._body.read(self._wanted - self._at)
            if not thrown:
                break
            self._at += len(thrown)
        if self._at != self._wanted:
            self._body.close()
            self._body = self._web.get(self._address, start=self._wanted)
            self._at = self._wanted


def _redirected(address: Address, location: str) -> Address:
    """Where a redirect leads; credentials stay with the host they were meant for."""
    bare = replace(address, username=None, password=None)
    there = parse(urljoin(bare.url, location))
    if (there.host, there.known_port) == (address.host, address.known_port):
        there = replace(there, username=address.username, password=address.password)
    return there


def _log_in(address: Address, challenges: list[str]) -> Callable[[str], str] | None:
    """A function from request target to ``Authorization`` header for the best challenge."""
    user, password = address.username or "", address.password or ""
    for challenge in sorted(challenges, key=lambda text: not text.lower().startswith("digest")):
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "digest":
            return _Digest(user, password, parse_keqv_list(parse_http_list(rest)))
        if scheme.lower() == "basic":
            token = b64encode(f"{user}:{password}".encode()).decode()
            return lambda _target: f"Basic {token}"
    return None


@dataclass
class _Digest:
    """RFC 7616 with MD5 or SHA-256 and qop "auth", or none."""

    user: str
    password: str
    challenge: dict[str, str]
    count: int = 0

    def __call__(self, target: str) -> str:
        self.count += 1
        told = self.challenge
        algorithm = told.get("algorithm", "MD5")
        realm, nonce = told.get("realm", ""), told.get("nonce", "")
        secret = self._hash(f"{self.user}:{realm}:{self.password}", algorithm)
        request = self._hash(f"GET:{target}", algorithm)
        fields = {"username": self.user, "realm": realm, "nonce": nonce, "uri": target}
        if "auth" in re.split(r"[,\s]+", told.get("qop", "")):
            unique, count = secrets.token_hex(8), f"{self.count:08x}"
            middle = f"{nonce}:{count}:{unique}:auth"
            plain = f', algorithm={algorithm}, qop=auth, nc={count}, cnonce="{unique}"'
        else:
            middle, plain = nonce, ""
        fields["response"] = self._hash(f"{secret}:{middle}:{request}", algorithm)
        if "opaque" in told:
            fields["opaque"] = told["opaque"]
        quoted = ", ".join(f'{name}="{_escaped(value)}"' for name, value in fields.items())
        return f"Digest {quoted}{plain}"

    @staticmethod
    def _hash(text: str, algorithm: str) -> str:
        made_by = hashlib.sha256 if algorithm.upper().startswith("SHA-256") else hashlib.md5
        return made_by(text.encode(), usedforsecurity=False).hexdigest()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
