"""Who looks at a lab's cameras in tests: plain PyAV, and a small RTSP client that shows packets."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import av
import numpy as np

from streamkit.sources.numbered import decode_number
from tests.fakes import until


class Seen(NamedTuple):
    """One picture."""

    number: int | None
    mean: float
    """Of luma."""
    spread: float
    at: float
    """Seconds of the stream's own time."""
    size: tuple[int, int]
    corrupt: bool
    luma: Any


class Viewer:
    """One connection, read when asked."""

    def __init__(self, url: str, transport: str = "tcp", timeout: float = 3.0) -> None:
        options = {"rtsp_transport": transport, "analyzeduration": "0", "fpsprobesize": "0"}
        self.container = av.open(url, options=options, timeout=timeout)
        self.kinds = [stream.type for stream in self.container.streams]
        if self.container.streams.video:
            self.stream = self.container.streams.video[0]
            self.stream.thread_type = "SLICE"
            self.codec = self.stream.codec_context.name
            self._packets = self.container.demux(self.stream)

    def packets(self) -> Iterator[Any]:
        """Coded pictures as they come; ends where the stream ends."""
        return self._packets

    def pictures(self) -> Iterator[Seen]:
        """Decoded pictures as they come; a packet that cannot be decoded gives none."""
        for packet in self._packets:
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                continue
            yield from map(_seen, frames)

    def take(self, count: int) -> list[Seen]:
        """The next pictures, fewer where the stream ends."""
        found = []
        for one in self.pictures():
            found.append(one)
            if len(found) == count:
                break
        return found

    def ends(self) -> None:
        """Read until the camera is lost: the stream's end or an error."""
        try:
            for _ in self._packets:
                pass
        except (av.FFmpegError, OSError):
            pass


def _seen(frame: Any) -> Seen:
    luma = frame.reformat(format="gray8").to_ndarray()
    try:
        number = decode_number(frame.to_ndarray(format="bgr24"))
    except ValueError:
        number = None
    at = float((frame.pts or 0) * frame.time_base)
    size = (frame.width, frame.height)
    return Seen(number, float(luma.mean()), float(np.std(luma)), at, size, frame.is_corrupt, luma)


@contextmanager
def viewer(url: str, transport: str = "tcp", timeout: float = 3.0) -> Iterator[Viewer]:
    """Open, and close behind."""
    looking = Viewer(url, transport, timeout)
    try:
        yield looking
    finally:
        looking.container.close()


def plays(url: str, count: int = 3, transport: str = "tcp") -> bool:
    """Can somebody who comes now see pictures?"""
    try:
        with viewer(url, transport) as looking:
            return len(looking.take(count)) == count
    except (av.FFmpegError, OSError):
        return False


def comes_back(url: str) -> None:
    """It plays, soon."""
    until(lambda: plays(url))


class Packet(NamedTuple):
    """One RTP packet, as RFC 3550 lays it out."""

    sequence: int
    timestamp: int
    payload: bytes


class Wire:
    """RTSP over TCP without a password, down to the packets."""

    def __init__(self, url: str) -> None:
        port = int(url.rpartition(":")[2].partition("/")[0])
        self._url, self._number = url, 0
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._file = self._socket.makefile("rb")
        self._ask("DESCRIBE", url, "Accept: application/sdp")
        answer = self._ask(
            "SETUP", f"{url}/stream=0", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
        )
        session = answer["session"].partition(";")[0]
        self._ask("PLAY", url, f"Session: {session}")

    def _ask(self, method: str, url: str, header: str) -> dict[str, str]:
        self._number += 1
        self._socket.sendall(
            f"{method} {url} RTSP/1.0\r\nCSeq: {self._number}\r\n{header}\r\n\r\n".encode()
        )
        line = self._file.readline()
        assert b" 200 " in line, line
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        self._file.read(int(headers.get("content-length", 0)))
        return headers

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """(channel, packet): 0 is RTP, 1 is RTCP."""
        while True:
            mark, channel, length = struct.unpack(">cBH", self._file.read(4))
            assert mark == b"$"
            yield channel, self._file.read(length)

    def take(self, count: int) -> list[Packet]:
        """The next RTP packets."""
        found: list[Packet] = []
        for channel, data in self.frames():
            if channel == 0:
                sequence, timestamp = struct.unpack_from(">HI", data, 2)
                found.append(Packet(sequence, timestamp, data[12:]))
            if len(found) == count:
                break
        return found

    def report(self, seconds: float = 10.0) -> float | None:
        """The time of the next sender report, less now; ``None`` if there is none for so long."""
        deadline = time.monotonic() + seconds
        for channel, data in self.frames():
            if channel == 1 and data[1] == 200:
                seconds_of_1900: float = struct.unpack_from(">Q", data, 8)[0] / 2**32
                return seconds_of_1900 - 2_208_988_800 - time.time()
            if time.monotonic() > deadline:
                return None
        return None

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()


@contextmanager
def wire(url: str) -> Iterator[Wire]:
    """Open, and close behind."""
    looking = Wire(url)
    try:
        yield looking
    finally:
        looking.close()
