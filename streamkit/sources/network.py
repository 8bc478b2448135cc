"""Streams FFmpeg reads by itself: RTMP, MPEG-TS over UDP or TCP, RTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import av

from streamkit.errors import SourceError
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.decoder import DecodeMode, DecodeOptions, Demand, Thrift
from streamkit.sources.decoding import (
    broadcast,
    counts_only,
    introduced,
    lost,
    opened,
    translated,
    video_of,
)
from streamkit.sources.reference import Locator
from streamkit.sources.tap import Tap, Tapped
from streamkit.sources.timing import CaptureClock

_LOG_IN = ("rtmp", "rtmps")
"""The protocols that know users and passwords."""


class NetworkSource(Thrift, Tapped, Source):
    """A live address of any protocol FFmpeg has. Times in seconds.

    While nothing arrives it cannot be interrupted before ``read_timeout`` is over: these demuxers,
    unlike RTSP's, do not go on after a read that expired.

    ``decode`` is which pictures are decoded: ``all``, those that others refer to (``reference``),
    ``key`` frames alone, or the fewest that give the wanted rate (``auto``). ``backend`` is who
    decodes: ``software``, a device by its name, or the first that works (``auto``).
    ``motion_vectors`` makes the decoder tell how much of a picture moves. ``decoding`` tells what
    came of all this.
    """

    def __init__(  # noqa: PLR0913 - the options of this source
        self,
        reference: str,
        *,
        username: str | None = None,
        password: str | None = None,
        open_timeout: float = 10.0,
        read_timeout: float = 10.0,
        decode: DecodeMode = "auto",
        backend: str = "software",
        decode_threads: int = 1,
        motion_vectors: bool = False,
    ) -> None:
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
        self.reference = self._locator.printable
        self.properties: SourceProperties | None = None
        self._timeout = (open_timeout, read_timeout)
        self._stopped = threading.Event()
        self._clock = CaptureClock(self.reference)
        self._tap = Tap(self.reference)

    def interrupt(self) -> None:
        """Stop at the next packet, or when the silence has lasted too long."""
        self._stopped.set()

    def read(self) -> Captures:
        """Pictures until it is lost (raises) or interrupted (returns)."""
        self._clock.begin()
        try:
            yield from self._pictures()
        except SourceError:
            if not self._stopped.is_set():
                raise
            return
        if not self._stopped.is_set():
            raise lost(self.reference)

    def _pictures(self) -> Iterator[Capture]:
        address = self._locator.renewed()
        if address.scheme not in _LOG_IN:  # FFmpeg's own messages would quote what it cannot use
            address = replace(address, username=None, password=None)
        with opened(address.url, self.reference, timeout=self._timeout) as container:
            stream = video_of(container, self.reference)
            self._clock.counted = counts_only(container)
            try:
                packets = container.demux()
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
            except (av.FFmpegError, OSError) as error:
                raise translated(error, self.reference, opening=False) from error
