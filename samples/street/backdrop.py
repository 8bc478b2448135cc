"""The empty sample street of one seed: sky, houses, pavements, road and what stands on them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from street.furniture import (
    FINE,
    IRON,
    STONE,
    Sprite,
    bench,
    lamp,
    planter,
    signal_post,
    tree,
)
from street.pen import Colour, Image, Pen, box, colour, colours, mix, oval, pick, shade
from street.traffic import FAR_CURB, NEAR_CURB, Camera, Signal

SKIES = (  # top, bottom, haze, light as gains of blue, green, red
    ("#4f9fe0", "#cfe8f7", "#b9d3e3", (1.0, 1.0, 1.0)),
    ("#6aa9d8", "#fbe3c0", "#d9c9b8", (0.93, 0.99, 1.04)),
    ("#7b8fc4", "#f9c9a6", "#c9a9b0", (0.95, 0.94, 1.03)),
    ("#9fb3c4", "#dfe6ea", "#c2ccd3", (1.0, 0.97, 0.94)),
)
WALLS = colours(
    "#d98e73 #e3b78a #c96f5a #efd9b4 #a7b8a8 #8fa7b8 #d8c3a5 #b5838d #e6c9a8 #9a8c98 "
    "#f0c987 #7f9c96"
)
AWNINGS = colours("#c8553d #2a6f97 #3a7d44 #8d3b72 #d99a2b #31506b")


class Backdrop:
    """The empty street of one seed and the still objects that stand in it."""

    def __init__(self, seed: int, camera: Camera, signal: Signal) -> None:
        self.rng = np.random.default_rng([seed, 2])
        self.camera, self.signal = camera, signal
        top, low, haze, self.light = SKIES[int(self.rng.integers(len(SKIES)))]
        self.canvas: Image = np.zeros((camera.height * FINE, camera.width * FINE, 3), np.uint8)
        self.pen = Pen(self.canvas)
        self.pen.place(0, 0, FINE, 1)
        self.pen.zoom = np.array([float(FINE), float(FINE)])
        self._sky(colour(top), colour(low), colour(haze))
        self._houses()
        self._ground()
        size = (camera.width, camera.height)
        small = cv2.resize(self.canvas, size, interpolation=cv2.INTER_AREA)
        self.image: Image = np.asarray(small, np.uint8)
        self._speckle()
        self.sprites = sorted(self._furniture(), key=lambda s: s.scale)

    def _sky(self, top: Colour, low: Colour, haze: Colour) -> None:
        height = 360 * FINE
        t = np.linspace(0, 1, height)[:, None, None]
        self.canvas[:height] = np.array(top) * (1 - t) + np.array(low) * t
        rng, white = self.rng, mix(low, (255, 255, 255), 0.6)
        for _ in range(6):
            cx, cy, size = rng.uniform(0, 1280), rng.uniform(20, 130), rng.uniform(14, 30)
            for _ in range(7):
                at = (cx + rng.normal(0, size * 1.6), cy + rng.normal(0, size * 0.25))
                self.pen.poly(oval(*at, size * rng.uniform(0.9, 1.7), size * 0.55), white)
        x = -20.0
        while x < 1280:
            w, h = rng.uniform(40, 110), rng.uniform(150, 290)
            self.pen.poly(box(x, 360 - h, x + w, 360), shade(haze, rng.uniform(0.9, 1.04)))
            x += w * rng.uniform(0.7, 1.2)

    def _houses(self) -> None:
        x, last = float(self.rng.uniform(-90, -10)), -1
        while x < 1280:
            width = float(self.rng.uniform(120, 230))
            choice = int(self.rng.integers(len(WALLS)))
            choice = (choice + 1) % len(WALLS) if choice == last else choice
            self._house(x, width, WALLS[choice])
            last = choice
            x += width + (float(self.rng.uniform(14, 44)) if self.rng.random() < 0.25 else 0.0)

    def _house(self, x: float, width: float, wall: Colour) -> None:
        rng, pen = self.rng, self.pen
        floors = int(rng.integers(2, 5))
        base, storey, shop = 352.0, float(rng.uniform(54, 62)), 78.0
        roof = base - shop - floors * storey
        self._roof(x, width, roof, wall)
        pen.poly(box(x, roof, x + width, base), wall)
        pen.poly(box(x, roof, x + 7, base), shade(wall, 1.1))
        pen.poly(box(x + width - 7, roof, x + width, base), shade(wall, 0.86))
        columns = max(2, round(width / 46))
        arched, balcony = rng.random() < 0.35, rng.random() < 0.3
        for floor in range(floors):
            for column in range(columns):
                cx = x + (column + 0.5) * width / columns
                self._window(cx, roof + floor * storey + 13, storey - 24, wall, arched)
                if balcony and floor == floors - 1:
                    self._balcony(cx, roof + floor * storey + storey - 10)
            pen.poly(
                box(x, roof + (floor + 1) * storey - 3, x + width, roof + (floor + 1) * storey),
                shade(wall, 0.9),
            )
        self._shop(x, width, base, shop, wall)

    def _roof(self, x: float, width: float, top: float, wall: Colour) -> None:
        rng, pen = self.rng, self.pen
        tile = pick(rng, [colour(c) for c in ("#8b4a3c", "#5d6670", "#6f5b4f", "#a4603f")])
        style = int(rng.integers(3))
        for _ in range(int(rng.integers(1, 3))):
            cx = x + rng.uniform(0.15, 0.8) * width
            pen.poly(box(cx, top - 52, cx + 13, top), shade(wall, 0.78))
            pen.poly(box(cx - 2, top - 55, cx + 15, top - 48), shade(wall, 0.6))
        if style == 0:
            peak = [(x - 4, top + 2), (x + width / 2, top - 44), (x + width + 4, top + 2)]
            pen.poly(np.array(peak), tile)
        elif style == 1:
            slope = [(x, top), (x + 10, top - 34), (x + width - 10, top - 34), (x + width, top)]
            pen.poly(np.array(slope), tile)
            for k in range(max(1, int(width // 70))):
                cx = x + (k + 0.5) * width / max(1, int(width // 70))
                pen.poly(box(cx - 11, top - 29, cx + 11, top - 3), shade(wall, 1.1))
                pen.poly(box(cx - 7, top - 25, cx + 7, top - 5), colour("#4c6272"))
        pen.poly(box(x - 3, top - 4, x + width + 3, top + 5), shade(wall, 0.8))

    def _window(self, cx: float, y: float, high: float, wall: Colour, arched: bool) -> None:
        rng, pen = self.rng, self.pen
        lit = rng.random() < 0.14
        glass = colour("#f6dd9a") if lit else shade(colour("#55707f"), rng.uniform(0.8, 1.15))
        trim = mix(wall, (245, 248, 250), 0.65)
        pen.poly(box(cx - 11, y - 2, cx + 11, y + high + 1), trim)
        if arched:
            pen.poly(oval(cx, y, 11, 9), trim)
            pen.poly(oval(cx, y + 1, 8.5, 7), glass)
        pen.poly(box(cx - 8.5, y, cx + 8.5, y + high - 1), glass)
        if not lit:
            pen.poly(
                np.array([(cx - 8, y + high - 4), (cx - 8, y + 4), (cx + 4, y + 1)]),
                shade(glass, 1.22),
            )
        if rng.random() < 0.3:
            drape = pick(rng, AWNINGS)
            pen.poly(box(cx - 8.5, y, cx - 4.5, y + high - 1), mix(drape, glass, 0.4))
            pen.poly(box(cx + 4.5, y, cx + 8.5, y + high - 1), mix(drape, glass, 0.4))
        pen.poly(box(cx - 0.9, y, cx + 0.9, y + high - 1), trim)
        pen.poly(box(cx - 8.5, y + high * 0.42, cx + 8.5, y + high * 0.42 + 1.6), trim)
        pen.poly(box(cx - 13, y + high - 1, cx + 13, y + high + 2.5), shade(trim, 0.85))

    def _balcony(self, cx: float, y: float) -> None:
        for k in range(8):
            self.pen.poly(box(cx - 17 + 4.7 * k, y - 15, cx - 15.6 + 4.7 * k, y), IRON)
        self.pen.poly(box(cx - 18, y - 16, cx + 18, y - 14), IRON)
        self.pen.poly(box(cx - 19, y - 1, cx + 19, y + 2), shade(IRON, 0.8))

    def _shop(self, x: float, width: float, base: float, high: float, wall: Colour) -> None:
        rng, pen = self.rng, self.pen
        front, sign = shade(wall, 0.62), pick(rng, AWNINGS)
        pen.poly(box(x, base - high, x + width, base), front)
        door = x + width * float(rng.uniform(0.12, 0.7))
        glass = mix(colour("#6d8a98"), colour("#f3d99b"), float(rng.uniform(0.0, 0.55)))
        pen.poly(box(x + 10, base - high + 26, x + width - 10, base - 9), glass)
        for _ in range(int(width / 22)):
            px = float(rng.uniform(x + 14, x + width - 26))
            goods = mix(pick(rng, AWNINGS), glass, 0.45)
            pen.poly(box(px, base - rng.uniform(18, 36), px + rng.uniform(6, 13), base - 10), goods)
        for k in range(1, 4):
            pen.poly(
                box(x + k * width / 4 - 1.5, base - high + 26, x + k * width / 4 + 1.5, base - 9),
                front,
            )
        pen.poly(box(door, base - high + 24, door + 30, base), shade(front, 0.7))
        pen.poly(box(door + 5, base - high + 30, door + 25, base - 14), shade(glass, 0.8))
        pen.poly(box(x + 6, base - high + 3, x + width - 6, base - high + 17), sign)
        for k in range(int(rng.integers(4, 9))):
            lx = x + width / 2 - 34 + 9 * k
            pen.poly(
                box(lx, base - high + 7, lx + 6, base - high + 13), mix(sign, (255, 255, 255), 0.8)
            )
        if rng.random() < 0.65:
            self._awning(x + 6, width - 12, base - high + 18, pick(rng, AWNINGS))

    def _awning(self, x: float, width: float, y: float, paint: Colour) -> None:
        stripes = max(4, round(width / 15))
        step = width / stripes
        for k in range(stripes):
            tint = paint if k % 2 else colour("#f6efe2")
            left, right = x + k * step, x + (k + 1) * step
            drop = [(left, y), (right, y), (right + 1, y + 17), (left - 1, y + 17)]
            self.pen.poly(np.array(drop), tint)
            self.pen.poly(oval((left + right) / 2, y + 17, step / 2 + 1, 4), shade(tint, 0.92))

    def _patch(self, x0: float, x1: float, s0: float, s1: float, paint: Colour) -> None:
        """A rectangle on the ground: metres across, scales (depths) from far to near."""
        ground = self.camera.ground
        self.pen.poly(
            np.array([ground(x0, s0), ground(x1, s0), ground(x1, s1), ground(x0, s1)]), paint
        )

    def _ground(self) -> None:
        slab = mix(STONE, pick(self.rng, WALLS), 0.18)
        self._patch(-60, 60, 28.0, 80, slab)
        joint = shade(slab, 0.9)
        for x in np.arange(-24, 24, 1.2):
            self._patch(x, x + 0.05, 28.0, FAR_CURB, joint)
            self._patch(x, x + 0.03, NEAR_CURB, 80, joint)
        for s in (29.2, 30.4, 71.2, 74.4):
            self._patch(-60, 60, s, s + 0.16, joint)
        self._patch(-60, 60, 28.0, 28.5, shade(slab, 0.72))
        self._road()

    def _road(self) -> None:
        road, white = (
            shade(colour("#6a6e75"), float(self.rng.uniform(0.88, 1.06))),
            colour("#eceae2"),
        )
        kerb = shade(STONE, 1.1)
        self._patch(-60, 60, FAR_CURB - 0.35, NEAR_CURB + 0.9, kerb)
        self._patch(-60, 60, NEAR_CURB + 0.1, NEAR_CURB + 0.9, shade(kerb, 0.8))
        self._patch(-60, 60, FAR_CURB, NEAR_CURB, road)
        lane = mix(
            road, pick(self.rng, [colour("#4d8a66"), colour("#a4574b"), colour("#4c7396")]), 0.55
        )
        self._patch(-60, 60, FAR_CURB, 33.7, lane)
        self._patch(-60, 60, 63.3, NEAR_CURB - 0.6, lane)
        for s in (33.7, 63.3):
            self._patch(-60, 60, s, s * 1.006, white)
        for s in (45.9, 46.7):
            self._patch(-60, 60, s, s * 1.007, colour("#e7b949"))
        for s in (38.8, 54.6):
            for x in np.arange(-24, 24, 3.2):
                self._patch(x, x + 1.5, s, s * 1.009, white)
        for x in self.rng.uniform(-9, 9, 3):
            cx, cy = self.camera.ground(float(x), float(self.rng.choice([44.0, 53.0, 57.0])))
            self.pen.poly(oval(cx, cy, 17, 5), shade(road, 0.7))
            self.pen.poly(oval(cx, cy, 14, 3.8), shade(road, 0.85))
        self._crossing(road, white)

    def _crossing(self, road: Colour, white: Colour) -> None:
        left, right = self.signal.left, self.signal.right
        self._patch(left, right, FAR_CURB, NEAR_CURB, road)
        depths = 1.0 / np.linspace(1 / 32.0, 1 / 68.0, 18)
        for far, near in zip(depths[::2], depths[1::2], strict=True):
            self._patch(left, right, float(far), float(near), white)
        self._patch(left - 0.75, left - 0.5, 46.9, 63.0, white)
        self._patch(right + 0.5, right + 0.75, 34.0, 45.7, white)

    def _speckle(self) -> None:
        """Grain on the ground, so that asphalt does not look like paper."""
        grain = self.rng.normal(0, 4.0, (360, 1280)).astype(np.float32)
        grain += cv2.GaussianBlur(self.rng.normal(0, 60, (360, 1280)).astype(np.float32), (0, 0), 9)
        part = self.image[360:].astype(np.float32) + grain[..., None]
        self.image[360:] = np.clip(part, 0, 255).astype(np.uint8)

    def _furniture(self) -> list[Sprite]:
        rng, camera, middle = self.rng, self.camera, (self.signal.left + self.signal.right) / 2
        away = [
            s for s in np.arange(-19, 19, 4.6) + rng.uniform(-1.2, 1.2) if abs(s - middle) > 2.6
        ]
        far = [tree(rng, camera, float(x), 31.0) for x in away if rng.random() < 0.75]
        side = float(rng.choice([-1, 1]))
        near = [tree(rng, camera, side * float(rng.uniform(6.6, 9.0)), 69.6)]
        spots = [x for x in np.arange(-8.5, 8.6, 5.6) + rng.uniform(-1, 1) if abs(x - middle) > 2.4]
        lamps = [lamp(camera, float(x), 69.3, 1 if rng.random() < 0.5 else -1) for x in spots[:3]]
        lamps += [lamp(camera, float(x) + 2.2, 31.2, 1) for x in away[::3]]
        tubs = [planter(rng, camera, float(rng.uniform(-7.5, 7.5)), 76.4) for _ in range(2)]
        seat = [bench(camera, float(-side * rng.uniform(3.5, 7.0)), 70.2)]
        posts = [
            signal_post(camera, self.signal.left - 0.9, 67.6),
            signal_post(camera, self.signal.right + 0.9, FAR_CURB + 0.2),
        ]
        return far + near + lamps + tubs + seat + posts

    def light_up(self, pen: Pen, post: Sprite, second: float) -> None:
        """Light the lamp of a traffic light for this moment."""
        state = 2 if self.signal.red(second) else 1 if self.signal.amber(second) else 0
        paint = (colour("#3ddc84"), colour("#ffc53d"), colour("#ff4d4f"))[state]
        pen.place(*self.camera.ground(post.x, post.scale), post.scale, 1)
        pen.disc(0.0, 2.4 + 0.32 * state, 0.12, paint, solid=False)
        gleam = mix(paint, (255, 255, 255), 0.5)
        pen.disc(-0.02, 2.43 + 0.32 * state, 0.05, gleam, solid=False)


def flicker(seed: int, t: int) -> float:
    """Slow change of the light, as when thin clouds pass: a gain around 1."""
    turn = 0.7 * seed
    return 1.0 + 0.025 * math.sin(t / 95.0 + turn) + 0.015 * math.sin(t / 37.0 + 2 * turn)
