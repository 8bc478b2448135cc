"""Where things are in a picture: anchors of boxes, points in polygons, steps across segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from streamkit.errors import ConfigError
from streamkit.predictions import Floats

Anchor: TypeAlias = Literal["bottom", "center", "top", "left", "right"]
"""Which point of a box stands for the object: the middle of a side, or of the box."""
Units: TypeAlias = Literal["pixels", "fractions"]
"""Of the picture's width and height: 0..1, so that a smaller picture changes nothing."""
Point: TypeAlias = tuple[float, float]
Points: TypeAlias = npt.NDArray[np.float64]
"""(N, 2) x, y."""
Flags: TypeAlias = npt.NDArray[np.bool_]

_PLACES: Final = {
    "bottom": (0.5, 1.0),
    "center": (0.5, 0.5),
    "top": (0.5, 0.0),
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
}


def anchors(boxes: Floats, anchor: Anchor) -> Points:
    """(N, 2): that point of each box, in pixels; not rounded, and outside where the box is."""
    across, down = _PLACES[anchor]
    sides = boxes.astype(np.float64)
    x = sides[:, 0] * (1 - across) + sides[:, 2] * across
    y = sides[:, 1] * (1 - down) + sides[:, 3] * down
    return np.stack((x, y), axis=1)


def placed(points: Sequence[Point], units: Units, size: tuple[int, int]) -> Points:
    """``points`` in pixels of a picture of ``size`` (width, height)."""
    pixels = np.array(points, np.float64).reshape(-1, 2)
    return pixels * np.array(size, np.float64) if units == "fractions" else pixels


def checked(points: Sequence[Point], units: Units, least: int, what: str) -> tuple[Point, ...]:
    """The same points. Raises ``ConfigError`` for too few, or what no fraction is."""
    if len(points) < least:
        raise ConfigError(f"{what}: give at least {least} points, like [[10, 20], [30, 40]]")
    if not np.isfinite(np.array(points, np.float64)).all():
        raise ConfigError(f"{what}: points must be finite numbers")
    if units == "fractions" and any(not -1 <= c <= 2 for point in points for c in point):
        raise ConfigError(f"{what}: with units: fractions, points are from 0 to 1")
    return tuple((float(x), float(y)) for x, y in points)


def inside(points: Points, polygon: Points) -> Flags:
    """(N,): whether each point is in the polygon, by the even-odd rule; exact, in floats.

    supervision's zone asks a raster of whole pixels instead: it rounds up, and pushes points that
    are outside of the picture to its edge, into zones that reach there.
    """
    after = np.roll(polygon, -1, axis=0)
    (x, y), (ax, ay), (bx, by) = points.T[:, :, None], polygon.T, after.T
    spans = (ay > y) != (by > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = ax + (y - ay) * (bx - ax) / (by - ay)
    odd: Flags = ((spans & (x < crossing)).sum(axis=1) % 2).astype(np.bool_)
    return odd


def beside(points: Points, start: Points, end: Points) -> Points:
    """(N,) pixels from the endless line through start and end; above 0: on the right-hand side of
    somebody who walks from start to end, as seen in the picture."""
    along = end - start
    away = along[0] * (points[:, 1] - start[1]) - along[1] * (points[:, 0] - start[0])
    distance: Points = away / np.hypot(*along)
    return distance


def meets(before: Points, after: Points, start: Points, end: Points) -> bool:
    """Whether the step from before to after, which changes sides of the endless line, passes
    between start and end."""
    step, along = after - before, end - start
    cross = step[0] * along[1] - step[1] * along[0]
    if cross == 0:
        return False
    place = (step[1] * (start[0] - before[0]) - step[0] * (start[1] - before[1])) / cross
    return bool(0 <= place <= 1)
