"""A clip played as if it were a camera: live, at its own pace, round and round."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamkit.errors import ConfigError
from streamkit.sources.base import Captures, Source, SourceProperties
from streamkit.sources.decoding import broadcast, introduced, opened, translated, video_of

PREFIX = "replay:"


class ReplaySource(Source):
    """``replay:clip.mp4``: to try live behaviour, and to measure it, without a camera.

    Packets come when their time has come, ``speed`` times as fast; who is slow misses pictures, as
    with a camera. ``fps`` sets a rate of its own instead of the clip's.
    """

    def __init__(
        self, reference: str | Path, *, speed: float = 1.0, fps: float | None = None
    ) -> None:
        if speed <= 0 or (fps is not None and fps <= 0):
            raise ConfigError("speed and fps of a replay are above 0")
        self.live = True
        self.reference = str(reference)
        self.properties: SourceProperties | None = None
        self._path = Path(self.reference.removeprefix(PREFIX))
        self._speed, self._fps = speed, fps
        self._stopped = threading.Event()

    def interrupt(self) -> None:
        """Stop at once, also while waiting for the next picture's time."""
        self._stopped.set()

    def read(self) -> Captures:
        """Pictures until it is interrupted."""
        with opened(str(self._path.absolute()), self.reference) as container:
            stream = video_of(container, self.reference)
            try:
                pictures = broadcast(self._paced(container, stream), stream, self._stopped)
                yield from introduced(pictures, stream, self)
            except (av.FFmpegError, OSError) as error:
                raise translated(error, self.reference, opening=False) from error

    def _paced(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[Any]]:
        """The packets, each when it is due; again from the beginning after the last."""
        begun, number = time.monotonic(), 0
        interval = 1 / (self._fps or self._rate(stream))
        while True:
            for packet in container.demux(stream):
                due = begun + number * interval
                if packet.size and self._stopped.wait(max(0.0, due - time.monotonic())):
                    return
                number += bool(packet.size)
                yield packet
            stream.codec_context.flush_buffers()
            container.seek(0)

    def _rate(self, stream: VideoStream) -> float:
        rate = stream.average_rate or stream.guessed_rate
        return self._speed * float(rate or 25.0)
