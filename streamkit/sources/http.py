"""Video over HTTP(S): a recording, HLS, or a camera's multipart MJPEG."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, ClassVar

import av

from streamkit.errors import SourceError
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.connection import Trust
from streamkit.sources.decoder import DecodeMode, DecodeOptions, Demand, Thrift
from streamkit.sources.decoding import (
    Skip,
    Timeline,
    broadcast,
    counts_only,
    introduced,
    lost,
    opened,
    recording,
    translated,
    video_of,
)
from streamkit.sources.hls import Segments, media_playlist, paced
from streamkit.sources.recorded import Start, begun, start_of
from streamkit.sources.reference import Locator
from streamkit.sources.tap import Tap, Tapped
from streamkit.sources.timing import CaptureClock
from streamkit.sources.web import Body, RemoteFile, Web

_PLAYLISTS = ("application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl")
_LIVE_OPTIONS = {"fpsprobesize": "0"}


class Kind(StrEnum):
    """What an HTTP address turns out to be."""

    FILE = "file"
    PLAYLIST = "playlist"
    MULTIPART = "multipart"
    ENDLESS = "endless"


class HttpSource(Thrift, Tapped, Source):
    """Any video behind ``http(s)://``. Times in seconds; every wait can be interrupted at once.

    Making one looks at the address (it waits ``open_timeout`` at most) to know whether it is live:
    a finite file, a playlist with an end, or not. ``live`` spares the look and decides.
    ``started_at`` is when a recording was begun (see ``recorded.Start``; ``mtime`` is what the
    server calls ``Last-Modified``), by default now.
    An address that does not answer counts as live unless its name ends like a video file's.
    ``decode``, ``backend``, ``decode_threads`` and ``motion_vectors`` are about what is live, and
    what ``RtspSource`` says of them.
    """

    looks: ClassVar = True
    """Making one opens the address, unless ``live`` is given."""

    def __init__(  # noqa: PLR0913 - the options of this source
        self,
        reference: str,
        *,
        live: bool | None = None,
        start: float = 0.0,
        started_at: Start = "now",
        username: str | None = None,
        password: str | None = None,
        open_timeout: float = 10.0,
        read_timeout: float = 10.0,
        tls_verify: bool = True,
        ca_file: str | None = None,
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
        self._locator = Locator(reference, username, password)
        self._address = self._locator.resolved()
        self.reference = self._address.printable
        self.properties: SourceProperties | None = None
        self._stopped = threading.Event()
        self._clock = CaptureClock(self.reference)
        self._tap = Tap(self.reference)
        trust = Trust(tls_verify, ca_file)
        self._web = Web(self.reference, self._stopped, open_timeout, read_timeout, trust)
        self._start, self._started_at = start, start_of(started_at)
        self._known: Kind | None = None
        self.live = self._looks_live() if live is None else live

    def interrupt(self) -> None:
        """Stop within 0.1 s."""
        self._stopped.set()

    def read(self) -> Captures:
        """Pictures. A live one raises at its end, a finite one when the connection is cut."""
        self._clock.begin()
        try:
            self._address = self._locator.renewed()
            kind = self._kind()
            if kind is Kind.FILE and not self.live:
                yield from self._recorded(RemoteFile(self._web, self._address))
            elif kind is Kind.PLAYLIST:
                yield from self._segmented(Segments(self._web, self._address))
            else:
                form = "mpjpeg" if kind is Kind.MULTIPART else None
                yield from self._broadcast(self._web.get(self._address), form)
        except SourceError:
            if not self._stopped.is_set():
                raise
            return
        if self.live and not self._stopped.is_set():
            raise lost(self.reference)

    def _looks_live(self) -> bool:
        try:
            kind = self._kind()
            if kind is Kind.PLAYLIST:
                return not media_playlist(self._web, self._address)[1].ended
        except SourceError:
            path = self._address.rest.partition("?")[0].lower()
            return not path.endswith((".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts", ".m4v"))
        return kind in (Kind.MULTIPART, Kind.ENDLESS)

    def _kind(self) -> Kind:
        if self._known is None:
            self._known = self._looked()
        return self._known

    def _looked(self) -> Kind:
        with self._web.get(self._address) as body:
            if body.kind.startswith("multipart/"):
                return Kind.MULTIPART
            if body.kind in _PLAYLISTS or body.begins_with(b"#EXTM3U"):
                return Kind.PLAYLIST
            if body.length is not None:
                return Kind.FILE
        with self._web.get(self._address) as body:
            return Kind.FILE if self._declares_duration(body) else Kind.ENDLESS

    def _declares_duration(self, body: Body) -> bool:
        with opened(body, self.reference) as container:
            return bool(container.duration)

    def _recorded(self, file: Any) -> Iterator[Capture]:
        with closing(file), opened(file, self.reference) as container:
            stream = video_of(container, self.reference)
            origin = (container.start_time or 0) / av.time_base
            length = (container.duration or 0) / av.time_base
            begin = begun(self._started_at, _written(file), length) or datetime.now(UTC)
            skip = Skip(seconds=origin + self._start if self._start else 0.0)
            timeline = Timeline(begin, origin)
            pictures = recording(
                container, stream, self.reference, timeline, skip, self._stopped, self._tap
            )
            yield from self._announced(pictures, stream, is_file=True)

    def _segmented(self, segments: Segments) -> Iterator[Capture]:
        if not self.live:
            yield from self._recorded(segments)
            return
        with closing(segments), opened(segments, self.reference) as container:
            stream = video_of(container, self.reference)
            pictures = broadcast(
                container.demux(),
                stream,
                self._stopped,
                self._demand,
                self.reference,
                tap=self._tap,
            )
            yield from self._announced(paced(pictures, self._stopped), stream, is_file=False)

    def _broadcast(self, body: Body, form: str | None) -> Iterator[Capture]:
        with (
            closing(body),
            opened(body, self.reference, form=form, options=_LIVE_OPTIONS) as container,
        ):
            stream = video_of(container, self.reference)
            self._clock.counted = counts_only(container)
            pictures = broadcast(
                container.demux(),
                stream,
                self._stopped,
                self._demand,
                self.reference,
                self._clock,
                self._tap,
            )
            yield from self._announced(pictures, stream, is_file=False)

    def _announced(
        self, captures: Iterator[Capture], stream: Any, *, is_file: bool
    ) -> Iterator[Capture]:
        try:
            yield from introduced(captures, stream, self, is_file=is_file)
        except (av.FFmpegError, OSError) as error:
            raise translated(error, self.reference, opening=False) from error


def _written(file: Any) -> datetime:
    """When the server says the file was written; now where it does not say."""
    told = file.headers.get("Last-Modified") if isinstance(file, RemoteFile) else None
    try:
        return parsedate_to_datetime(told or "").astimezone(UTC)
    except ValueError:
        return datetime.now(UTC)
