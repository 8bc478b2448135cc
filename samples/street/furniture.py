"""Still objects of the sample street that hide what passes behind: trees, lamps, benches."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from street.pen import (
    ID_PAD,
    ID_SHRINK,
    Colour,
    Image,
    Pen,
    box,
    colour,
    colours,
    limb,
    oval,
    pick,
    rounded,
    shade,
)
from street.traffic import Camera

LEAVES = colours("#4f8a4c #6a9a3f #3f7d5a #7fa650 #9a9a3c #b5793a")
BLOOMS = colours("#f25f5c #ffe066 #f7f7ff #c77dff")
IRON, STONE, WOOD = colours("#3b4148 #b9b4aa #a8713f")
FINE = 2  # still parts are painted this many times larger, then shrunk


@dataclass
class Sprite:
    """A still object in front of which and behind which things pass."""

    scale: float  # its depth, as pixels per metre
    x: float  # metres right of the camera axis
    signal: bool  # carries the lamps of a traffic light
    left: int
    top: int
    ink: Image  # colour already multiplied by its opacity
    clear: Image  # 255 minus opacity, three channels
    cells: NDArray[np.bool_]  # where it hides things, on the coarse map of the whole frame

    def stamp(self, frame: Image, ids: Image) -> None:
        """Put it on the frame and clear what it hides on the map."""
        h, w = self.ink.shape[:2]
        part = frame[self.top : self.top + h, self.left : self.left + w]
        cv2.multiply(part, self.clear, dst=part, scale=1 / 255.0)
        cv2.add(part, self.ink, dst=part)
        ids[self.cells] = 0


class Easel:
    """A blank sheet for one sprite: draw with `pen`, then `cut` it out."""

    def __init__(self, camera: Camera, x: float, scale: float) -> None:
        self.size = (camera.height * FINE, camera.width * FINE)
        self.x, self.scale = x, scale
        self.ink: Image = np.zeros((*self.size, 3), np.uint8)
        self.mask: Image = np.zeros((*self.size, 3), np.uint8)
        self.pen, self.shape = Pen(self.ink), Pen(self.mask)
        gx, gy = camera.ground(x, scale)
        for pen in (self.pen, self.shape):
            pen.place(gx * FINE, gy * FINE, scale * FINE, 1)

    def poly(self, points: NDArray[np.float64], paint: Colour) -> None:
        """Fill a polygon given in metres around the foot of the sprite."""
        self.pen.poly(points, paint)
        self.shape.poly(points, (255, 255, 255))

    def cut(self, signal: bool = False) -> Sprite:
        """Shrink, crop and hand out the finished sprite."""
        small = (self.size[1] // FINE, self.size[0] // FINE)
        mask = cv2.resize(self.mask, small, interpolation=cv2.INTER_AREA)
        ink = np.asarray(cv2.resize(self.ink, small, interpolation=cv2.INTER_AREA), np.uint8)
        x, y, w, h = cv2.boundingRect(mask[..., 0])
        part = np.s_[y : y + h, x : x + w]
        coarse = (small[0] // ID_SHRINK, small[1] // ID_SHRINK)
        cells = cv2.resize(mask[..., 0], coarse, interpolation=cv2.INTER_AREA) > 127
        cells = np.pad(cells, ((0, 0), (ID_PAD, ID_PAD)))
        clear = np.asarray(255 - mask[part], np.uint8)
        return Sprite(self.scale, self.x, signal, x, y, ink[part].copy(), clear, cells)


def tree(rng: np.random.Generator, camera: Camera, x: float, scale: float) -> Sprite:
    """A leafy street tree."""
    easel = Easel(camera, x, scale)
    leaf, bark = pick(rng, LEAVES), colour("#6b4a35")
    tall = float(rng.uniform(2.3, 2.8))
    easel.poly(oval(0.0, 0.03, 0.62, 0.12), colour("#5a4636"))
    easel.poly(limb((0.0, 0.1), (0.04, tall + 0.8), 0.3, 0.6), bark)
    easel.poly(limb((0.02, tall - 0.4), (0.75, tall + 0.7), 0.14, 0.5), bark)
    easel.poly(limb((0.02, tall - 0.2), (-0.7, tall + 0.8), 0.13, 0.5), bark)
    spread = np.clip(rng.normal(0, 1, (34, 2)), -1.5, 1.5) * (0.66, 0.46)
    puffs = [(float(dx), tall + 1.15 + float(dy)) for dx, dy in spread]
    for px, py in sorted(puffs, key=lambda p: p[1] - p[0] * 0.3):
        light = 0.82 + 0.2 * (py - tall) - 0.07 * px + rng.uniform(-0.05, 0.05)
        easel.poly(
            oval(px, py, rng.uniform(0.32, 0.55), rng.uniform(0.28, 0.46)), shade(leaf, light)
        )
    return easel.cut()


def lamp(camera: Camera, x: float, scale: float, lean: int) -> Sprite:
    """A tall lamp post with one arm."""
    easel = Easel(camera, x, scale)
    easel.poly(rounded([(-0.16, 0.0), (0.16, 0.0), (0.1, 0.6), (-0.1, 0.6)], 1), shade(IRON, 0.8))
    easel.poly(limb((0.0, 0.1), (0.0, 5.2), 0.14, 0.7), IRON)
    easel.poly(box(-0.05, 0.7, -0.02, 5.0), shade(IRON, 1.5))
    arm = [(0.0, 5.1), (lean * 0.25, 5.5), (lean * 0.75, 5.65)]
    for p, q in pairwise(arm):
        easel.poly(limb(p, q, 0.09), IRON)
    easel.poly(limb(arm[-1], (lean * 1.15, 5.6), 0.2, 0.8), shade(IRON, 0.8))
    easel.poly(oval(lean * 0.98, 5.53, 0.2, 0.05), colour("#fff6d8"))
    return easel.cut()


def signal_post(camera: Camera, x: float, scale: float) -> Sprite:
    """The post and the housing of a traffic light; its lamps are lit per frame."""
    easel = Easel(camera, x, scale)
    easel.poly(limb((0.0, 0.0), (0.0, 2.9), 0.11), IRON)
    easel.poly(rounded([(-0.2, 2.2), (0.2, 2.2), (0.2, 3.25), (-0.2, 3.25)], 2), colour("#23282d"))
    for k in range(3):
        easel.poly(oval(0.0, 2.4 + 0.32 * k, 0.12, 0.12), colour("#101214"))
    return easel.cut(signal=True)


def bench(camera: Camera, x: float, scale: float) -> Sprite:
    """A wooden bench, seen from behind."""
    easel = Easel(camera, x, scale)
    for foot in (-0.75, 0.75):
        easel.poly(limb((foot, 0.0), (foot, 0.9), 0.08), IRON)
    for k in range(4):
        easel.poly(
            box(-0.95, 0.4 + 0.16 * k, 0.95, 0.52 + 0.16 * k),
            shade(colour("#a8713f"), 1 + 0.06 * k),
        )
    return easel.cut()


def planter(rng: np.random.Generator, camera: Camera, x: float, scale: float) -> Sprite:
    """A stone tub with flowers."""
    easel = Easel(camera, x, scale)
    for _ in range(26):
        easel.poly(
            oval(rng.normal(0, 0.26), rng.uniform(0.45, 0.85), 0.17, 0.14),
            shade(pick(rng, LEAVES[:4]), rng.uniform(0.8, 1.1)),
        )
    for _ in range(14):
        easel.poly(
            oval(rng.normal(0, 0.3), rng.uniform(0.55, 0.95), 0.06, 0.06),
            pick(rng, [colour(c) for c in ("#f25f5c", "#ffe066", "#f7f7ff", "#c77dff")]),
        )
    easel.poly(np.array([(-0.55, 0.5), (0.55, 0.5), (0.42, 0.0), (-0.42, 0.0)]), STONE)
    easel.poly(box(-0.6, 0.42, 0.6, 0.54), shade(STONE, 1.12))
    return easel.cut()
