"""The moving cast of the sample street: how a car, bus, truck, bicycle, person or dog is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from street_pen import Colour, Pen, box, colour, mix, oval, rounded, shade

PAINTS = tuple(
    colour(c)
    for c in "#d7473f #e8a33d #f2d16b #4f9d69 #3b7dd8 #2b4a8b #7d5ba6 #f4f1ea #c9ced6 #5b6470 "
    "#2f343b #e77f9b #58b7b3 #a65b3a".split()
)
CLOTHES = tuple(
    colour(c)
    for c in "#e4572e #f3a712 #29335c #669bbc #a8c686 #5f0f40 #f6f5ae #3d5a80 #ee6c4d #98c1d9 "
    "#8d99ae #d90368 #2e294e #1b998b #f7f7f2".split()
)
TROUSERS = tuple(colour(c) for c in "#22304a #3b4a63 #4b3b2b #2a2a2e #6b7280 #7a5c3e".split())
SKINS = tuple(colour(c) for c in "#f6d3b3 #e8b68c #c98d5e #9a6239 #6a4126".split())
HAIR = tuple(colour(c) for c in "#2a1c14 #5b3a21 #a8743a #d9b36c #1b1b1f #8b8b90 #7c2f1d".split())
FURS = tuple(colour(c) for c in "#b9814a #6e4a2c #e9d8b8 #2d2a29 #8f8a83 #d79a54".split())
GLASS, GLASS_LIGHT = colour("#2f4554"), colour("#7fa3b5")
RUBBER, CHROME, LAMP = colour("#202226"), colour("#c8ccd0"), colour("#fff3c4")
STOP, TAIL = colour("#ff3b30"), colour("#8f1f1c")


@dataclass(frozen=True)
class Pose:
    """What changes from frame to frame: the distance travelled, braking, walking across."""

    travelled: float
    braking: bool = False
    across: float = 0.0


Draw = Callable[[Pen, Pose], None]


def pick(rng: np.random.Generator, options: Sequence[Colour]) -> Colour:
    """One of the colours."""
    return options[int(rng.integers(len(options)))]


def wheel(pen: Pen, x: float, radius: float, travelled: float, hub: Colour = CHROME) -> None:
    """A car wheel whose spokes turn with the distance."""
    pen.disc(x, radius, radius, RUBBER)
    pen.disc(x, radius, radius * 0.62, hub, solid=False)
    for k in range(5):
        a = -travelled / radius + k * math.tau / 5
        tip = (x + 0.56 * radius * math.cos(a), radius + 0.56 * radius * math.sin(a))
        pen.line((x, radius), tip, radius * 0.16, shade(hub, 0.45))
    pen.disc(x, radius, radius * 0.16, shade(hub, 0.6), solid=False)


def make_car(rng: np.random.Generator) -> Draw:
    """A saloon, hatchback, off-roader or taxi."""
    style = str(rng.choice(["saloon", "hatch", "tall", "taxi"], p=[0.35, 0.3, 0.2, 0.15]))
    paint = colour("#f4c430") if style == "taxi" else pick(rng, PAINTS)
    long, high = float(rng.uniform(0.94, 1.06)), float(rng.uniform(0.96, 1.08))
    stretch = np.array([long, high * (1.13 if style == "tall" else 1.0)])
    roof = {
        "hatch": [(-1.9, 0.8), (-1.72, 1.4), (-1.4, 1.5), (0.3, 1.5), (1.15, 0.84)],
        "tall": [(-1.92, 0.8), (-1.8, 1.42), (-1.5, 1.5), (0.45, 1.5), (1.15, 0.84)],
    }.get(style, [(-1.62, 0.82), (-1.0, 1.42), (-0.7, 1.47), (0.25, 1.47), (1.15, 0.84)])
    cabin = rounded(roof) * stretch
    middle = np.array([(roof[0][0] + roof[-1][0]) / 2, 1.12])
    glass = rounded([((x - middle[0]) * 0.84 + middle[0], (y - 1.14) * 0.72 + 1.16) for x, y in roof])
    glass = glass * stretch
    hull = [(-2.0, 0.3), (-2.03, 0.66), (-1.9, 0.9), (1.2, 0.9), (1.85, 0.78), (2.03, 0.6), (2.0, 0.3)]
    body = rounded(hull) * stretch
    sill = box(-1.95, 0.27, 1.95, 0.4) * stretch
    gleam = np.array([(-1.85, 0.8), (1.5, 0.76), (1.5, 0.72), (-1.85, 0.74)]) * stretch
    pillar = box(-0.42, 0.85, -0.32, 1.46) * stretch
    skin, hair = pick(rng, SKINS), pick(rng, HAIR)

    def draw(pen: Pen, pose: Pose) -> None:
        pen.poly(cabin, shade(paint, 0.94))
        pen.detail(glass, GLASS)
        pen.detail(oval(0.16 * long, 1.12 * stretch[1], 0.13, 0.15), skin)
        pen.detail(oval(0.12 * long, 1.2 * stretch[1], 0.14, 0.1), hair)
        pen.detail(pillar, shade(paint, 0.86))
        pen.poly(body, paint)
        pen.detail(sill, shade(paint, 0.55))
        pen.detail(gleam, shade(paint, 1.22))
        for x in (-1.27 * long, 1.27 * long):
            pen.detail(oval(x, 0.36, 0.42, 0.42), shade(paint, 0.3))
        pen.line((-0.36 * long, 0.84 * stretch[1]), (-0.36 * long, 0.4), 0.02, shade(paint, 0.7))
        pen.line((-0.2 * long, 0.7 * stretch[1]), (0.02 * long, 0.7 * stretch[1]), 0.05, shade(paint, 0.6))
        pen.detail(box(1.78 * long, 0.58, 1.99 * long, 0.74), LAMP)
        pen.detail(box(-2.0 * long, 0.6, -1.84 * long, 0.8), STOP if pose.braking else TAIL)
        if style == "taxi":
            pen.poly(box(-0.42, 1.46 * stretch[1], 0.12, 1.62 * stretch[1]), colour("#fffbe6"))
            for k in range(7):
                square = box(-1.1 + 0.3 * k, 0.56, -0.95 + 0.3 * k, 0.66)
                pen.detail(square, RUBBER)
        for x in (-1.27 * long, 1.27 * long):
            wheel(pen, x, 0.34, pose.travelled)

    return draw


def make_bus(rng: np.random.Generator) -> Draw:
    """A city bus with passengers."""
    paint = pick(rng, PAINTS[:7])
    band = colour("#f7f4ec")
    long, high = float(rng.uniform(0.94, 1.04)), float(rng.uniform(0.95, 1.04))
    k = np.array([long, high])
    body = rounded([(-4.1, 0.36), (-4.1, 2.95), (4.0, 2.95), (4.12, 1.3), (4.1, 0.36)], 2) * k
    heads = [(pick(rng, SKINS), pick(rng, HAIR), rng.random() < 0.7) for _ in range(6)]
    numbers = pick(rng, [colour("#ffb000"), colour("#9cff57")])

    def draw(pen: Pen, pose: Pose) -> None:
        pen.poly(box(-2.6, 2.85, -0.6, 3.12) * k, shade(paint, 0.7))
        pen.poly(body, paint)
        pen.detail(box(-4.08, 0.4, 4.08, 0.62) * k, shade(paint, 0.5))
        pen.detail(box(-4.08, 1.12, 4.08, 1.3) * k, band)
        for i, (skin, hair, taken) in enumerate(heads):
            x = -3.85 + 1.08 * i
            pen.detail(box(x, 1.5, x + 0.96, 2.45) * k, GLASS)
            if taken:
                pen.detail(oval(x + 0.5, 1.68, 0.17, 0.2) * k, skin)
                pen.detail(oval(x + 0.46, 1.8, 0.18, 0.13) * k, hair)
            pen.detail(np.array([(x + 0.1, 2.45), (x + 0.3, 2.45), (x + 0.1, 1.9)]) * k, GLASS_LIGHT)
        pen.detail(box(2.66, 0.5, 3.5, 2.45) * k, GLASS)
        pen.line((3.08 * long, 0.5), (3.08 * long, 2.45 * high), 0.06, shade(paint, 0.8))
        pen.detail(box(3.62, 1.3, 4.06, 2.45) * k, GLASS_LIGHT)
        pen.detail(box(-3.7, 2.6, 0.9, 2.82) * k, shade(paint, 1.15))
        pen.detail(box(2.2, 2.56, 3.9, 2.86) * k, RUBBER)
        for i in range(4):
            pen.detail(box(2.4 + 0.36 * i, 2.64, 2.62 + 0.36 * i, 2.78) * k, numbers)
        pen.detail(box(3.86, 0.66, 4.1, 0.92) * k, LAMP)
        pen.detail(box(-4.1, 0.7, -3.96, 1.08) * k, STOP if pose.braking else TAIL)
        for x in (-2.5 * long, 2.15 * long):
            pen.detail(oval(x, 0.5, 0.6, 0.6), shade(paint, 0.3))
            wheel(pen, x, 0.48, pose.travelled)

    return draw


def make_truck(rng: np.random.Generator) -> Draw:
    """A lorry with a box, a tank or a tipper behind its cab."""
    style = str(rng.choice(["box", "tank", "tipper"], p=[0.5, 0.25, 0.25]))
    paint, load = pick(rng, PAINTS), pick(rng, PAINTS)
    badge = pick(rng, PAINTS)
    long, high = float(rng.uniform(0.95, 1.05)), float(rng.uniform(0.92, 1.06))
    k = np.array([long, high])
    cab = rounded([(1.45, 0.45), (1.45, 2.3), (2.5, 2.3), (3.0, 1.4), (3.1, 0.45)], 2) * k
    window = rounded([(1.85, 1.42), (1.85, 2.08), (2.42, 2.08), (2.78, 1.42)], 1) * k
    skin = pick(rng, SKINS)
    tipper = np.array([(-3.15, 2.0), (-2.85, 0.85), (1.2, 0.85), (1.35, 2.1)]) * k
    heap = rounded([(-3.0, 1.95), (-1.8, 2.35), (-0.8, 2.25), (0.3, 2.5), (1.3, 2.0)], 2) * k

    def cargo(pen: Pen) -> None:
        if style == "box":
            pen.poly(box(-3.1, 0.8, 1.35, 2.95) * k, load)
            pen.detail(box(-3.1, 0.8, 1.35, 0.98) * k, shade(load, 0.7))
            pen.detail(box(-3.1, 2.82, 1.35, 2.95) * k, shade(load, 1.2))
            pen.detail(oval(-0.85, 1.9, 0.72, 0.6) * k, badge)
            pen.detail(oval(-0.85, 1.9, 0.4, 0.33) * k, mix(badge, load, 0.75))
        elif style == "tank":
            pen.poly(rounded([(-3.1, 0.85), (-3.1, 2.4), (1.3, 2.4), (1.3, 0.85)], 3) * k, load)
            pen.detail(box(-2.75, 2.0, 0.95, 2.16) * k, shade(load, 1.3))
            pen.detail(box(-2.75, 1.1, 0.95, 1.3) * k, shade(load, 0.7))
            pen.poly(box(-1.2, 2.36, -0.6, 2.55) * k, shade(load, 0.6))
        else:
            pen.poly(heap, colour("#8a6a45"))
            pen.poly(tipper, load)
            for x in (-2.0, -1.0, 0.0):
                pen.line((x * long, 0.9), ((x - 0.05) * long, 1.95 * high), 0.08, shade(load, 0.65))

    def draw(pen: Pen, pose: Pose) -> None:
        pen.poly(box(-3.1, 0.5, 2.0, 0.86) * k, colour("#3a3d42"))
        cargo(pen)
        pen.poly(cab, paint)
        pen.detail(window, GLASS)
        pen.detail(oval(2.2, 1.62, 0.16, 0.2) * k, skin)
        pen.detail(box(1.45, 0.5, 3.05, 0.72) * k, shade(paint, 0.55))
        pen.line((1.75 * long, 0.7), (1.75 * long, 2.1 * high), 0.03, shade(paint, 0.7))
        pen.detail(box(2.85, 0.75, 3.08, 1.0) * k, LAMP)
        pen.detail(box(-3.1, 0.55, -2.95, 0.8) * k, STOP if pose.braking else TAIL)
        for x in (-2.3, -1.3, 2.15):
            wheel(pen, x * long, 0.46, pose.travelled)

    return draw


def make_bicycle(rng: np.random.Generator) -> Draw:
    """A bicycle and its rider, who pedals."""
    frame, shirt = pick(rng, PAINTS), pick(rng, CLOTHES)
    legs, skin, helmet = pick(rng, TROUSERS), pick(rng, SKINS), pick(rng, PAINTS)
    lean, basket = float(rng.uniform(0.12, 0.38)), rng.random() < 0.4
    hip, crank = (-0.2, 1.02), (-0.02, 0.34)
    neck = (hip[0] + lean + 0.06, hip[1] + 0.56 - lean * 0.3)
    head, grip = (neck[0] + 0.08, neck[1] + 0.2), (0.48, 1.02)

    def leg(pen: Pen, angle: float, paint: Colour) -> None:
        foot = (crank[0] + 0.17 * math.cos(angle), crank[1] - 0.02 + 0.17 * math.sin(angle))
        middle = ((hip[0] + foot[0]) / 2, (hip[1] + foot[1]) / 2)
        dx, dy = foot[0] - hip[0], foot[1] - hip[1]
        bend = math.sqrt(max(0.0, 0.19 - (dx * dx + dy * dy) / 4))
        norm = math.hypot(dx, dy)
        knee = (middle[0] - dy / norm * bend, middle[1] + dx / norm * bend)
        pen.limb(hip, knee, 0.18, paint, 0.8)
        pen.limb(knee, foot, 0.14, paint, 0.7)
        pen.limb((foot[0] - 0.05, foot[1] - 0.04), (foot[0] + 0.13, foot[1] - 0.04), 0.08, RUBBER)

    def cycle(pen: Pen, pose: Pose) -> None:
        for x in (-0.55, 0.55):
            pen.ring(x, 0.35, 0.325, 0.06, RUBBER)
            for k in range(4):
                a = -pose.travelled / 0.35 + k * math.pi / 4
                c, s = 0.3 * math.cos(a), 0.3 * math.sin(a)
                pen.line((x - c, 0.35 - s), (x + c, 0.35 + s), 0.01, shade(CHROME, 0.8))
        tubes = [((-0.55, 0.35), crank), (crank, (-0.22, 0.9)), ((-0.2, 0.78), (0.38, 0.84))]
        tubes += [(crank, (0.38, 0.8)), ((0.55, 0.35), (0.36, 0.98)), ((-0.55, 0.35), (-0.2, 0.8))]
        for p, q in tubes:
            pen.limb(p, q, 0.055, frame)
        pen.limb((-0.34, 0.94), (-0.08, 0.94), 0.07, RUBBER)
        pen.limb((0.36, 0.98), grip, 0.05, RUBBER)
        if basket:
            pen.poly(box(0.5, 0.72, 0.82, 0.98), colour("#b98b52"))

    def draw(pen: Pen, pose: Pose) -> None:
        angle = -pose.travelled / 0.8
        leg(pen, angle + math.pi, shade(legs, 0.7))
        cycle(pen, pose)
        leg(pen, angle, legs)
        pen.limb((hip[0], hip[1] + 0.02), neck, 0.3, shirt, 0.85)
        elbow = ((neck[0] + grip[0]) / 2 + 0.02, (neck[1] + grip[1]) / 2 - 0.12)
        pen.limb((neck[0], neck[1] - 0.06), elbow, 0.12, shade(shirt, 0.85))
        pen.limb(elbow, grip, 0.1, skin)
        pen.disc(*head, 0.14, skin)
        pen.poly(oval(head[0] - 0.03, head[1] + 0.07, 0.17, 0.11), helmet)

    return draw


def make_person(rng: np.random.Generator) -> Draw:
    """Somebody on foot, with hair, clothes and perhaps a bag, a hat or a skirt."""
    shirt, trousers = pick(rng, CLOTHES), pick(rng, TROUSERS)
    skin, hair, bag = pick(rng, SKINS), pick(rng, HAIR), pick(rng, CLOTHES)
    size = float(rng.uniform(0.7, 0.8) if rng.random() < 0.12 else rng.uniform(0.92, 1.08))
    girth = float(rng.uniform(0.9, 1.2))
    skirt, pack, hat, long_hair = (rng.random() < p for p in (0.28, 0.3, 0.2, 0.4))
    beat = float(rng.uniform(0, math.tau))

    def leg(pen: Pen, swing: float, lift: float, paint: Colour) -> None:
        hip = (0.0, 0.92 * size)
        thigh = 0.46 * size
        knee = (hip[0] + thigh * math.sin(swing) + 0.02, hip[1] - thigh * math.cos(swing))
        shin = swing - lift
        foot = (knee[0] + thigh * math.sin(shin), max(0.06, knee[1] - thigh * math.cos(shin)))
        pen.limb(hip, knee, 0.19 * size * girth, paint, 0.8)
        pen.limb(knee, foot, 0.15 * size * girth, skin if skirt else paint, 0.75)
        shoe = (foot[0] + 0.14 * size, max(0.045, foot[1] - 0.03))
        pen.limb((foot[0] - 0.03, shoe[1]), shoe, 0.09, RUBBER)

    def arm(pen: Pen, swing: float, paint: Colour) -> None:
        top = (0.0, 1.38 * size)
        elbow = (top[0] + 0.29 * size * math.sin(swing), top[1] - 0.29 * size * math.cos(swing))
        bend = swing + 0.4
        hand = (elbow[0] + 0.26 * size * math.sin(bend), elbow[1] - 0.26 * size * math.cos(bend))
        pen.limb(top, elbow, 0.13 * size, paint)
        pen.limb(elbow, hand, 0.1 * size, paint)
        pen.disc(*hand, 0.06 * size, skin)

    def draw(pen: Pen, pose: Pose) -> None:
        step = beat + pose.travelled / size * 4.3
        wide = (1.0 - 0.55 * pose.across) * (0.0 if pose.travelled == 0 else 1.0)
        swing, bob = 0.5 * wide * math.sin(step), 0.0
        leg(pen, -swing, 0.55 * wide * max(0.0, math.sin(step + 1.9)), shade(trousers, 0.72))
        arm(pen, 0.9 * swing, shade(shirt, 0.7))
        leg(pen, swing, 0.55 * wide * max(0.0, -math.sin(step + 1.9)), trousers)
        waist, chest = (0.0, (0.95 + bob) * size), (0.01, 1.34 * size)
        if pack:
            pen.limb((-0.2 * size, 1.05 * size), (-0.19 * size, 1.3 * size), 0.2 * size, bag)
        if skirt:
            hem = [(-0.26, 0.58), (0.28, 0.58), (0.12, 1.02), (-0.12, 1.02)]
            pen.poly(rounded(hem, 1) * size, shade(shirt, 0.85))
        pen.limb(waist, chest, 0.31 * size * girth, shirt)
        pen.limb((0.01, 1.45 * size), (0.02, 1.56 * size), 0.1 * size, skin)
        if long_hair:
            pen.limb((-0.06 * size, 1.66 * size), (-0.1 * size, 1.46 * size), 0.18 * size, hair)
        pen.disc(0.03 * size, 1.63 * size, 0.14 * size, skin)
        pen.poly(oval(-0.01, 1.7, 0.155, 0.105) * size, bag if hat else hair)
        if hat:
            pen.limb((0.0, 1.69 * size), (0.2 * size, 1.69 * size), 0.05 * size, shade(bag, 0.8))
        arm(pen, -0.9 * swing, shade(shirt, 0.88))

    return draw


def make_dog(rng: np.random.Generator) -> Draw:
    """A dog that trots and wags."""
    fur = pick(rng, FURS)
    dark, size = shade(fur, 0.7), float(rng.uniform(0.9, 1.15))
    spots, floppy, long = rng.random() < 0.4, rng.random() < 0.5, float(rng.uniform(0.9, 1.25))
    patch = pick(rng, FURS)

    def leg(pen: Pen, x: float, swing: float, paint: Colour) -> None:
        knee = (x + 0.17 * size * math.sin(swing), 0.22 * size)
        foot = (knee[0] + 0.17 * size * math.sin(swing - 0.25), 0.06)
        pen.limb((x, 0.42 * size), knee, 0.14 * size, paint, 0.75)
        pen.limb(knee, foot, 0.1 * size, paint)

    def draw(pen: Pen, pose: Pose) -> None:
        step = pose.travelled / size * 7.0
        back, front = -0.3 * size * long, 0.3 * size * long
        swing = (1.0 - 0.5 * pose.across) * 0.55 * math.sin(step)
        leg(pen, back + 0.05, -swing, dark)
        leg(pen, front - 0.03, swing, dark)
        wag = 0.25 * math.sin(pose.travelled * 11.0)
        tail = (back - 0.26 * size, (0.78 + wag * 0.4) * size)
        pen.limb((back - 0.06, 0.52 * size), tail, 0.1 * size, fur, 0.6)
        pen.limb((back, 0.46 * size), (front, 0.5 * size), 0.32 * size, fur, 1.05)
        if spots:
            pen.detail(oval(-0.02, 0.54 * size, 0.16 * size, 0.1 * size), patch)
        leg(pen, back, swing, fur)
        leg(pen, front, -swing, fur)
        head = (front + 0.22 * size, 0.8 * size)
        pen.limb((front + 0.02, 0.54 * size), head, 0.2 * size, fur)
        pen.disc(*head, 0.155 * size, fur)
        snout = (head[0] + 0.2 * size, head[1] - 0.05 * size)
        pen.limb(head, snout, 0.14 * size, fur, 0.85)
        pen.disc(snout[0] + 0.05 * size, snout[1] + 0.02, 0.035 * size, RUBBER)
        drop = -0.14 if floppy else 0.22
        pen.limb((head[0] - 0.06 * size, head[1] + 0.08 * size), (head[0] - 0.13 * size, head[1] + drop * size), 0.1 * size, dark)
        pen.disc(head[0] + 0.06 * size, head[1] + 0.04 * size, 0.024 * size, RUBBER, solid=False)
        pen.limb((front + 0.07 * size, 0.62 * size), (front + 0.16 * size, 0.57 * size), 0.06, colour("#d7263d"))

    return draw


MAKERS: dict[str, Callable[[np.random.Generator], Draw]] = {
    "bicycle": make_bicycle,
    "bus": make_bus,
    "car": make_car,
    "dog": make_dog,
    "person": make_person,
    "truck": make_truck,
}
