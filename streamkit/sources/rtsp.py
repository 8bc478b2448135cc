"""A network camera: RTSP(S) with FFmpeg's client, after a look whether anybody answers at all."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import av
from av.container import InputContainer

from streamkit.errors import ConfigError, SourceError, StreamErrorCode
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.connection import Connection, Patience, Trust, connect, failure
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
from streamkit.sources.reference import Address, parse

TRANSPORTS = ("tcp", "udp")
# Without it FFmpeg watches the rate for a second before it hands over anything: open 1.2 s, 0.4 s.
_LOW_LATENCY = {"fpsprobesize": "0"}
_CLEAR = (StreamErrorCode.AUTH_FAILED, StreamErrorCode.NOT_FOUND, StreamErrorCode.REFUSED)


class RtspSource(Source):
    """An RTSP camera; ``username`` and ``password`` may be given apart from the address.

    ``open_timeout`` bounds connecting, ``read_timeout`` the silence after which it counts as lost
    (seconds). Interruptible at once while connecting, within 0.8 s while reading. A camera
    that answers OPTIONS and then hangs in the handshake is interruptible only during the first
    0.7 s of it; the rest of ``open_timeout`` has to pass.
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
    ) -> None:
        if transport not in TRANSPORTS:
            raise ConfigError(f"transport is one of {', '.join(TRANSPORTS)}, not {transport!r}")
        self.live = True
        self._address = parse(reference, username, password)
        self.reference = self._address.printable
        self.properties: SourceProperties | None = None
        self._transport = transport
        self._open_timeout, self._read_timeout = open_timeout, read_timeout
        self._trust = Trust(tls_verify, ca_file) if self._address.scheme == "rtsps" else None
        self._stopped = threading.Event()

    def interrupt(self) -> None:
        """Stop; see the class for how soon."""
        self._stopped.set()

    def read(self) -> Captures:
        """Pictures until it is lost (raises) or interrupted (returns)."""
        try:
            with self._opened() as container:
                yield from self._pictures(container)
        except SourceError:
            if not self._stopped.is_set():
                raise
            return
        if not self._stopped.is_set():
            raise lost(self.reference, "the camera hung up")

    def _pictures(self, container: InputContainer) -> Iterator[Capture]:
        stream = video_of(container, self.reference)
        packets = sliced(container, self._read_timeout, self._stopped)
        try:
            yield from introduced(broadcast(packets, stream, self._stopped), stream, self)
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

    def _opened(self) -> InputContainer:
        """FFmpeg has one time limit for the handshake's answers and for later silence.

        A short one first, so that reads can be interrupted. A camera too slow for that (a proxy
        that starts its stream on demand) is then given all the time there is, and PyAV's clock
        ends its reads instead: that may cut a picture which takes longer than a slice to arrive.
        """
        begun = time.monotonic()
        self._knock()
        try:
            return self._container(READ_SLICE, None)
        except SourceError as error:
            spent = time.monotonic() - begun
            slow = error.code is StreamErrorCode.TIMEOUT and spent < self._open_timeout
            if not slow or self._stopped.is_set():
                raise
        return self._container(self._open_timeout - spent, READ_SLICE)

    def _container(self, patience: float, read_slice: float | None) -> InputContainer:
        options = {
            **_LOW_LATENCY,
            "rtsp_transport": self._transport,
            "allowed_media_types": "video",
            "timeout": str(int(patience * 1e6)),
        }
        if self._trust:
            options |= _tls(self._trust)
        timeout = (self._open_timeout, read_slice)
        begun = time.monotonic()
        try:
            return opened(
                self._address.url, self.reference, form="rtsp", options=options, timeout=timeout
            )
        except SourceError as error:
            if error.code in _CLEAR or time.monotonic() - begun < patience:
                raise
            # FFmpeg calls an answer that did not come "invalid data".
            text = "the camera did not answer in time"
            raise failure(self.reference, text, StreamErrorCode.TIMEOUT) from error

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
