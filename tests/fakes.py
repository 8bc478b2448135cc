"""Sources, sinks and listeners for tests: small, typed, honest about being doubles."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from streamkit.errors import SourceConnectionError, SourceError, StreamErrorCode
from streamkit.events import StatusUpdate
from streamkit.frame import Clock, Image, VideoFrame
from streamkit.predictions import Result
from streamkit.sources.base import Capture, Captures, Source, SourceProperties

START = datetime(2026, 1, 1, tzinfo=UTC)


def picture(number: int) -> Image:
    """A small picture that says which one it is."""
    return np.full((8, 8, 3), number % 251, np.uint8)


class Clip(Source):
    """A finite source of ``frames`` pictures, as fast as they are taken."""

    live = False

    def __init__(self, frames: int, *, fps: float = 25.0, ends_with: Exception | None = None):
        self.reference = f"clip of {frames}"
        self.properties: SourceProperties | None = None
        self._frames, self._fps, self._ends_with = frames, fps, ends_with
        self.interrupted = threading.Event()

    def read(self) -> Captures:
        self.properties = SourceProperties(8, 8, self._frames, True, self._fps)
        for number in range(self._frames):
            at = START + timedelta(seconds=number / self._fps)
            yield Capture(picture(number), at, Clock.PTS)
        if self._ends_with is not None:
            raise self._ends_with

    def interrupt(self) -> None:
        self.interrupted.set()


class Camera(Source):
    """A live source at ``fps``, paced by the clock, that can be unplugged, muted and plugged in."""

    live = True

    def __init__(self, fps: float = 100.0, *, declared: float = 30.0, present: bool = True):
        self.reference = f"camera at {fps}"
        self.properties: SourceProperties | None = None
        self.interrupted = threading.Event()
        self.silent = threading.Event()
        self.opened = self.closed = 0
        self._present = threading.Event()
        self._fps, self._declared = fps, declared
        if present:
            self._present.set()

    def unplug(self) -> None:
        """From now on it is lost, and cannot be opened."""
        self._present.clear()

    def plug(self) -> None:
        """It may be opened again."""
        self._present.set()

    def read(self) -> Captures:
        if not self._present.is_set():
            raise SourceConnectionError("nobody there", StreamErrorCode.REFUSED)
        self.opened += 1
        self.properties = SourceProperties(8, 8, -1, False, self._declared)
        try:
            yield from self._pictures()
        finally:
            self.closed += 1

    def _pictures(self) -> Captures:
        due, number = time.monotonic(), 0
        while not self.interrupted.wait(max(0.0, due - time.monotonic())):
            if not self._present.is_set():
                raise SourceError("unplugged", StreamErrorCode.LOST)
            due += 1.0 / self._fps
            if not self.silent.is_set():
                yield Capture(picture(number), datetime.now(UTC))
                number += 1
        raise SourceError("stopped", StreamErrorCode.INTERRUPTED)

    def interrupt(self) -> None:
        self.interrupted.set()


class Deaf(Source):
    """A source stuck in a native call that cannot be interrupted, for ``seconds``."""

    live = True

    def __init__(self, seconds: float) -> None:
        self.reference = "deaf"
        self.properties: SourceProperties | None = None
        self._seconds = seconds

    def read(self) -> Captures:
        time.sleep(self._seconds)
        if self.live:
            raise SourceError("woke", StreamErrorCode.TIMEOUT)
        yield Capture(picture(0), START)

    def interrupt(self) -> None:
        pass


class Collector:
    """A sink that remembers, and may be slow or fail on the way."""

    def __init__(self, before: Callable[[Result], object] | None = None) -> None:
        self.results: list[Result] = []
        self.closed_times = 0
        self._before = before
        self._changed = threading.Condition()

    def write(self, result: Result) -> None:
        if self._before is not None:
            self._before(result)
        with self._changed:
            self.results.append(result)
            self._changed.notify_all()

    def close(self) -> None:
        self.closed_times += 1

    def await_results(self, count: int, timeout: float = 20.0) -> None:
        """Wait until ``count`` results have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.results) >= count, timeout), (
                f"{len(self.results)} of {count} results came"
            )

    def ids(self, source_id: int = 0) -> list[int]:
        return [r.frame.frame_id for r in self.results if r.frame.source_id == source_id]


class Updates:
    """A status handler that remembers, and lets a test wait for a kind of update."""

    def __init__(self) -> None:
        self.all: list[StatusUpdate] = []
        self._changed = threading.Condition()

    def __call__(self, update: StatusUpdate) -> None:
        with self._changed:
            self.all.append(update)
            self._changed.notify_all()

    def of(self, event_type: str) -> list[StatusUpdate]:
        return [update for update in self.all if update.event_type == event_type]

    def wait_for(self, event_type: str, count: int = 1, timeout: float = 20.0) -> StatusUpdate:
        """The ``count``-th update of a kind."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.of(event_type)) >= count, timeout)
        assert arrived, f"{event_type} did not come; came: {[u.event_type for u in self.all][-9:]}"
        return self.of(event_type)[count - 1]


def numbers(frames: Sequence[VideoFrame]) -> list[dict[str, Any]]:
    """A model for ``init_with_custom_logic``: says which frame it saw."""
    return [{"frame": frame.frame_id, "source": frame.source_id} for frame in frames]


def until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Wait for something that nobody announces."""
    for _ in _ticks(timeout):
        if condition():
            return
    raise AssertionError("it did not happen")


def _ticks(timeout: float) -> Iterator[None]:
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while time.monotonic() < deadline:
        yield
        pause.wait(0.01)
