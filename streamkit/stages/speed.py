"""How fast tracked objects move, and which way: in pixels, or in metres over the ground."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from streamkit.errors import ConfigError
from streamkit.events import Event
from streamkit.predictions import Detections, Result
from streamkit.stages.base import Gives, Manifest, Needs, Stage
from streamkit.stages.memory import Memory, StreamTime
from streamkit.stages.places import Anchor, Point, Points, Units, anchors, checked, placed
from streamkit.stages.seen import Witness, ids, tell, tracks

_LEAST: Final = 0.2
"""Seconds a track must have been seen for before its speed is told."""
_CALM: Final = 0.9
"""Share of the limit below which a speeding object is slow again."""
_MOST: Final = 256
"""Positions kept of one track."""


@dataclass(slots=True)
class _Path:
    """The last positions of one track, (seconds, x, y), and whether it was told as too fast."""

    steps: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=_MOST))
    fast: bool = False


class Speed(Stage):
    """Speed and heading of each track over the last ``window`` seconds, by a straight line through
    its positions: one trembling box changes little."""

    manifest: ClassVar = Manifest(
        "Speed and heading",
        Needs(("detections",), tracks=True, stream=True),
        Gives(events=("speed.over",), measures=("unit", "tracks")),
        stateful=True,
        examples=(
            {"steps": ["track", {"speed": {"limit": 60}}]},
            {"steps": ["track", {"speed": {
                "picture": [[100, 100], [500, 100], [600, 350], [20, 350]],
                "ground": [[0, 20], [8, 20], [8, 0], [0, 0]], "limit": 1.5}}]},
        ),
    )  # fmt: skip

    def __init__(
        self,
        *,
        picture: Sequence[Point] = (),
        ground: Sequence[Point] = (),
        name: str = "speed",
        anchor: Anchor = "bottom",
        window: float = 1.0,
        limit: float | None = None,
        units: Units = "pixels",
    ) -> None:
        """``picture``: four points of the picture, no three in a row. ``ground``: where they are on
        the ground, in metres; without them speeds are in pixels per second. ``window``: seconds
        over which a speed is taken. ``limit``: tell
        ``speed.over`` once for each time a track is faster. Raises ``ConfigError``."""
        if window < _LEAST or (limit is not None and limit <= 0):
            raise ConfigError(f"window must be at least {_LEAST} s, limit above 0")
        if len(picture) != len(ground) or len(picture) not in (0, 4):
            raise ConfigError("picture and ground: give four points each, or neither")
        self._picture = checked(picture, units, 4, "picture") if picture else ()
        self._ground = checked(ground, "pixels", 4, "ground") if ground else ()
        if self._picture:
            homography(np.array(self._picture), np.array(self._ground))
        self._units, self._anchor, self._name = units, anchor, name
        self._window, self._limit = window, limit
        self._time, self._paths = StreamTime(), Memory(_Path, 2 * window)

    def __call__(self, result: Result) -> Result:
        if not isinstance(result.prediction, Detections):
            return result
        found, at = tracks(result.prediction, self._name), self._time(result.frame)
        if result.inferred:
            self._learn(found, at)
        told = [{"tracker_id": t, **m} for t in ids(found) if (m := self._motion(t)) is not None]
        unit = "m/s" if self._picture else "px/s"
        measure = {"kind": "speed", "unit": unit, "tracks": told}
        return tell(result, self._name, measure, self._fast(result, told))

    def _learn(self, found: Detections, at: float) -> None:
        points = anchors(found.xyxy, self._anchor)
        if self._picture:
            here = placed(self._picture, self._units, found.image_size)
            points = mapped(homography(here, np.array(self._ground)), points, here)
        for track, (x, y) in zip(ids(found), points.tolist(), strict=True):
            steps = self._paths.seen(track, at).steps
            if np.isfinite((x, y)).all():  # else it is on the horizon, or above it
                steps.append((at, x, y))
            while steps and at - steps[0][0] > self._window:
                steps.popleft()
        self._paths.forget(at)

    def _motion(self, track: int) -> dict[str, float] | None:
        path = self._paths.get(track)
        if path is None or not path.steps or path.steps[-1][0] - path.steps[0][0] < _LEAST:
            return None
        seen = np.array(path.steps)
        seconds = seen[:, 0] - seen[:, 0].mean()
        x, y = (seconds @ seen[:, 1:] / (seconds @ seconds)).tolist()
        up = y if self._picture else -y
        heading = float(np.degrees(np.arctan2(x, up))) % 360
        return {"speed": round(float(np.hypot(x, y)), 3), "heading": round(heading, 1)}

    def _fast(self, result: Result, told: Sequence[dict[str, float]]) -> list[Event]:
        if self._limit is None or not result.inferred:
            return []
        witness, events = Witness(result, self._name), []
        for motion in told:
            track = int(motion["tracker_id"])
            path = self._paths.get(track)
            if path is not None and not path.fast and motion["speed"] > self._limit:
                path.fast = True
                data = {"speed": motion["speed"], "heading": motion["heading"]}
                events.append(witness.event("speed.over", track, data))
            elif path is not None and motion["speed"] < _CALM * self._limit:
                path.fast = False
        return events


def homography(picture: Points, ground: Points) -> Points:
    """(3, 3) from points of the picture to points of the ground, by four of each. Raises
    ``ConfigError`` where three of them are in a row."""
    for points, name in ((picture, "picture"), (ground, "ground")):
        if _smallest(points) < 1e-9 * float(np.ptp(points, axis=0).max() or 1.0) ** 2:
            raise ConfigError(f"{name}: three of its four points are in a row, or two are one")
    rows, values = [], []
    for (x, y), (u, v) in zip(picture.tolist(), ground.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)


def _smallest(points: Points) -> float:
    """The area of the smallest triangle of three of them."""
    areas = []
    for left_out in range(4):
        a, b, c = np.delete(points, left_out, axis=0)
        areas.append(abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) / 2)
    return float(min(areas))


def mapped(matrix: Points, points: Points, known: Points | None = None) -> Points:
    """(N, 2): where the points are on the ground; NaN for what is not on the same side of the
    horizon as the ``known`` ones, where the matrix has the ground behind the camera, mirrored."""
    there = _projected(matrix, points)
    with np.errstate(divide="ignore", invalid="ignore"):
        ground: Points = there[:, :2] / there[:, 2:]
    if known is not None:
        side = np.sign(_projected(matrix, known)[0, 2])
        ground[np.sign(there[:, 2]) != side] = np.nan
    return ground


def _projected(matrix: Points, points: Points) -> Points:
    """(N, 3): homogeneous."""
    return np.column_stack((points, np.ones(len(points)))) @ matrix.T
