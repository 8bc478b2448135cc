"""The newest results of a pipeline, numbered, for whoever asks: once, or from a number on."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from streamkit.predictions import Prediction, Result


@dataclass(frozen=True, slots=True)
class Kept:
    """A result without its picture; made JSON when somebody asks for it."""

    number: int
    frame: dict[str, Any]
    """The frame's number, time and source, with the neighbour's keys."""
    said: dict[str, Any]
    """What the stages told and counted."""
    prediction: Any

    def output(self) -> dict[str, Any]:
        """What was found, what happened, what was counted; the wire form."""
        found = self.prediction
        return {
            "predictions": found.dict() if isinstance(found, Prediction) else found,
            **self.said,
        }

    def dict(self) -> dict[str, Any]:
        """All of it."""
        return {"cursor": self.number, **self.frame, **self.output()}


class Results:
    """Keeps the newest ``room`` results; what nobody has read when it goes is counted. Those of a
    pipeline that is taken ``up_again`` have higher numbers than any before, of which nothing is
    kept: milliseconds since 1970 and on, as no pipeline has a thousand results a second for long.

    ``write`` is called by a pipeline, everything else from any thread; nobody waits in here.
    """

    def __init__(self, room: int, *, up_again: bool = False) -> None:
        self.began = int(time.time() * 1000) if up_again else 1
        """The first number."""
        self._lock = threading.Lock()
        self._told: dict[object, Callable[[], None]] = {}
        self._kept: deque[Kept] = deque(maxlen=room)
        self._last = self.began - 1
        self._taken = 0
        self.missed = 0
        """Results that were gone before anybody took them."""
        self.asked = time.monotonic()
        """When somebody last got one."""
        self.over = False

    def write(self, result: Result) -> None:
        """The next one."""
        frame = result.frame
        about = {
            "frame_id": frame.frame_id,
            "frame_timestamp": frame.timestamp.isoformat(),
            "source_id": frame.source_id,
        }
        events = [event.dict() for event in result.events]
        said = {"events": events, "measures": dict(result.measures)}
        with self._lock:
            if len(self._kept) == self._kept.maxlen and self._kept[0].number > self._taken:
                self.missed += 1
            self._last += 1
            self._kept.append(Kept(self._last, about, said, result.prediction))
            told = list(self._told.values())
        for tell in told:
            tell()

    def close(self) -> None:
        """No more will come."""
        with self._lock:
            self.over = True
            told = list(self._told.values())
        for tell in told:
            tell()

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """``tell()`` is called when there are more, and at the end, by the thread that has them: it
        must be quick."""
        mark = object()
        with self._lock:
            self._told[mark] = tell
        try:
            yield
        finally:
            with self._lock:
                del self._told[mark]

    @property
    def last(self) -> int:
        """The number of the newest; 0: there was none."""
        return 0 if self._last < self.began else self._last

    def take(self, most: int = 1) -> list[Kept]:
        """The oldest that nobody has taken; now they have."""
        with self._lock:
            found = [kept for kept in self._kept if kept.number > self._taken][:most]
            if found:
                self._taken = found[-1].number
                self.asked = time.monotonic()
            return found

    def after(self, cursor: int, most: int) -> list[Kept]:
        """Those with a higher number, oldest first. A number that was never given is one of before
        the server began anew: all there are."""
        with self._lock:
            cursor = 0 if cursor > self._last else cursor
            found = [kept for kept in self._kept if kept.number > cursor][:most]
            if found:
                self.asked = time.monotonic()
            return found
