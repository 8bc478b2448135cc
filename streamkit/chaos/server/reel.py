"""What a camera shows: coded pictures, each with the moment (monotonic) it is due."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any, Protocol

from .gst import Gst
from .picture import draw
from .units import Film, Unit, encoder, unit_of

Moment = int
"""Nanoseconds of the monotonic clock, which is GStreamer's system clock."""


class Condition:
    """What is wrong with a camera's pictures just now; feeding threads look at it each picture."""

    def __init__(self) -> None:
        self.fps: float | None = None
        self.stalled = False
        self.gap = False
        self.frozen = False
        self.still: Film | None = None
        """The one picture of a frozen camera, the same for every viewer."""
        self.substitute: Film | None = None


class Reel(Protocol):
    """Pictures for one viewer (a media that any number of clients share)."""

    kind: str
    caps: Any
    size: tuple[int, int]
    fps: float
    has_deltas: bool

    def play(self, condition: Condition, gone: threading.Event) -> Iterator[tuple[Unit, Moment]]:
        """Yield each picture when it is due, until ``gone``; the first is a key frame."""


class ClipReel:
    """A film round and round, from its beginning for each viewer."""

    def __init__(self, film: Film, fps: float | None) -> None:
        self.film, self.kind, self.caps, self.size = film, film.kind, film.caps, film.size
        self.fps = fps or film.declared_fps
        self.has_deltas = any(unit.delta for unit in film.units)

    def play(self, condition: Condition, gone: threading.Event) -> Iterator[tuple[Unit, Moment]]:
        """One picture each interval of the real clock, whatever the clip declares."""
        due, number, units = time.monotonic_ns(), 0, self.film.units
        while not gone.wait(max(0.0, (due - time.monotonic_ns()) / 1e9)):
            yield units[number % len(units)], due
            number += 1
            due += int(1e9 / (condition.fps or self.fps))


class ClockReel:
    """Pictures drawn and encoded as they are captured, while anybody looks."""

    def __init__(
        self, kind: str, size: tuple[int, int], fps: float, gop: int, b_frames: int
    ) -> None:
        self.kind, self.size, self.fps = kind, size, fps
        self.has_deltas = kind != "image/jpeg" and gop > 1
        self.caps: Any = None
        self._numbers = count()
        self._code = encoder(kind, gop, b_frames)

    def play(self, condition: Condition, gone: threading.Event) -> Iterator[tuple[Unit, Moment]]:
        """Each viewer has an encoder of its own, so it begins with a key frame."""
        ready: queue.Queue[tuple[Unit, Moment]] = queue.Queue(100)
        pipeline, origin = self._pipeline(), time.monotonic_ns()
        output = pipeline.get_by_name("o")
        output.connect("new-sample", self._coded, ready, origin)
        pipeline.set_state(Gst.State.PLAYING)
        drawing = threading.Thread(
            target=self._draw,
            args=(pipeline.get_by_name("i"), origin, condition, gone),
            daemon=True,
        )
        drawing.start()
        try:
            while not gone.is_set():
                try:
                    yield ready.get(timeout=0.1)
                except queue.Empty:
                    continue
        finally:
            gone.set()
            drawing.join()
            pipeline.set_state(Gst.State.NULL)

    def _pipeline(self) -> Any:
        width, height = self.size
        rate = f"{round(self.fps * 1000)}/1000"
        raw = f"video/x-raw,format=I420,width={width},height={height},framerate={rate}"
        return Gst.parse_launch(
            f"appsrc name=i format=time max-buffers=4 max-bytes=0 caps={raw} ! {self._code} "
            "! appsink name=o sync=false emit-signals=true"
        )

    def _coded(self, output: Any, ready: Any, origin: Moment) -> Any:
        sample = output.pull_sample()
        caps = sample.get_caps()
        if self.caps is None or not caps.is_equal(self.caps):
            self.caps = caps  # a new object each time: setting it anew costs the media memory
        buffer = sample.get_buffer()
        # Encoders move times by hours and say so in the segment, so that none is negative.
        since = sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts)
        if not ready.full():
            ready.put((unit_of(buffer), origin + since))
        return Gst.FlowReturn.OK

    def _draw(
        self, source: Any, origin: Moment, condition: Condition, gone: threading.Event
    ) -> None:
        """The capture: the moment is read, then burned in and handed on with the picture."""
        due = time.monotonic_ns()
        while not gone.wait(max(0.0, (due - time.monotonic_ns()) / 1e9)):
            captured, moment = time.time_ns() // 1000, time.monotonic_ns()
            buffer = Gst.Buffer.new_wrapped(draw(next(self._numbers), captured, self.size))
            buffer.pts = moment - origin
            if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return
            due = max(due + int(1e9 / (condition.fps or self.fps)), time.monotonic_ns() - 10**9)
