"""How the cyclists, the people on foot and the dogs of the sample street are drawn."""

from __future__ import annotations

import math

import numpy as np

from street.look import (
    BASKET,
    CHROME,
    CLOTHES,
    COLLAR,
    FURS,
    HAIR,
    PAINTS,
    RUBBER,
    SKINS,
    TROUSERS,
    Pose,
)
from street.pen import Colour, Pen, box, oval, pick, rounded, shade

Point = tuple[float, float]
CRANK: Point = (-0.02, 0.34)
GRIP: Point = (0.48, 1.02)
HIP: Point = (-0.2, 1.02)
TUBES: tuple[tuple[Point, Point], ...] = (
    ((-0.55, 0.35), CRANK),
    (CRANK, (-0.22, 0.9)),
    ((-0.2, 0.78), (0.38, 0.84)),
    (CRANK, (0.38, 0.8)),
    ((0.55, 0.35), (0.36, 0.98)),
    ((-0.55, 0.35), (-0.2, 0.8)),
)
HEM = ((-0.26, 0.58), (0.28, 0.58), (0.12, 1.02), (-0.12, 1.02))


def below(start: Point, length: float, swing: float) -> Point:
    """The end of a limb that hangs from `start`, swung forward by an angle in radians."""
    return start[0] + length * math.sin(swing), start[1] - length * math.cos(swing)


class Bicycle:
    """A bicycle and its rider, who pedals."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.frame, self.shirt = pick(rng, PAINTS), pick(rng, CLOTHES)
        self.legs, self.skin = pick(rng, TROUSERS), pick(rng, SKINS)
        self.helmet = pick(rng, PAINTS)
        lean, self.basket = float(rng.uniform(0.12, 0.38)), rng.random() < 0.4
        self.neck = (HIP[0] + lean + 0.06, HIP[1] + 0.56 - lean * 0.3)

    def __call__(self, pen: Pen, pose: Pose) -> None:
        angle = -pose.travelled / 0.8
        self._leg(pen, angle + math.pi, shade(self.legs, 0.7))
        self._cycle(pen, pose)
        self._leg(pen, angle, self.legs)
        self._rider(pen)

    def _leg(self, pen: Pen, angle: float, paint: Colour) -> None:
        foot = (CRANK[0] + 0.17 * math.cos(angle), CRANK[1] - 0.02 + 0.17 * math.sin(angle))
        dx, dy = foot[0] - HIP[0], foot[1] - HIP[1]
        norm = math.hypot(dx, dy)
        bend = math.sqrt(max(0.0, 0.19 - norm * norm / 4)) / norm
        knee = ((HIP[0] + foot[0]) / 2 - dy * bend, (HIP[1] + foot[1]) / 2 + dx * bend)
        pen.limb(HIP, knee, 0.18, paint, 0.8)
        pen.limb(knee, foot, 0.14, paint, 0.7)
        pen.limb((foot[0] - 0.05, foot[1] - 0.04), (foot[0] + 0.13, foot[1] - 0.04), 0.08, RUBBER)

    def _cycle(self, pen: Pen, pose: Pose) -> None:
        for x in (-0.55, 0.55):
            pen.ring(x, 0.35, 0.325, 0.06, RUBBER)
            for k in range(4):
                a = -pose.travelled / 0.35 + k * math.pi / 4
                c, s = 0.3 * math.cos(a), 0.3 * math.sin(a)
                pen.line((x - c, 0.35 - s), (x + c, 0.35 + s), 0.01, shade(CHROME, 0.8))
        for p, q in TUBES:
            pen.limb(p, q, 0.055, self.frame)
        pen.limb((-0.34, 0.94), (-0.08, 0.94), 0.07, RUBBER)
        pen.limb((0.36, 0.98), GRIP, 0.05, RUBBER)
        if self.basket:
            pen.poly(box(0.5, 0.72, 0.82, 0.98), BASKET)

    def _rider(self, pen: Pen) -> None:
        neck = self.neck
        head = (neck[0] + 0.08, neck[1] + 0.2)
        pen.limb((HIP[0], HIP[1] + 0.02), neck, 0.3, self.shirt, 0.85)
        elbow = ((neck[0] + GRIP[0]) / 2 + 0.02, (neck[1] + GRIP[1]) / 2 - 0.12)
        pen.limb((neck[0], neck[1] - 0.06), elbow, 0.12, shade(self.shirt, 0.85))
        pen.limb(elbow, GRIP, 0.1, self.skin)
        pen.disc(*head, 0.14, self.skin)
        pen.poly(oval(head[0] - 0.03, head[1] + 0.07, 0.17, 0.11), self.helmet)


class Person:
    """Somebody on foot, with hair, clothes and perhaps a bag, a hat or a skirt."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.shirt, self.trousers = pick(rng, CLOTHES), pick(rng, TROUSERS)
        self.skin, self.hair, self.bag = pick(rng, SKINS), pick(rng, HAIR), pick(rng, CLOTHES)
        child = rng.random() < 0.12
        self.size = float(rng.uniform(0.7, 0.8) if child else rng.uniform(0.92, 1.08))
        self.girth = float(rng.uniform(0.9, 1.2))
        has = [rng.random() < share for share in (0.28, 0.3, 0.2, 0.4)]
        self.skirt, self.pack, self.hat, self.long_hair = has
        self.beat = float(rng.uniform(0, math.tau))

    def __call__(self, pen: Pen, pose: Pose) -> None:
        step = self.beat + pose.travelled / self.size * 4.3
        wide = (1.0 - 0.55 * pose.across) * (0.0 if pose.travelled == 0 else 1.0)
        swing, lift = 0.5 * wide * math.sin(step), 0.55 * wide * math.sin(step + 1.9)
        self._leg(pen, -swing, max(0.0, lift), shade(self.trousers, 0.72))
        self._arm(pen, 0.9 * swing, shade(self.shirt, 0.7))
        self._leg(pen, swing, max(0.0, -lift), self.trousers)
        self._body(pen)
        self._head(pen)
        self._arm(pen, -0.9 * swing, shade(self.shirt, 0.88))

    def _leg(self, pen: Pen, swing: float, lift: float, paint: Colour) -> None:
        size, thick = self.size, self.size * self.girth
        hip = (0.0, 0.92 * size)
        knee = below((hip[0] + 0.02, hip[1]), 0.46 * size, swing)
        end = below(knee, 0.46 * size, swing - lift)
        foot = (end[0], max(0.06, end[1]))
        pen.limb(hip, knee, 0.19 * thick, paint, 0.8)
        pen.limb(knee, foot, 0.15 * thick, self.skin if self.skirt else paint, 0.75)
        toe = (foot[0] + 0.14 * size, max(0.045, foot[1] - 0.03))
        pen.limb((foot[0] - 0.03, toe[1]), toe, 0.09, RUBBER)

    def _arm(self, pen: Pen, swing: float, paint: Colour) -> None:
        size = self.size
        shoulder = (0.0, 1.38 * size)
        elbow = below(shoulder, 0.29 * size, swing)
        hand = below(elbow, 0.26 * size, swing + 0.4)
        pen.limb(shoulder, elbow, 0.13 * size, paint)
        pen.limb(elbow, hand, 0.1 * size, paint)
        pen.disc(*hand, 0.06 * size, self.skin)

    def _body(self, pen: Pen) -> None:
        size = self.size
        if self.pack:
            pen.limb((-0.2 * size, 1.05 * size), (-0.19 * size, 1.3 * size), 0.2 * size, self.bag)
        if self.skirt:
            pen.poly(rounded(HEM, 1) * size, shade(self.shirt, 0.85))
        pen.limb((0.0, 0.95 * size), (0.01, 1.34 * size), 0.31 * size * self.girth, self.shirt)

    def _head(self, pen: Pen) -> None:
        size = self.size
        pen.limb((0.01, 1.45 * size), (0.02, 1.56 * size), 0.1 * size, self.skin)
        if self.long_hair:
            locks = (-0.06 * size, 1.66 * size), (-0.1 * size, 1.46 * size)
            pen.limb(*locks, 0.18 * size, self.hair)
        pen.disc(0.03 * size, 1.63 * size, 0.14 * size, self.skin)
        pen.poly(oval(-0.01, 1.7, 0.155, 0.105) * size, self.bag if self.hat else self.hair)
        if self.hat:
            brim = (0.0, 1.69 * size), (0.2 * size, 1.69 * size)
            pen.limb(*brim, 0.05 * size, shade(self.bag, 0.8))


class Dog:
    """A dog that trots and wags."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.fur = pick(rng, FURS)
        self.dark, self.size = shade(self.fur, 0.7), float(rng.uniform(0.9, 1.15))
        self.spots, self.floppy = rng.random() < 0.4, rng.random() < 0.5
        self.reach = 0.3 * self.size * float(rng.uniform(0.9, 1.25))
        self.patch = pick(rng, FURS)

    def __call__(self, pen: Pen, pose: Pose) -> None:
        step = pose.travelled / self.size * 7.0
        back, front = -self.reach, self.reach
        swing = (1.0 - 0.5 * pose.across) * 0.55 * math.sin(step)
        self._leg(pen, back + 0.05, -swing, self.dark)
        self._leg(pen, front - 0.03, swing, self.dark)
        self._trunk(pen, 0.25 * math.sin(pose.travelled * 11.0))
        self._leg(pen, back, swing, self.fur)
        self._leg(pen, front, -swing, self.fur)
        self._head(pen)

    def _leg(self, pen: Pen, x: float, swing: float, paint: Colour) -> None:
        size = self.size
        knee = (x + 0.17 * size * math.sin(swing), 0.22 * size)
        foot = (knee[0] + 0.17 * size * math.sin(swing - 0.25), 0.06)
        pen.limb((x, 0.42 * size), knee, 0.14 * size, paint, 0.75)
        pen.limb(knee, foot, 0.1 * size, paint)

    def _trunk(self, pen: Pen, wag: float) -> None:
        size, back, front = self.size, -self.reach, self.reach
        tail = (back - 0.26 * size, (0.78 + wag * 0.4) * size)
        pen.limb((back - 0.06, 0.52 * size), tail, 0.1 * size, self.fur, 0.6)
        pen.limb((back, 0.46 * size), (front, 0.5 * size), 0.32 * size, self.fur, 1.05)
        if self.spots:
            pen.detail(oval(-0.02, 0.54 * size, 0.16 * size, 0.1 * size), self.patch)

    def _head(self, pen: Pen) -> None:
        size, front = self.size, self.reach
        head = (front + 0.22 * size, 0.8 * size)
        pen.limb((front + 0.02, 0.54 * size), head, 0.2 * size, self.fur)
        pen.disc(*head, 0.155 * size, self.fur)
        snout = (head[0] + 0.2 * size, head[1] - 0.05 * size)
        pen.limb(head, snout, 0.14 * size, self.fur, 0.85)
        pen.disc(snout[0] + 0.05 * size, snout[1] + 0.02, 0.035 * size, RUBBER)
        ear = (head[0] - 0.06 * size, head[1] + 0.08 * size)
        tip = (head[0] - 0.13 * size, head[1] + (-0.14 if self.floppy else 0.22) * size)
        pen.limb(ear, tip, 0.1 * size, self.dark)
        pen.disc(head[0] + 0.06 * size, head[1] + 0.04 * size, 0.024 * size, RUBBER, solid=False)
        collar = (front + 0.07 * size, 0.62 * size), (front + 0.16 * size, 0.57 * size)
        pen.limb(*collar, 0.06, COLLAR)
