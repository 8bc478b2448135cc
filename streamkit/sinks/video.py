"""Records pictures as H.264 in MP4, at the times they were really captured."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from streamkit.errors import ConfigError, SinkError
from streamkit.frame import Image, VideoFrame
from streamkit.imaging.layout import Size, blank, mosaic, size_of
from streamkit.predictions import Result
from streamkit.sinks.base import Sink
from streamkit.sinks.encoder import Encoding
from streamkit.sinks.recording import Recording
from streamkit.sinks.render import Annotators, FpsMonitor, Monitor, Painter
from streamkit.sinks.timeline import Timeline
from streamkit.sinks.writers import refuse_written

log = logging.getLogger(__name__)

_HD: Size = (1280, 720)


class VideoFileSink(Sink):
    """One file, whatever its name ends in: an MP4 that browsers play.

    One source: every picture at its own time (microseconds, gaps and varying rates kept). Several:
    a mosaic of the newest picture of each, ``fps`` times a second at most. While it grows, the
    file is readable up to the last two seconds, also after a crash; ``close`` makes it seekable
    everywhere. After an error (a full disk) it stays as it is and every ``write`` says so.
    """

    capacity = 8
    harmless = True

    def __init__(
        self,
        path: str | Path,
        *,
        size: Size | None = None,
        fps: float = 25.0,
        codec: str = "h264",
        crf: int = 23,
        preset: str = "veryfast",
        threads: int = 2,
    ) -> None:
        """``size`` (width, height): that of the first picture unless given; others are letterboxed.

        ``fps`` is for mosaics and for sources whose clocks stand still. The directory is created
        now, the file with the first picture. Raises ``ConfigError``, ``SinkError``.
        """
        if fps <= 0 or (size is not None and min(size) < 2):
            raise ConfigError("fps must be above 0, and a size at least 2 x 2")
        self.path = Path(path)
        refuse_written(self.path)
        self._size = None if size is None else (size[0], size[1])
        self._encoding = Encoding(codec, crf, preset, threads)
        self._interval = round(750_000 / fps)  # three quarters: a clock that jitters is not late
        self._timeline = Timeline(fps)
        self._latest: dict[Hashable, Image] = {}
        self._places: list[int | None] = []
        """Whose pictures stand where in the lists that ``on_prediction`` gets, as far as known."""
        self._written = -self._interval
        self._recording: Recording | None = None
        self._ended: str | None = None
        self._painter = Painter(display_size=None)
        _make_room_for(self.path)

    @classmethod
    def init(  # noqa: PLR0913 - the neighbour's signature
        cls,
        video_file_name: str,
        annotator: Annotators = None,
        display_size: Size | None = _HD,
        fps_monitor: FpsMonitor = Monitor.OWN,
        display_statistics: bool = False,
        output_fps: int = 25,
        quiet: bool = False,
        video_frame_size: Size = _HD,
    ) -> VideoFileSink:
        """The neighbour's constructor; use ``on_prediction`` and ``release``.

        ``output_fps`` matters only where the frames' own times are unusable.
        """
        sink = cls(video_file_name, size=video_frame_size, fps=output_fps)
        sink._painter = Painter(annotator, display_size, fps_monitor, display_statistics)
        log.log(logging.DEBUG if quiet else logging.INFO, "recording to %s", video_file_name)
        return sink

    def write(self, result: Result) -> None:
        """Record ``result.image``. Raises ``SinkError``."""
        self._take(result.frame, result.image)

    def on_prediction(
        self, predictions: Any, video_frame: VideoFrame | Sequence[VideoFrame | None]
    ) -> None:
        """Draw and record; lists become one mosaic, in which a source keeps its last picture."""
        if isinstance(video_frame, VideoFrame):
            self._take(video_frame, self._painter.single(predictions, video_frame))
        else:
            self._take_batch(predictions, video_frame)

    def close(self) -> None:
        """Finish the file; a recording without pictures leaves none. Raises ``SinkError``."""
        try:
            if self._recording and self._timeline.newest > self._written:
                self._record(self._mosaic(), self._timeline.newest)
        finally:
            self._ended = self._ended or "it was closed"
            recording, self._recording = self._recording, None
            if recording:
                recording.finish()
                log.info("recorded %s", self.path)

    def forget(self, source_id: int) -> None:
        """This source is gone: its last picture leaves the mosaic."""
        self._latest.pop(source_id, None)
        self._timeline.forget(source_id)

    def release(self) -> None:
        """The neighbour's name for ``close``."""
        self.close()

    def __enter__(self) -> VideoFileSink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, frame: VideoFrame, image: Image) -> None:
        self._latest[frame.source_id] = image
        position = self._timeline.place(frame.source_id, frame.timestamp)
        if len(self._latest) == 1:
            self._record(image, position)
        elif position - self._written >= self._interval:
            self._record(self._mosaic(), position)

    def _take_batch(self, predictions: Sequence[Any], frames: Sequence[VideoFrame | None]) -> None:
        size = self._size = self._size or _HD
        self._follow(frames)
        for index in range(len(frames)):
            self._latest.setdefault(index, blank((16, 16)))
        for index, picture in self._painter.batch(predictions, frames, size).items():
            self._latest[index] = picture
        positions = [
            self._timeline.place(index, frame.timestamp)
            for index, frame in enumerate(frames)
            if frame is not None
        ]
        if positions:
            self._record(self._mosaic(), max(positions))

    def _follow(self, frames: Sequence[VideoFrame | None]) -> None:
        """Where sources were added or removed, no tile keeps a picture of another one."""
        ids = [None if frame is None else frame.source_id for frame in frames]
        known = zip(ids, self._places, strict=False)
        if len(ids) != len(self._places) or any(
            now is not None and before is not None and now != before for now, before in known
        ):
            for index in range(len(ids), len(self._places)):
                self._timeline.forget(index)
            self._latest, self._places = {}, ids
        else:
            self._places = [
                before if now is None else now
                for now, before in zip(ids, self._places, strict=True)
            ]

    def _mosaic(self) -> Image:
        order = sorted(self._latest, key=lambda source_id: (source_id is None, source_id))
        return mosaic([self._latest[source_id] for source_id in order], self._size or _HD)

    def _record(self, image: Image, position: int) -> None:
        if self._ended:
            raise SinkError(f"{self.path} takes no more pictures: {self._ended}")
        try:
            if self._recording is None:
                self._size = self._size or size_of(image)
                self._recording = Recording(self.path, self._size, self._encoding)
            self._recording.add(image, position)
            self._written = position
        except SinkError as error:
            self._end(error)
            raise

    def _end(self, error: SinkError) -> None:
        self._ended = str(error)
        recording, self._recording = self._recording, None
        if recording:
            recording.abandon()


def _make_room_for(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.filename}: {error.strerror}") from error
    if path.is_dir():
        raise SinkError(f"cannot write {path}: it is a directory")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SinkError(f"cannot write {path}: it may not be written")
