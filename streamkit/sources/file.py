"""A recorded video: every picture once, in order, with the times its container gives them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
from av.container import InputContainer

from streamkit.errors import ConfigError, SourceError, StreamErrorCode
from streamkit.sources.base import Capture, Captures, Source, SourceProperties
from streamkit.sources.connection import failure
from streamkit.sources.decoding import (
    Skip,
    Timeline,
    introduced,
    opened,
    recording,
    translated,
    video_of,
)
from streamkit.sources.recorded import Start, begun, start_of
from streamkit.sources.tap import Tap, Tapped
from streamkit.sources.truncation import missing_bytes

_SIGNS_OF_A_CUT = (StreamErrorCode.CODEC_UNSUPPORTED, StreamErrorCode.CORRUPT)


class FileSource(Tapped, Source):
    """A video file. ``start`` (seconds) or ``start_frame`` skip its beginning, exactly.

    ``started_at`` is when its first picture was taken (see ``recorded.Start``; ``mtime``: the
    file's own time less its duration); otherwise that is the container's ``creation_time``, or as
    ``mtime``. Its pictures follow at the container's own times, whatever its rate does.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start: float = 0.0,
        start_frame: int = 0,
        started_at: Start = None,
    ) -> None:
        if start < 0 or start_frame < 0:
            raise ConfigError("start and start_frame cannot be negative")
        self.live = False
        self.path = Path(path)
        self.reference = str(path)
        self.properties: SourceProperties | None = None
        self._start, self._start_frame = start, start_frame
        self._started_at = start_of(started_at)
        self._stopped = threading.Event()
        self._tap = Tap(self.reference)

    def interrupt(self) -> None:
        """Stop at the next packet."""
        self._stopped.set()

    def read(self) -> Captures:
        """Every picture. Raises ``SourceError`` CORRUPT after the last one of a damaged file."""
        missing = self._missing()
        try:
            # An absolute path, so that no name can be taken for a protocol.
            with opened(str(self.path.absolute()), self.reference) as container:
                yield from self._pictures(container)
        except SourceError as error:
            if missing and error.code in _SIGNS_OF_A_CUT:
                raise self._cut_short(missing) from error
            raise
        if missing and not self._stopped.is_set():
            raise self._cut_short(missing)

    def _pictures(self, container: InputContainer) -> Iterator[Capture]:
        stream = video_of(container, self.reference)
        begin = _begun(self._started_at, container, self.path)
        origin = (container.start_time or 0) / av.time_base
        skip = Skip(frames=self._start_frame)
        try:
            if self._start:
                skip.seconds = origin + self._start
                container.seek(int(skip.seconds * av.time_base))
            timeline = Timeline(begin, origin)
            pictures = recording(
                container, stream, self.reference, timeline, skip, self._stopped, self._tap
            )
            yield from introduced(pictures, stream, self, is_file=True, created=begin)
        except (av.FFmpegError, OSError) as error:
            raise translated(error, self.reference, opening=False) from error

    def _missing(self) -> int:
        """How many bytes the file lacks. Raises ``SourceConnectionError`` if there is no file."""
        try:
            if self.path.stat().st_size == 0:
                raise failure(self.reference, "the file is empty", StreamErrorCode.CORRUPT)
            return missing_bytes(self.path)
        except OSError as error:
            raise translated(error, self.reference, opening=True) from error

    def _cut_short(self, missing: int) -> SourceError:
        text = f"{self.reference}: the file is cut short, {missing} bytes or more are missing"
        return SourceError(text, StreamErrorCode.CORRUPT, source_reference=self.reference)


def _begun(start: Start, container: InputContainer, path: Path) -> datetime:
    """When the first picture was taken, as told or as well as the file can tell."""
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    length = (container.duration or 0) / av.time_base
    if (given := begun(start, written, length)) is not None:
        return given
    tag = container.metadata.get("creation_time", "")
    try:
        created = datetime.fromisoformat(tag)
    except ValueError:
        created = None
    if created is not None and created.year > 1990:  # cameras without a clock say 1904 or 1970
        return created if created.tzinfo else created.replace(tzinfo=UTC)
    return written - timedelta(seconds=length)
