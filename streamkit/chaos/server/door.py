"""The door in front of a camera: passes bytes to GStreamer's server, or misbehaves.

Only what TCP carries comes this way; UDP media goes straight from the server to the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

CHUNK = 65536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: closing sends RST, as a dead machine's successor would."""


class Street:
    """The thread on which all doors of this process live."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def do(self, what: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run it over there and wait for it."""
        return asyncio.run_coroutine_threadsafe(what(), self.loop).result(10)


@dataclass
class Manners:
    """How a door treats who comes; changed in one step, looked at for every connection."""

    silent: bool = False
    plain: bool = False
    """Answer a TLS greeting in clear."""
    cut_at: str | None = None
    """The RTSP method whose answer is cut in the middle."""
    delay: float = 0.0
    """Seconds before the answer to DESCRIBE."""
    rate: float = 0.0
    """Bytes a second of that answer; 0: all at once."""


class Door:
    """A port on loopback that stays this camera's, open or not."""

    def __init__(self, street: Street, port: int, inner: int) -> None:
        self.manners = Manners()
        self._street, self._inner = street, inner
        self._guests: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._bolt: socket.socket | None = None
        self.port = port
        street.do(self._open)

    def open(self) -> None:
        """Let clients in again."""
        self._street.do(self._open)

    def close(self) -> None:
        """Disconnect everybody and let the kernel refuse who comes."""
        self._street.do(self._close)

    def hang_up(self) -> None:
        """Disconnect everybody at once, without a farewell."""
        self._street.do(self._hang_up)

    async def _open(self) -> None:
        if self._server is not None:
            return
        if self._bolt is None:
            self._bolt = _bound(self.port)
        self.port = self._bolt.getsockname()[1]
        listening, self._bolt = self._bolt, None
        self._server = await asyncio.start_server(self._welcome, sock=listening)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._bolt = _bound(self.port)  # bound and not listening: refused, and still ours
        await self._hang_up()

    async def _hang_up(self) -> None:
        for writer in self._guests:
            if writer.transport.is_closing():
                continue
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._guests.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._attend(reader, writer)
        finally:
            self._guests.discard(writer)
            writer.close()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.manners.silent:
            while await reader.read(CHUNK):
                pass
        elif self.manners.plain:
            await reader.read(CHUNK)
            writer.write(b"RTSP/1.0 400 Bad Request\r\n\r\n")
            await writer.drain()
        else:
            await self._pass(reader, writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, answers = await asyncio.open_connection("127.0.0.1", self._inner)
        talk = _Conversation(self.manners)
        ways = [
            asyncio.ensure_future(talk.requests(reader, answers)),
            asyncio.ensure_future(talk.answers(behind, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            answers.close()


class _Conversation:
    """One client's bytes, and which request was the last."""

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._asked = ""

    async def requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._asked != "PLAY":  # afterwards there are reports on the same connection
                self._asked = _method(data) or self._asked
            writer.write(data)
            await writer.drain()

    async def answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._manners.cut_at == self._asked or (self._manners.cut_at and not self._asked):
                writer.write(data[: len(data) // 2])
                await writer.drain()
                return
            if self._asked == "DESCRIBE" and (self._manners.delay or self._manners.rate):
                await self._slowly(data, writer)
                continue
            writer.write(data)
            await writer.drain()

    async def _slowly(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._manners.delay)
        step = max(1, round(self._manners.rate / 10)) if self._manners.rate else len(data)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            await asyncio.sleep(0.1 if self._manners.rate else 0)


def _method(data: bytes) -> str:
    """The RTSP method of a request; TLS records and RTCP have none: ``""``."""
    word = data.split(b" ", 1)[0]
    return word.decode("ascii") if word.isalpha() and word.isupper() else ""


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
    except OSError as error:
        bound.close()
        raise ValueError(f"port {port} cannot be used: {error.strerror}") from error
    return bound
