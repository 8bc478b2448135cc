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
from streamkit.sources.decoder import DecodeMode, DecodeOptions, Demand, Thrift
from streamkit.sources.decoding import broadcast, introduced, opened, translated, video_of
from streamkit.sources.tap import Tap, Tapped
from streamkit.sources.timing import CaptureClock

PREFIX = "replay:"


class ReplaySource(Thrift, Tapped, Source):
    """``replay:clip.mp4``: to try live behaviour, and to measure it, without a camera.

    Packets come when their time has come, ``speed`` times as fast; who is slow misses pictures, as
    with a camera. ``fps`` sets a rate of its own instead of the clip's. ``decode`` as for cameras.
    """

    def __init__(
        self,
        reference: str | Path,
        *,
        speed: float = 1.0,
        fps: float | None = None,
        decode: DecodeMode = "auto",
        motion_vectors: bool = False,
    ) -> None:
        if speed <= 0 or (fps is not None and fps <= 0):
            raise ConfigError("speed and fps of a replay are above 0")
        self.live = True
        self.reference = str(reference)
        self.properties: SourceProperties | None = None
        self._path = Path(self.reference.removeprefix(PREFIX))
        self._speed, self._fps = speed, fps
        self._demand = Demand(DecodeOptions(decode=decode, motion_vectors=motion_vectors))
        self._stopped = threading.Event()
        self._tap = Tap(self.reference)

    def interrupt(self) -> None:
        """Stop at once, also while waiting for the next picture's time."""
        self._stopped.set()

    def read(self) -> Captures:
        """Pictures until it is interrupted."""
        clock = CaptureClock(self.reference)
        clock.begin()
        with opened(str(self._path.absolute()), self.reference) as container:
            stream = video_of(container, self.reference)
            packets = self._paced(container, stream)
            try:
                pictures = broadcast(
                    packets, stream, self._stopped, self._demand, self.reference, clock, self._tap
                )
                yield from introduced(pictures, stream, self)
            except (av.FFmpegError, OSError) as error:
                raise translated(error, self.reference, opening=False) from error

    def _paced(self, container: InputContainer, stream: VideoStream) -> Iterator[av.Packet[Any]]:
        """The packets, each when it is due and with that as its time; after the last, the first.

        None says that the clip ends: its first picture needs none of those before it.
        """
        begun, number = time.monotonic(), 0
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        interval = 1 / (self._fps or self._speed * rate)
        tick = float(stream.time_base or 1 / 90000)
        while True:
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                due = number * interval
                if self._stopped.wait(max(0.0, begun + due - time.monotonic())):
                    return
                ahead = ((packet.pts or 0) - (packet.dts or 0)) * interval * rate
                packet.dts = round(due / tick)
                packet.pts = packet.dts + round(ahead)
                number += 1
                yield packet
            container.seek(0)
