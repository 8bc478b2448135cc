"""How the cars, buses and lorries of the sample street are drawn."""

from __future__ import annotations

import math

import numpy as np

from street.look import (
    CHASSIS,
    CHROME,
    CREAM,
    GLASS,
    GLASS_LIGHT,
    HAIR,
    LAMP,
    PAINTS,
    RUBBER,
    SAND,
    SIGN,
    SKINS,
    STOP,
    TAIL,
    TAXI,
    Pose,
)
from street.pen import Pen, box, colours, mix, oval, pick, rounded, shade

ROOFS = {
    "hatch": ((-1.9, 0.8), (-1.72, 1.4), (-1.4, 1.5), (0.3, 1.5), (1.15, 0.84)),
    "tall": ((-1.92, 0.8), (-1.8, 1.42), (-1.5, 1.5), (0.45, 1.5), (1.15, 0.84)),
    "saloon": ((-1.62, 0.82), (-1.0, 1.42), (-0.7, 1.47), (0.25, 1.47), (1.15, 0.84)),
}
HULL = ((-2.0, 0.3), (-2.03, 0.66), (-1.9, 0.9), (1.2, 0.9), (1.85, 0.78), (2.03, 0.6), (2.0, 0.3))
GLEAM = np.array([(-1.85, 0.8), (1.5, 0.76), (1.5, 0.72), (-1.85, 0.74)])
COACH = ((-4.1, 0.36), (-4.1, 2.95), (4.0, 2.95), (4.12, 1.3), (4.1, 0.36))
CAB = ((1.45, 0.45), (1.45, 2.3), (2.5, 2.3), (3.0, 1.4), (3.1, 0.45))
CAB_WINDOW = ((1.85, 1.42), (1.85, 2.08), (2.42, 2.08), (2.78, 1.42))
TANK = ((-3.1, 0.85), (-3.1, 2.4), (1.3, 2.4), (1.3, 0.85))
TIPPER = np.array([(-3.15, 2.0), (-2.85, 0.85), (1.2, 0.85), (1.35, 2.1)])
HEAP = ((-3.0, 1.95), (-1.8, 2.35), (-0.8, 2.25), (0.3, 2.5), (1.3, 2.0))


def wheel(pen: Pen, x: float, radius: float, travelled: float) -> None:
    """A wheel whose spokes turn with the distance."""
    pen.disc(x, radius, radius, RUBBER)
    pen.disc(x, radius, radius * 0.62, CHROME, solid=False)
    for k in range(5):
        a = -travelled / radius + k * math.tau / 5
        tip = (x + 0.56 * radius * math.cos(a), radius + 0.56 * radius * math.sin(a))
        pen.line((x, radius), tip, radius * 0.16, shade(CHROME, 0.45))
    pen.disc(x, radius, radius * 0.16, shade(CHROME, 0.6), solid=False)


class Car:
    """A saloon, hatchback, off-roader or taxi."""

    def __init__(self, rng: np.random.Generator) -> None:
        style = str(rng.choice(["saloon", "hatch", "tall", "taxi"], p=[0.35, 0.3, 0.2, 0.15]))
        self.taxi = style == "taxi"
        self.paint = TAXI if self.taxi else pick(rng, PAINTS)
        self.long, high = float(rng.uniform(0.94, 1.06)), float(rng.uniform(0.96, 1.08))
        self.high = high * (1.13 if style == "tall" else 1.0)
        self.size = np.array([self.long, self.high])
        roof = ROOFS.get(style, ROOFS["saloon"])
        centre = (roof[0][0] + roof[-1][0]) / 2
        inner = [((x - centre) * 0.84 + centre, (y - 1.14) * 0.72 + 1.16) for x, y in roof]
        self.cabin, self.glass = rounded(roof) * self.size, rounded(inner) * self.size
        self.body = rounded(HULL) * self.size
        self.skin, self.hair = pick(rng, SKINS), pick(rng, HAIR)

    def __call__(self, pen: Pen, pose: Pose) -> None:
        self._cabin(pen)
        self._body(pen)
        pen.detail(box(1.78 * self.long, 0.58, 1.99 * self.long, 0.74), LAMP)
        rear = box(-2.0 * self.long, 0.6, -1.84 * self.long, 0.8)
        pen.detail(rear, STOP if pose.braking else TAIL)
        if self.taxi:
            self._taxi(pen)
        for x in (-1.27 * self.long, 1.27 * self.long):
            wheel(pen, x, 0.34, pose.travelled)

    def _cabin(self, pen: Pen) -> None:
        pen.poly(self.cabin, shade(self.paint, 0.94))
        pen.detail(self.glass, GLASS)
        pen.detail(oval(0.16 * self.long, 1.12 * self.high, 0.13, 0.15), self.skin)
        pen.detail(oval(0.12 * self.long, 1.2 * self.high, 0.14, 0.1), self.hair)
        pen.detail(box(-0.42, 0.85, -0.32, 1.46) * self.size, shade(self.paint, 0.86))

    def _body(self, pen: Pen) -> None:
        paint, long, high = self.paint, self.long, self.high
        pen.poly(self.body, paint)
        pen.detail(box(-1.95, 0.27, 1.95, 0.4) * self.size, shade(paint, 0.55))
        pen.detail(GLEAM * self.size, shade(paint, 1.22))
        for x in (-1.27 * long, 1.27 * long):
            pen.detail(oval(x, 0.36, 0.42, 0.42), shade(paint, 0.3))
        pen.line((-0.36 * long, 0.84 * high), (-0.36 * long, 0.4), 0.02, shade(paint, 0.7))
        handle = (-0.2 * long, 0.7 * high), (0.02 * long, 0.7 * high)
        pen.line(*handle, 0.05, shade(paint, 0.6))

    def _taxi(self, pen: Pen) -> None:
        pen.poly(box(-0.42, 1.46 * self.high, 0.12, 1.62 * self.high), SIGN)
        for k in range(7):
            pen.detail(box(-1.1 + 0.3 * k, 0.56, -0.95 + 0.3 * k, 0.66), RUBBER)


class Bus:
    """A city bus with passengers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.paint = pick(rng, PAINTS[:7])
        self.long, self.high = float(rng.uniform(0.94, 1.04)), float(rng.uniform(0.95, 1.04))
        self.size = np.array([self.long, self.high])
        self.body = rounded(COACH, 2) * self.size
        self.heads = [(pick(rng, SKINS), pick(rng, HAIR), rng.random() < 0.7) for _ in range(6)]
        self.numbers = pick(rng, colours("#ffb000 #9cff57"))

    def __call__(self, pen: Pen, pose: Pose) -> None:
        k, paint = self.size, self.paint
        pen.poly(box(-2.6, 2.85, -0.6, 3.12) * k, shade(paint, 0.7))
        pen.poly(self.body, paint)
        pen.detail(box(-4.08, 0.4, 4.08, 0.62) * k, shade(paint, 0.5))
        pen.detail(box(-4.08, 1.12, 4.08, 1.3) * k, CREAM)
        for i in range(len(self.heads)):
            self._seat(pen, i)
        self._front(pen)
        pen.detail(box(3.86, 0.66, 4.1, 0.92) * k, LAMP)
        pen.detail(box(-4.1, 0.7, -3.96, 1.08) * k, STOP if pose.braking else TAIL)
        for x in (-2.5 * self.long, 2.15 * self.long):
            pen.detail(oval(x, 0.5, 0.6, 0.6), shade(paint, 0.3))
            wheel(pen, x, 0.48, pose.travelled)

    def _seat(self, pen: Pen, i: int) -> None:
        """One window, with or without a passenger."""
        k, x = self.size, -3.85 + 1.08 * i
        skin, hair, taken = self.heads[i]
        pen.detail(box(x, 1.5, x + 0.96, 2.45) * k, GLASS)
        if taken:
            pen.detail(oval(x + 0.5, 1.68, 0.17, 0.2) * k, skin)
            pen.detail(oval(x + 0.46, 1.8, 0.18, 0.13) * k, hair)
        gleam = np.array([(x + 0.1, 2.45), (x + 0.3, 2.45), (x + 0.1, 1.9)])
        pen.detail(gleam * k, GLASS_LIGHT)

    def _front(self, pen: Pen) -> None:
        """Door, windscreen and the sign that tells the line."""
        k, paint = self.size, self.paint
        pen.detail(box(2.66, 0.5, 3.5, 2.45) * k, GLASS)
        x = 3.08 * self.long
        pen.line((x, 0.5), (x, 2.45 * self.high), 0.06, shade(paint, 0.8))
        pen.detail(box(3.62, 1.3, 4.06, 2.45) * k, GLASS_LIGHT)
        pen.detail(box(-3.7, 2.6, 0.9, 2.82) * k, shade(paint, 1.15))
        pen.detail(box(2.2, 2.56, 3.9, 2.86) * k, RUBBER)
        for i in range(4):
            pen.detail(box(2.4 + 0.36 * i, 2.64, 2.62 + 0.36 * i, 2.78) * k, self.numbers)


class Truck:
    """A lorry with a box, a tank or a tipper behind its cab."""

    def __init__(self, rng: np.random.Generator) -> None:
        style = str(rng.choice(["box", "tank", "tipper"], p=[0.5, 0.25, 0.25]))
        self.cargo = {"box": self._box, "tank": self._tank, "tipper": self._tipper}[style]
        self.paint, self.load = pick(rng, PAINTS), pick(rng, PAINTS)
        self.badge = pick(rng, PAINTS)
        self.long, self.high = float(rng.uniform(0.95, 1.05)), float(rng.uniform(0.92, 1.06))
        self.size = np.array([self.long, self.high])
        self.skin = pick(rng, SKINS)

    def __call__(self, pen: Pen, pose: Pose) -> None:
        k = self.size
        pen.poly(box(-3.1, 0.5, 2.0, 0.86) * k, CHASSIS)
        self.cargo(pen)
        self._cab(pen)
        pen.detail(box(2.85, 0.75, 3.08, 1.0) * k, LAMP)
        pen.detail(box(-3.1, 0.55, -2.95, 0.8) * k, STOP if pose.braking else TAIL)
        for x in (-2.3, -1.3, 2.15):
            wheel(pen, x * self.long, 0.46, pose.travelled)

    def _cab(self, pen: Pen) -> None:
        k, paint = self.size, self.paint
        pen.poly(rounded(CAB, 2) * k, paint)
        pen.detail(rounded(CAB_WINDOW, 1) * k, GLASS)
        pen.detail(oval(2.2, 1.62, 0.16, 0.2) * k, self.skin)
        pen.detail(box(1.45, 0.5, 3.05, 0.72) * k, shade(paint, 0.55))
        x = 1.75 * self.long
        pen.line((x, 0.7), (x, 2.1 * self.high), 0.03, shade(paint, 0.7))

    def _box(self, pen: Pen) -> None:
        k, load = self.size, self.load
        pen.poly(box(-3.1, 0.8, 1.35, 2.95) * k, load)
        pen.detail(box(-3.1, 0.8, 1.35, 0.98) * k, shade(load, 0.7))
        pen.detail(box(-3.1, 2.82, 1.35, 2.95) * k, shade(load, 1.2))
        pen.detail(oval(-0.85, 1.9, 0.72, 0.6) * k, self.badge)
        pen.detail(oval(-0.85, 1.9, 0.4, 0.33) * k, mix(self.badge, load, 0.75))

    def _tank(self, pen: Pen) -> None:
        k, load = self.size, self.load
        pen.poly(rounded(TANK, 3) * k, load)
        pen.detail(box(-2.75, 2.0, 0.95, 2.16) * k, shade(load, 1.3))
        pen.detail(box(-2.75, 1.1, 0.95, 1.3) * k, shade(load, 0.7))
        pen.poly(box(-1.2, 2.36, -0.6, 2.55) * k, shade(load, 0.6))

    def _tipper(self, pen: Pen) -> None:
        pen.poly(rounded(HEAP, 2) * self.size, SAND)
        pen.poly(TIPPER * self.size, self.load)
        for x in (-2.0, -1.0, 0.0):
            ends = (x * self.long, 0.9), ((x - 0.05) * self.long, 1.95 * self.high)
            pen.line(*ends, 0.08, shade(self.load, 0.65))
