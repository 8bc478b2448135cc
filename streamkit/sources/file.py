"""A recorded video: every picture once, in order, with the times its container gives them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamkit.errors import ConfigError, SourceError, StreamErrorCode
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.connection import failure
from streamkit.sources.decoding import (
    Skip,
    Timeline,
    declared,
    opened,
    recording,
    translated,
    video_of,
)
from streamkit.sources.truncation import missing_bytes


class FileSource(Source):
    """A video file. ``start`` (seconds) or ``start_frame`` skip its beginning exactly.

    ``started_at`` is when its first picture was taken; otherwise that is the container's
    ``creation_time``, or the file's time less its duration.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start: float = 0.0,
        start_frame: int = 0,
        started_at: datetime | None = None,
    ) -> None:
        if start < 0 or start_frame < 0:
            raise ConfigError("start and start_frame cannot be negative")
        self.live = False
        self.path = Path(path)
        self.reference = str(path)
        self.properties: SourceProperties | None = None
        self._start, self._start_frame = start, start_frame
        self._started_at = started_at
        self._stopped = threading.Event()

    def interrupt(self) -> None:
        """Stop at the next packet."""
        self._stopped.set()

    def read(self) -> Captures:
        """Every picture. Raises ``SourceError`` CORRUPT after the last one of a damaged file."""
        self._look()
        with opened(str(self.path.absolute()), self.reference) as container:
            stream = video_of(container, self.reference)
            begin = self._begin(container)
            self.properties = declared(container, stream, is_file=True, created=begin)
            yield from self._pictures(container, stream, begin)
        self._complain_if_cut()

    def _pictures(
        self, container: InputContainer, stream: VideoStream, begin: datetime
    ) -> Iterator[Capture]:
        origin = (container.start_time or 0) / av.time_base
        skip = Skip(frames=self._start_frame)
        try:
            if self._start:
                skip.seconds = origin + self._start
                container.seek(int(skip.seconds * av.time_base))
            yield from recording(
                container, stream, Timeline(begin, origin), skip, self._stopped
            )
        except (av.FFmpegError, OSError) as error:
            raise translated(error, self.reference, opening=False) from error
