"""A small anti-aliased pen: draws shapes given in metres and remembers the extent they cover."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Colour = tuple[int, int, int]

ID_SHRINK = 4  # the map of who covers what is a quarter of the frame in each direction
ID_PAD = 120  # its cells outside the frame on the left and on the right
_SUB = 16.0  # four fractional bits
_HALF = np.linspace(-math.pi / 2, math.pi / 2, 7)
_CAP = np.stack([np.cos(_HALF), np.sin(_HALF)], axis=1)
_RING = np.array([(math.cos(a), math.sin(a)) for a in np.linspace(0, math.tau, 25)[:-1]])


def colour(code: str) -> Colour:
    """`#rrggbb` as the blue, green, red that OpenCV wants."""
    value = int(code[1:], 16)
    return value & 255, value >> 8 & 255, value >> 16 & 255


def colours(codes: str) -> tuple[Colour, ...]:
    """Several `#rrggbb`, separated by spaces."""
    return tuple(colour(code) for code in codes.split())


def shade(base: Colour, factor: float) -> Colour:
    """The same colour darker (below 1) or lighter (above 1)."""
    b, g, r = (min(255, max(0, round(c * factor))) for c in base)
    return b, g, r


def mix(one: Colour, two: Colour, part: float) -> Colour:
    """A blend: `part` of `two`, the rest of `one`."""
    b, g, r = (round(p + (q - p) * part) for p, q in zip(one, two, strict=True))
    return b, g, r


def pick(rng: np.random.Generator, options: Sequence[Colour]) -> Colour:
    """One of the colours."""
    return options[int(rng.integers(len(options)))]


def rounded(points: Sequence[tuple[float, float]], rounds: int = 2) -> Points:
    """The closed polygon with its corners cut `rounds` times (Chaikin)."""
    p = np.array(points, float)
    for _ in range(rounds):
        q = np.roll(p, -1, axis=0)
        p = np.stack([0.8 * p + 0.2 * q, 0.2 * p + 0.8 * q], axis=1).reshape(-1, 2)
    return p


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    """A rectangle as a polygon."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def oval(x: float, y: float, rx: float, ry: float) -> Points:
    """An ellipse as a polygon."""
    return _RING * (rx, ry) + (x, y)


def limb(p: Sequence[float], q: Sequence[float], width: float, taper: float = 1.0) -> Points:
    """A rounded stroke from `p` to `q`; `taper` scales the width at `q`."""
    dx, dy = q[0] - p[0], q[1] - p[1]
    length = math.hypot(dx, dy) or 1e-9
    c, s = dx / length, dy / length
    turn = np.array([(c, s), (-s, c)])
    end = _CAP @ turn
    r = width / 2
    return np.concatenate([end * (r * taper) + q, -end * r + p])


class Pen:
    """Draws on a frame; `x` runs ahead of the object, `y` up, both in metres.

    `ids`, if given, is the coarse map of which object covers which cell.
    """

    def __init__(self, frame: Image, ids: Image | None = None) -> None:
        self.frame = frame
        self.ids = ids
        self.place(0.0, 0.0, 1.0, 1)

    def place(self, x: float, y: float, scale: float, facing: int, ident: int = 0) -> None:
        """Begin an object whose ground point is at pixel (x, y)."""
        self.origin = np.array([x, y])
        self.scale = scale
        self.zoom = np.array([scale * facing, -scale])
        self.ident = ident
        self.low = np.array([1e9, 1e9])
        self.high = -self.low

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Tight box x0, y0, x1, y1 in pixels around everything drawn since `place`."""
        return (*self.low.tolist(), *self.high.tolist())

    def poly(self, points: Points, paint: Colour, solid: bool = True) -> None:
        """Fill a polygon; shapes that are not `solid` do not belong to the object."""
        p = points * self.zoom + self.origin
        marks = (p * _SUB).astype(np.int32)
        cv2.fillPoly(self.frame, [marks], paint, cv2.LINE_AA, 4)
        if solid:
            self.low = np.minimum(self.low, p.min(0))
            self.high = np.maximum(self.high, p.max(0))
            self._claim(p)

    def _claim(self, p: Points) -> None:
        if self.ids is not None:
            cells = (p / ID_SHRINK + (ID_PAD - 0.5, -0.5)) * _SUB
            cv2.fillPoly(self.ids, [cells.astype(np.int32)], self.ident, cv2.LINE_8, 4)

    def detail(self, points: Points, paint: Colour) -> None:
        """Fill a polygon that lies within the object, such as a window."""
        self.poly(points, paint, solid=False)

    def limb(
        self,
        p: Sequence[float],
        q: Sequence[float],
        width: float,
        paint: Colour,
        taper: float = 1.0,
    ) -> None:
        """A rounded stroke that belongs to the object."""
        self.poly(limb(p, q, width, taper), paint)

    def disc(self, x: float, y: float, radius: float, paint: Colour, solid: bool = True) -> None:
        """A filled circle."""
        if solid:
            self.poly(oval(x, y, radius, radius), paint)
            return
        at = (np.array([x, y]) * self.zoom + self.origin) * _SUB
        size = round(radius * self.scale * _SUB)
        cv2.circle(self.frame, at.astype(int).tolist(), size, paint, -1, cv2.LINE_AA, 4)

    def ring(self, x: float, y: float, radius: float, width: float, paint: Colour) -> None:
        """A circle line that belongs to the object."""
        p = oval(x, y, radius, radius) * self.zoom + self.origin
        thick = max(1, round(width * self.scale))
        cv2.polylines(self.frame, [(p * _SUB).astype(np.int32)], True, paint, thick, cv2.LINE_AA, 4)
        self.low = np.minimum(self.low, p.min(0) - thick / 2)
        self.high = np.maximum(self.high, p.max(0) + thick / 2)
        self._claim(p)

    def line(self, p: Sequence[float], q: Sequence[float], width: float, paint: Colour) -> None:
        """A thin line within the object, at least one pixel wide."""
        ends = (np.array([p, q]) * self.zoom + self.origin) * _SUB
        thick = max(1, round(width * self.scale))
        cv2.polylines(self.frame, [ends.astype(np.int32)], False, paint, thick, cv2.LINE_AA, 4)


def _soft_spot() -> NDArray[np.float32]:
    y, x = np.mgrid[-1:1:24j, -1:1:64j]
    fall = np.clip(1.25 - 1.25 * np.hypot(x, y), 0, 1)
    return np.repeat((fall * fall * (3 - 2 * fall))[..., None], 3, axis=2).astype(np.float32)


_SPOT = _soft_spot()


def shadow(frame: Image, x: float, y: float, rx: float, ry: float, strength: float) -> None:
    """Darken a soft ellipse on the ground, centre and radii in pixels."""
    x0, y0, x1, y1 = round(x - rx), round(y - ry), round(x + rx), round(y + ry)
    height, width = frame.shape[:2]
    left, top, right, low = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if right <= left or low <= top:
        return
    spot = cv2.resize(_SPOT, (x1 - x0, y1 - y0))[top - y0 : low - y0, left - x0 : right - x0]
    part = frame[top:low, left:right]
    cv2.multiply(part, 1.0 - strength * spot, dst=part, dtype=cv2.CV_8U)
