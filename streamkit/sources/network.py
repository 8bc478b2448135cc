"""Streams FFmpeg reads by itself: RTMP, MPEG-TS over UDP or TCP, RTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import av

from streamkit.errors import SourceError
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.decoding import broadcast, introduced, lost, opened, translated, video_of
from streamkit.sources.reference import parse


class NetworkSource(Source):
    """A live address of any protocol FFmpeg has. Times in seconds.

    While nothing arrives it cannot be interrupted before ``read_timeout`` is over: these demuxers,
    unlike RTSP's, do not go on after a read that expired.
    """

    def __init__(
        self,
        reference: str,
        *,
        username: str | None = None,
        password: str | None = None,
        open_timeout: float = 10.0,
        read_timeout: float = 10.0,
    ) -> None:
        self.live = True
        self._address = parse(reference, username, password)
        self.reference = self._address.printable
        self.properties: SourceProperties | None = None
        self._timeout = (open_timeout, read_timeout)
        self._stopped = threading.Event()

    def interrupt(self) -> None:
        """Stop at the next packet, or when the silence has lasted too long."""
        self._stopped.set()

    def read(self) -> Captures:
        """Pictures until it is lost (raises) or interrupted (returns)."""
        try:
            yield from self._pictures()
        except SourceError:
            if not self._stopped.is_set():
                raise
            return
        if not self._stopped.is_set():
            raise lost(self.reference)

    def _pictures(self) -> Iterator[Capture]:
        with opened(self._address.url, self.reference, timeout=self._timeout) as container:
            stream = video_of(container, self.reference)
            try:
                captures = broadcast(container.demux(), stream, self._stopped)
                yield from introduced(captures, stream, self)
            except (av.FFmpegError, OSError) as error:
                raise translated(error, self.reference, opening=False) from error
