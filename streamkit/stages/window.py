"""Sums up what stages counted, per minute or any other window, in the frames' own time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from streamkit.errors import ConfigError
from streamkit.events import Event
from streamkit.predictions import Detections, Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.memory import StreamTime
from streamkit.stages.seen import Witness, tell

_LONGEST: Final = 1.0
"""Seconds a value is taken to have held at most, until the next frame."""


@dataclass(slots=True)
class _Sum:
    """One window so far. ``weight`` is in seconds."""

    number: int
    frames: int = 0
    total: float = 0.0
    weight: float = 0.0
    most: float = -math.inf
    least: float = math.inf
    events: int = 0


class Window(Stage):
    """Average (weighted by time), most and least of a value in each window, told as an event
    ``window`` with the first frame after it. Windows begin at whole multiples of ``seconds`` of
    UTC: minutes are the clock's. A window without a frame is not told; the one in which the stream
    ends is told with ``"partial": true``."""

    manifest: ClassVar = Manifest(
        "Window",
        Needs(stream=True),
        Gives(
            events=("window",),
            measures=("of", "begin", "seconds", "frames", "avg", "max", "min", "count"),
        ),
        stateful=True,
        examples=(
            {"window": {"seconds": 1}},
            {"steps": ["track", {"line": {"start": [320, 0], "end": [320, 360]}},
                       {"window": {"of": "events:line.in", "seconds": 2}}]},
        ),
    )  # fmt: skip

    def __init__(self, *, of: str = "objects", name: str = "window", seconds: float = 60.0) -> None:
        """``of``: ``objects`` (detections in the frame); a measure, like ``zone.count`` or
        ``line.classes.car.in``; or ``events:line.in``, which counts events of that kind.
        ``seconds``: the length of a window. Raises ``ConfigError``."""
        if not seconds > 0 or not of:
            raise ConfigError("seconds must be above 0, and of must name something")
        self._of, self._name, self._seconds = of, name, seconds
        self._kind = of.removeprefix("events:") if of.startswith("events:") else None
        self._time, self._at = StreamTime(), 0.0
        self._start: float | None = None
        self._sum: _Sum | None = None

    def __call__(self, result: Result) -> Result:
        value = self._value(result)
        if value is None:
            return result
        at = self._time(result.frame)
        elapsed, self._at = at - self._at, at
        if self._start is None:  # the stream's own time, which no clock turns back, as UTC
            self._start = result.frame.timestamp.timestamp()
        number = math.floor((self._start + at) / self._seconds + 1e-9)
        done = self._sum if self._sum is not None and self._sum.number != number else None
        if self._sum is None or done is not None:
            self._sum = _Sum(number)
        self._add(self._sum, value, min(elapsed, _LONGEST))
        events = [] if done is None else [self._told(done, result)]
        return tell(result, self._name, {"kind": "window", **self._summary(self._sum)}, events)

    def end(self, result: Result) -> Result:
        """What was summed up so far, and the events that the stream ends with."""
        if self._sum is not None:
            if self._kind is not None:
                self._sum.events += round(self._value(result) or 0)
            told = self._told(self._sum, result, partial=True)
            result.events = (*result.events, told)
            self._sum = None
        return result

    def _value(self, result: Result) -> float | None:
        """``None`` where there is nothing to sum up: another kind of prediction."""
        if self._kind is not None:
            return float(sum(event.kind == self._kind for event in result.events))
        if self._of == "objects":
            found = result.prediction
            return float(len(found)) if isinstance(found, Detections) else None
        return _number(result.measures, self._of)

    def _add(self, into: _Sum, value: float, elapsed: float) -> None:
        into.frames += 1
        into.total += value * elapsed
        into.weight += elapsed
        into.most, into.least = max(into.most, value), min(into.least, value)
        into.events += round(value) if self._kind is not None else 0

    def _summary(self, done: _Sum) -> dict[str, Any]:
        begin = datetime.fromtimestamp(done.number * self._seconds, UTC)
        told: dict[str, Any] = {"of": self._of, "begin": begin.isoformat().replace("+00:00", "Z")}
        told |= {"seconds": self._seconds, "frames": done.frames}
        if self._kind is not None:
            return told | {"count": done.events}
        mean = done.total / done.weight if done.weight else done.most
        return told | {"avg": round(mean, 4), "max": done.most, "min": done.least}

    def _told(self, done: _Sum, result: Result, *, partial: bool = False) -> Event:
        data = self._summary(done) | ({"partial": True} if partial else {})
        return Witness(result, self._name).event("window", None, data)


def _number(measures: Mapping[str, Any], path: str) -> float | None:
    """The value at ``zone.count``; 0 for a class that was not seen yet, ``None`` for no stage."""
    first, *rest = path.split(".")
    value: Any = measures.get(first)
    if value is None:
        return None
    for key in rest:
        value = value.get(key, 0) if isinstance(value, Mapping) else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"window: {path!r} is not a number")
    return float(value)
