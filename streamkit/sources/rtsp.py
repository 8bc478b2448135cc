"""A network camera: RTSP(S) with FFmpeg's client, after a look whether anybody answers at all."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamkit.errors import ConfigError, SourceError, StreamErrorCode
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.connection import Connection, Patience, Trust, connect, failure
from streamkit.sources.decoder import DecodeMode, DecodeOptions, Demand, Thrift
from streamkit.sources.decoding import (
    READ_SLICE,
    broadcast,
    introduced,
    lost,
    opened,
    sliced,
    translated,
    video_of,
)
from streamkit.sources.reference import Address, Locator
from streamkit.sources.substream import Prefer, Substream
from streamkit.sources.tap import Tap, Tapped
from streamkit.sources.timing import HELD, CaptureClock

log = logging.getLogger(__name__)

TRANSPORTS = ("tcp", "udp")
# Without it FFmpeg watches the rate for a second before it hands over anything: open 1.2 s, 0.4 s.
_LOW_LATENCY = {"fpsprobesize": "0"}
# Over TCP FFmpeg looks for gaps only if it may wait for the packet after one.
_TELL_OF_GAPS = {"reorder_queue_size": "2"}
_LONGEST_LOGIN = 128
"""Of ``user:password@``: FFmpeg cuts off the rest and sends what is left."""
_CLEAR = (StreamErrorCode.AUTH_FAILED, StreamErrorCode.NOT_FOUND, StreamErrorCode.REFUSED)


class RtspSource(Thrift, Tapped, Source):
    """An RTSP camera; ``username`` and ``password`` may be given apart from the address.

    ``open_timeout`` bounds connecting, ``read_timeout`` the silence after which it counts as lost
    (seconds). ``clock`` tells by which clock its pictures are timed (auto, rtcp, pts, arrival; see
    ``CaptureClock``). Interruptible at once while connecting, within 0.8 s while reading. A camera
    that answers OPTIONS and then hangs in the handshake is interruptible only during the first
    0.7 s of it; the rest of ``open_timeout`` has to pass.

    ``decode`` is which pictures are decoded: ``all``, those that others refer to (``reference``),
    ``key`` frames alone, or the fewest that give the wanted rate (``auto``). ``backend`` is who
    decodes: ``software``, a device by its name, or the first that works (``auto``).
    ``motion_vectors`` makes the decoder tell how much of a picture moves. ``decoding`` tells what
    came of all this.

    ``substream`` is the address of the same camera's smaller stream, with the same user unless it
    names another. It is read instead where ``prefer`` is ``substream``, or where it suffices
    (``auto``): a rate is wanted that is not above its own, and it is ``min_width`` pixels wide.
    """

    def __init__(  # noqa: PLR0913 - the options of this source
        self,
        reference: str,
        *,
        transport: str = "tcp",
        username: str | None = None,
        password: str | None = None,
        open_timeout: float = 10.0,
        read_timeout: float = 10.0,
        tls_verify: bool = True,
        ca_file: str | None = None,
        clock: str = "auto",
        decode: DecodeMode = "auto",
        backend: str = "software",
        decode_threads: int = 1,
        motion_vectors: bool = False,
        substream: str | None = None,
        prefer: Prefer = "auto",
        min_width: int = 0,
    ) -> None:
        if transport not in TRANSPORTS:
            raise ConfigError(f"transport is one of {', '.join(TRANSPORTS)}, not {transport!r}")
        self._demand = Demand(
            DecodeOptions(
                decode=decode,
                backend=backend,
                threads=decode_threads,
                motion_vectors=motion_vectors,
            )
        )
        self.live = True
        self._locator = Locator(reference, username, password)
        self._address = self._locator.resolved()
        self.reference = self._address.printable
        self._small = Substream.of(substream, prefer, min_width, username, password)
        self.properties: SourceProperties | None = None
        self._transport = transport
        for name, value in (("open_timeout", open_timeout), ("read_timeout", read_timeout)):
            if not value > 0:
                raise ConfigError(f"{name}={value:g}: give a number of seconds above 0")
        self._open_timeout, self._read_timeout = open_timeout, read_timeout
        self._trust = Trust(tls_verify, ca_file) if self._address.scheme == "rtsps" else None
        self._stopped = threading.Event()
        self._clock = CaptureClock(self.reference, clock)
        self._tap = Tap(self.reference)

    @property
    def clock_skew(self) -> float | None:
        """Seconds by which the camera's clock is ahead of ours, less the way its pictures take.

        ``None`` before its first RTCP sender report.
        """
        return self._clock.skew

    def interrupt(self) -> None:
        """Stop; see the class for how soon."""
        self._stopped.set()

    def read(self) -> Captures:
        """Pictures until it is lost (raises) or interrupted (returns)."""
        try:
            if not (yield from self._from_substream()):
                self._clock.begin()
                with self._opened(self._locator.renewed()) as container:
                    yield from self._pictures(container, video_of(container, self.reference))
        except SourceError:
            if not self._stopped.is_set():
                raise
            return
        if not self._stopped.is_set():
            raise lost(self.reference, "the camera hung up")

    def _from_substream(self) -> Generator[Capture, None, bool]:
        """The smaller stream while it suffices; whether it did to the end."""
        small, demand = self._small, self._demand
        demand.stream, demand.stream_reason = "main", small.why_not(demand.wanted)
        if demand.stream_reason:
            return False
        try:
            self._clock.begin()
            with self._opened(small.address(self._locator.renewed())) as container:
                stream = video_of(container, self.reference)
                small.learn(stream)
                demand.stream_reason = small.why_not(demand.wanted)
                if demand.stream_reason:
                    return False
                demand.stream = "substream"
                for capture in self._pictures(container, stream):
                    yield capture
                    if reason := small.why_not(demand.wanted):
                        demand.stream, demand.stream_reason = "main", reason
                        return False
                return True
        except SourceError as error:
            if demand.stream == "substream" or self._stopped.is_set():
                raise
            demand.stream_reason = f"the substream cannot be read: {error.code}"
            log.warning("%s: %s", self.reference, demand.stream_reason)
            return False

    def _pictures(self, container: InputContainer, stream: VideoStream) -> Iterator[Capture]:
        self._clock.held = stream.codec_context.name in HELD
        packets = sliced(container, self._read_timeout, self._stopped)
        try:
            captures = broadcast(
                packets,
                stream,
                self._stopped,
                self._demand,
                self.reference,
                self._clock,
                self._tap,
            )
            yield from introduced(captures, stream, self)
        except TimeoutError as error:
            text = f"nothing came for {self._read_timeout:g} s"
            raise SourceError(
                f"{self.reference}: {text}",
                StreamErrorCode.TIMEOUT,
                source_reference=self.reference,
            ) from error
        except (av.FFmpegError, OSError) as error:
            raise lost(self.reference, "the connection was lost") from translated(
                error, self.reference, opening=False
            )

    def _opened(self, address: Address) -> InputContainer:
        """FFmpeg has one time limit for the handshake's answers and for later silence.

        A short one first, so that reads can be interrupted. A camera too slow for that (a proxy
        that starts its stream on demand) is then given all the time there is, and PyAV's clock
        ends its reads instead: that may cut a picture which takes longer than a slice to arrive.
        """
        begun = time.monotonic()
        self._address = address
        if len(address.login) > _LONGEST_LOGIN:
            text = "user and password are too long: 127 bytes together, percent-encoded, at most"
            raise failure(self.reference, text, StreamErrorCode.AUTH_FAILED)
        self._knock()
        try:
            return self._container(READ_SLICE, None)
        except SourceError as error:
            spent = time.monotonic() - begun
            slow = error.code is StreamErrorCode.TIMEOUT and spent < self._open_timeout
            if not slow or self._stopped.is_set():
                raise
        return self._container(self._open_timeout - spent, READ_SLICE)

    def _container(
        self, patience: float, read_slice: float | None, media: str = "video"
    ) -> InputContainer:
        options = {
            **_LOW_LATENCY,
            "rtsp_transport": self._transport,
            "allowed_media_types": media,
            "timeout": str(int(patience * 1e6)),
        }
        if self._transport == "tcp":
            options |= _TELL_OF_GAPS
        if self._trust:
            options |= _tls(self._trust)
        timeout = (self._open_timeout, read_slice)
        begun = time.monotonic()
        try:
            return opened(
                self._address.url, self.reference, form="rtsp", options=options, timeout=timeout
            )
        except SourceError as error:
            if media == "video" and isinstance(error.__cause__, av.error.HTTPOtherClientError):
                # Where there is no video it has asked to play nothing: with sound it can be seen.
                return self._container(patience, read_slice, "video+audio")
            if error.code in _CLEAR:
                raise
            # FFmpeg calls an answer that did not come, or not whole, "invalid data".
            if time.monotonic() - begun >= patience:
                text = "the camera did not answer in time"
                raise failure(self.reference, text, StreamErrorCode.TIMEOUT) from error
            if error.code is StreamErrorCode.CODEC_UNSUPPORTED:
                text = "the camera broke off an answer, or gave one that means nothing"
                raise failure(self.reference, text) from error
            raise

    def _knock(self) -> None:
        """See that somebody who speaks RTSP is there; every wait in here can be interrupted."""
        patience = Patience(self._stopped, self._open_timeout, self.reference)
        connection = connect(self._address, patience, self._trust)
        try:
            patience.doing = "asking for its options"
            answer = _options(connection, self._address)
        except OSError as error:
            raise translated(error, self.reference, opening=True) from error
        finally:
            connection.close()
        if not answer.startswith(b"RTSP/"):
            what = "closed the connection" if not answer else "does not speak RTSP"
            raise failure(self.reference, f"whoever listens there {what}")


def _options(connection: Connection, address: Address) -> bytes:
    """The beginning of the answer to an OPTIONS request; its status does not matter."""
    place = replace(address, username=None, password=None).url
    connection.sendall(f"OPTIONS {place} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
    answer = b""
    while b"\n" not in answer and len(answer) < 4096 and (more := connection.read(4096)):
        answer += more
    return answer


def _tls(trust: Trust) -> dict[str, str]:
    """FFmpeg's TLS verifies nothing unless told to, and brings no authorities of its own."""
    paths = ssl.get_default_verify_paths()
    authorities = trust.ca_file or paths.cafile or paths.openssl_cafile
    return {"tls_verify": str(int(trust.verify)), "ca_file": authorities}
