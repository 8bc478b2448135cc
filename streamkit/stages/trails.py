"""The paths that tracked objects took in the last seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

from streamkit.errors import ConfigError
from streamkit.predictions import Detections, Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.memory import Memory, StreamTime
from streamkit.stages.places import Anchor, anchors
from streamkit.stages.seen import ids, tell, tracks


@dataclass(slots=True)
class _Trail:
    """(seconds, x, y), oldest first."""

    steps: deque[tuple[float, float, float]] = field(default_factory=deque)


class Trails(Stage):
    """Where each track was, for who draws or stores it: at most ``points`` of the last ``seconds``,
    evenly spread in time."""

    manifest: ClassVar = Manifest(
        "Trails",
        Needs(("detections",), tracks=True, stream=True),
        Gives(measures=("paths",)),
        stateful=True,
        examples=({"steps": ["track", {"trails": {"seconds": 2}}]},),
    )

    def __init__(
        self,
        *,
        name: str = "trails",
        anchor: Anchor = "bottom",
        seconds: float = 3.0,
        points: int = 32,
    ) -> None:
        """``seconds``: how far back. ``points``: of one path, at most. Raises ``ConfigError``."""
        if seconds <= 0 or not 2 <= points <= 1000:
            raise ConfigError("seconds must be above 0, points from 2 to 1000")
        self._name, self._anchor, self._seconds = name, anchor, seconds
        self._apart = seconds / points
        self._time, self._trails = StreamTime(), Memory(_Trail, seconds)

    def __call__(self, result: Result) -> Result:
        if not isinstance(result.prediction, Detections):
            return result
        found, at = tracks(result.prediction, self._name), self._time(result.frame)
        places = anchors(found.xyxy, self._anchor).tolist()
        for track, place in zip(ids(found), places, strict=True):
            if result.inferred:
                self._walk(self._trails.seen(track, at).steps, at, place)
        self._trails.forget(at)
        paths = [
            {"tracker_id": track, "points": [[x, y] for _, x, y in trail.steps]}
            for track in ids(found)
            if (trail := self._trails.get(track)) is not None
        ]
        return tell(result, self._name, {"kind": "trails", "paths": paths})

    def _walk(
        self, steps: deque[tuple[float, float, float]], at: float, place: list[float]
    ) -> None:
        """The newest place is always there; those before it keep their distance in time."""
        if len(steps) > 1 and steps[-1][0] - steps[-2][0] < self._apart:
            steps.pop()
        steps.append((at, place[0], place[1]))
        while at - steps[0][0] > self._seconds:
            steps.popleft()
