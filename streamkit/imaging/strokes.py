"""Single strokes: boxes with square or round corners, dashed ones, areas that shine through."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from streamkit.frame import Image
from streamkit.imaging.layout import Size
from streamkit.imaging.palette import Color
from streamkit.imaging.style import Corners
from streamkit.masks import Bitmap
from streamkit.predictions import Floats

Points: TypeAlias = npt.NDArray[np.int32]
"""(N, 2) x, y in whole pixels."""

_FARTHEST: Final = 16_000
"""Pixels from the origin: OpenCV counts in 16 bits and a fraction."""
_DASHES: Final = 24
"""At most so many along a side."""


def whole(points: object) -> Points | None:
    """``points`` as OpenCV draws them; ``None`` for what is no list of finite points."""
    try:
        table = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        return None
    if table.ndim != 2 or table.shape[1] != 2 or not len(table) or not np.isfinite(table).all():
        return None
    points_there: Points = np.rint(table.clip(-_FARTHEST, _FARTHEST)).astype(np.int32)
    return points_there


def corners_of(xyxy: Floats, size: Size) -> list[list[int]]:
    """Left, top, right, bottom of each box in whole pixels of a picture; NaN is 0."""
    limits = np.array([size[0] - 1, size[1] - 1] * 2, np.float32)
    finite = np.nan_to_num(np.asarray(xyxy, np.float32), nan=0.0)
    rows: list[list[int]] = np.rint(np.clip(finite, 0, limits)).astype(np.int32).tolist()
    return rows


def box(image: Image, sides: Sequence[int], color: Color, width: int, corners: Corners) -> None:
    """The outline of a box (left, top, right, bottom)."""
    left, top, right, bottom = sides
    radius = min(abs(right - left), abs(bottom - top)) // 5
    if corners == "square" or radius < 2:
        cv2.rectangle(image, (left, top), (right, bottom), color, width)
        return
    reach = min(radius, 7 * width)
    inner = np.array(((right, bottom), (left, bottom), (left, top), (right, top)))
    inward = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1))) * reach
    outline = (inner + inward)[:, None] + _quarters() * reach
    path = np.rint(outline * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(image, [path], True, color, width, cv2.LINE_AA, shift=4)


@cache
def _quarters() -> npt.NDArray[np.float64]:
    """(4, 7, 2): the quarters of a circle, clockwise from the lower right one."""
    angles = np.radians(np.arange(4)[:, None] * 90 + np.linspace(0, 90, 7))
    quarters = np.stack((np.cos(angles), np.sin(angles)), axis=2)
    quarters.flags.writeable = False
    return quarters


def dashed_box(image: Image, sides: Sequence[int], color: Color, width: int) -> None:
    """The outline of a box in dashes."""
    left, top, right, bottom = sides
    ends = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    dashes: list[Points] = []
    for start, end in pairwise(ends):
        length = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
        count = max(1, min(_DASHES, length // (6 * width)))
        steps = np.arange(2 * count)[:, None] / (2 * count - 1)
        points = np.array(start) + (np.array(end) - start) * steps
        dashes += list(np.rint(points).astype(np.int32).reshape(count, 2, 2))
    cv2.polylines(image, dashes, False, color, width)


def tint(image: Image, left: int, top: int, shape: Bitmap, color: Color, opacity: float) -> None:
    """Colour the pixels of ``shape`` (1 where they are), put at ``left``, ``top``; the picture
    shines through by what is missing of ``opacity`` to 1."""
    y, x = max(0, top), max(0, left)
    cut = shape[y - top : image.shape[0] - top, x - left : image.shape[1] - left]
    if not cut.size:
        return
    there = image[y : y + cut.shape[0], x : x + cut.shape[1]]
    tinted = cv2.LUT(there, _mixed(color, round(opacity * 100)))
    cv2.copyTo(tinted, np.ascontiguousarray(cut), there)


@lru_cache(maxsize=256)
def _mixed(color: Color, percent: int) -> npt.NDArray[np.uint8]:
    """(1, 256, 3): each value of each channel, mixed with the colour."""
    values, share = np.arange(256)[None, :, None], percent / 100
    table = np.rint(values * (1 - share) + np.array(color) * share).astype(np.uint8)
    table.flags.writeable = False
    return table


def area(image: Image, outline: Points, color: Color, opacity: float) -> None:
    """Tint the inside of a polygon."""
    low = np.maximum(outline.min(axis=0), 0)
    high = np.minimum(outline.max(axis=0) + 1, (image.shape[1], image.shape[0]))
    if (high <= low).any():
        return
    shape: Any = np.zeros((high - low)[::-1], np.uint8)
    cv2.fillPoly(shape, [outline - low.astype(np.int32)], (1,))
    tint(image, int(low[0]), int(low[1]), shape, color, opacity)


def path(image: Image, points: Points, color: Color, width: int, *, closed: bool = False) -> None:
    """A line through ``points``."""
    cv2.polylines(image, [points.reshape(-1, 1, 2)], closed, color, width, cv2.LINE_AA)
