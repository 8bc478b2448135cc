"""What every request passes first: its size, its pace, how many there are of one client."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import cachetools
import orjson

from streamkit.server.failures import Answer

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_CLIENTS: Final = 100_000
_MINUTE: Final = 60.0
_DRAIN: Final = 1.0
"""Seconds."""
_PARTS: Final = 100_000
"""Commas and brackets in a body: each may become a Python object, and an error of its own. Base64
has none; a form is no JSON."""


@dataclass(slots=True)
class _Body:
    """What has come of a body, and what it takes up of the room for all."""

    data: bytes | bytearray
    held: int = 0


class Guard:
    """ASGI middleware: a body that is too large is answered 413, one that is too slow 408, a client
    that asks too often 429; nothing of them is kept. The body is read before the handler runs."""

    def __init__(
        self,
        app: Asgi,
        *,
        most: int,
        room: int,
        seconds: float,
        per_minute: int,
        origins: Sequence[str] = (),
        local: bool = False,
    ) -> None:
        """``most``: bytes of one body; ``room``: of all that are here. ``origins``: of web pages
        that may ask, besides the server's own. ``local``: it listens to this machine only, so it is
        called by no other name."""
        self._app, self._most, self._room, self._seconds = app, most, room, seconds
        self._held = 0
        """Bytes of bodies of requests that are not answered yet."""
        self._origins, self._local = origins, local
        self._limit = per_minute
        self._asked: cachetools.TTLCache[str, list[float]]
        self._asked = cachetools.TTLCache(_CLIENTS, _MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._foreign(scope)
        if scope["type"] == "websocket":
            if refused is not None:
                await send({"type": "websocket.close", "code": 4403})
                return
            await self._app(scope, receive, send)
            return
        refused = refused or self._too_often(scope) or _too_large(scope, self._most)
        if refused is not None:
            await _drained(receive)
            await _answer(send, refused)
            return
        body = _Body(bytearray())
        try:
            refused = await self._taken(receive, body) or _too_fine(scope, body.data)
            if refused is not None:
                await _answer(send, refused)
                return
            body.data = bytes(body.data)
            await self._app(scope, _again(body, receive), self._letting_go(body, send))
        finally:
            self._let_go(body)

    def _letting_go(self, body: _Body, send: Send) -> Send:
        """Whoever is answered needs his body no more, however long the answer goes on."""

        async def sending(message: Message) -> None:
            self._let_go(body)
            await send(message)

        return sending

    def _let_go(self, body: _Body) -> None:
        self._held -= body.held
        body.data, body.held = b"", 0

    async def _taken(self, receive: Receive, body: _Body) -> Answer | None:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(receive, body)
        except TimeoutError:
            return Answer(408, f"not here within {self._seconds:g} s", "BODY_TIMEOUT")

    async def _read(self, receive: Receive, body: _Body) -> Answer | None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return Answer(499, "the client hung up", "CLIENT_CLOSED_REQUEST")
            part = message.get("body", b"")
            body.data += part
            body.held += len(part)
            self._held += len(part)
            more, refused = message.get("more_body", False), self._too_much(body.held)
            if refused is not None and more:
                await _drained(receive)
            if refused is not None or not more:
                return refused

    def _too_much(self, size: int) -> Answer | None:
        if size > self._most:
            return _oversize(self._most)
        if self._held > self._room:
            text = f"requests under way have more than {self._room} bytes; try again"
            return Answer(503, text, "SERVER_BUSY", {"Retry-After": "1"})
        return None

    def _foreign(self, scope: Scope) -> Answer | None:
        """A page of somebody else's, in a browser on this machine, is not to be answered."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self._local and not loopback(_hostname(f"//{host}")):
            return Answer(403, f"this server is not called {host!r}", "HOST_REFUSED")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if "*" in self._origins or origin in self._origins:
            return None
        if not origin:
            return _embedded(headers)
        if host and origin.partition("://")[2] == host:
            return None
        text = f"pages of {origin} may not ask here (ALLOW_ORIGINS)"
        return Answer(403, text, "ORIGIN_REFUSED")

    def _too_often(self, scope: Scope) -> Answer | None:
        if not self._limit:
            return None
        client, now = (scope.get("client") or ("",))[0], time.monotonic()
        recent = [then for then in self._asked.get(client, ()) if now - then < _MINUTE]
        if len(recent) >= self._limit:
            wait = max(1, round(_MINUTE - (now - recent[0])))
            text = f"more than {self._limit} requests a minute"
            return Answer(429, text, "TOO_MANY_REQUESTS", {"Retry-After": str(wait)})
        self._asked[client] = [*recent, now]
        return None


async def _drained(receive: Receive) -> None:
    """Let what still comes of a body go by, for a moment: who is cut off while it writes does not
    read the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN):
            message = await receive()
            while message["type"] == "http.request" and message.get("more_body", False):
                message = await receive()


def loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _embedded(headers: dict[bytes, bytes]) -> Answer | None:
    """A picture or script in somebody's page asks without saying where from; a link may."""
    foreign = headers.get(b"sec-fetch-site") == b"cross-site"
    if not foreign or headers.get(b"sec-fetch-mode") == b"navigate":
        return None
    return Answer(403, "other pages may not ask here (ALLOW_ORIGINS)", "ORIGIN_REFUSED")


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # brackets that are not closed
        return ""


def _too_large(scope: Scope, most: int) -> Answer | None:
    told = dict(scope["headers"]).get(b"content-length", b"0")
    return _oversize(most) if told.isdigit() and int(told) > most else None


def _oversize(most: int) -> Answer:
    return Answer(413, f"more than {most} bytes", "BODY_TOO_LARGE")


def _too_fine(scope: Scope, body: bytes | bytearray) -> Answer | None:
    if dict(scope["headers"]).get(b"content-type", b"").lower().startswith(b"multipart/"):
        return None
    if sum(map(body.count, (b",", b"[", b"{"))) <= _PARTS:
        return None
    return Answer(413, f"more than {_PARTS} values in one body", "BODY_TOO_LARGE")


def _again(body: _Body, receive: Receive) -> Receive:
    """The body that was read, once; then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        whole, body.data = body.data, b""
        return {"type": "http.request", "body": whole, "more_body": False}

    return replay


async def _answer(send: Send, answer: Answer) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers += [(k.lower().encode(), v.encode()) for k, v in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(answer.body())})
