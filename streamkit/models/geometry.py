"""Where a picture lies in a model's input, and the way back from there to its own pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from streamkit.predictions import Floats

Rectangle: TypeAlias = tuple[float, float, float, float]
"""left, top, right, bottom"""


@dataclass(frozen=True, slots=True)
class Geometry:
    """``region`` of a picture of ``size`` is what the model sees at ``placed`` of its input.

    Coordinates are continuous: a pixel covers ``[i, i + 1)``, a picture of width W ends at W, and a
    resize that aligns pixel centres (OpenCV's) is exactly the linear map of one to the other.
    """

    size: tuple[int, int]
    """(width, height) of the whole picture, in pixels."""
    region: Rectangle
    """In pixels of the picture."""
    placed: Rectangle
    """In pixels of the input; outside of it there is padding."""
    from_planes: bool = False
    """Whether the picture was scaled before its colours were converted."""

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per picture pixel, across and down."""
        (left, top, right, bottom), (x1, y1, x2, y2) = self.placed, self.region
        return (right - left) / (x2 - x1), (bottom - top) / (y2 - y1)

    def to_picture(self, boxes: Floats) -> Floats:
        """(N, 4) xyxy in input pixels to picture pixels, cut off where the model saw nothing."""
        return self.seen_points(boxes.reshape(-1, 2)).reshape(-1, 4)

    def seen_points(self, points: Floats) -> Floats:
        """(N, 2) x, y in input pixels to picture pixels, moved to where the model saw something."""
        points = self.points_to_picture(points)
        left, top, right, bottom = self.region
        np.clip(points, (left, top), (right, bottom), out=points)
        return points

    def points_to_picture(self, points: Floats) -> Floats:
        """(N, 2) x, y in input pixels to picture pixels, wherever they are."""
        wide = np.subtract(points, self.placed[:2], dtype=np.float64)
        return (wide / self.scale + self.region[:2]).astype(np.float32)
