"""Who moves where on the sample street: a small seeded simulation whose paths are exact."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FPS = 25
STEP = 1.0 / FPS
WARM_UP = 30 * FPS  # simulated before frame 0, so that the street is already busy
DEPTH = 660.0  # distance in metres = DEPTH / scale, scale in pixels per metre

FAR_WALK = (28.6, 30.4)
FAR_CURB = 31.6
NEAR_CURB = 68.6
NEAR_WALK = (70.6, 75.6)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A level camera: `scale` (pixels per metre) stands for depth, larger is nearer."""

    width: int = 1280
    height: int = 720
    horizon: float = 140.0
    rise: float = 7.5
    centre: float = 640.0

    def ground(self, x: float, scale: float) -> tuple[float, float]:
        """Screen point, in pixels, of the ground `x` metres right of the axis."""
        return self.centre + x * scale, self.horizon + self.rise * scale

    def reach(self, scale: float) -> float:
        """Half the width of the view at this depth, in metres."""
        return self.width / 2 / scale


@dataclass(frozen=True)
class Lane:
    """One lane: its depth, the way it runs (+1 is to the right) and what drives on it."""

    scale: float
    heading: int
    kinds: tuple[tuple[str, float], ...]
    pause: float  # mean seconds between two arrivals


CARS = (("car", 0.66), ("truck", 0.18), ("bus", 0.16))
BIKES = (("bicycle", 1.0),)
LANES = (
    Lane(32.9, -1, BIKES, 9.0),
    Lane(36.2, -1, CARS, 6.0),
    Lane(42.2, -1, CARS, 6.5),
    Lane(50.6, 1, CARS, 6.5),
    Lane(59.8, 1, CARS, 6.5),
    Lane(65.8, 1, BIKES, 8.5),
)
LENGTH = {"car": 4.0, "truck": 6.2, "bus": 8.2, "bicycle": 1.75}
PACE = {"car": (3.8, 6.0), "truck": (3.2, 4.4), "bus": (3.0, 4.0), "bicycle": (2.3, 3.5)}


@dataclass
class Actor:
    """One moving object: per frame its ground point, the distance it went, and its state."""

    id: int
    kind: str
    look: int  # seed of its colours and shape
    facing: NDArray[np.int8]
    x: Floats  # metres right of the camera axis, NaN while absent
    scale: Floats  # pixels per metre at its depth
    travelled: Floats
    braking: NDArray[np.bool_]
    across: Floats  # 0 walks along the street, 1 walks across it
    companion: int | None = None  # id of the walker who holds the leash

    def present(self, t: int) -> bool:
        """Whether the object is in the world (perhaps out of view) at frame `t`."""
        return bool(np.isfinite(self.x[t]))


@dataclass(frozen=True)
class Signal:
    """The crossing: its place in metres and the intervals, in seconds, when traffic must stop."""

    left: float
    right: float
    stops: tuple[tuple[float, float], ...]

    def red(self, seconds: float) -> bool:
        """Whether traffic must stop."""
        return any(a <= seconds < b for a, b in self.stops)

    def amber(self, seconds: float) -> bool:
        """Whether the light is about to turn red."""
        return any(a - 1.2 <= seconds < a for a, _ in self.stops)


@dataclass
class _Rider:
    """The running state of one vehicle while its lane is simulated; `u` is along the lane."""

    kind: str
    look: int
    length: float
    wish: float
    u: float
    speed: float
    holds: bool = False
    slowing: bool = False
    log: dict[int, tuple[float, bool]] = field(default_factory=dict)


def make_signal(rng: np.random.Generator, frames: int) -> Signal:
    """Place the crossing and spread the red phases over the clip."""
    middle = float(rng.uniform(-4.5, 4.5))
    first = float(rng.uniform(-22.0, -6.0))
    starts = np.arange(first, frames * STEP + 1.0, 22.0)
    return Signal(middle - 1.7, middle + 1.7, tuple((float(a), float(a) + 10.5) for a in starts))


def drive(rng: np.random.Generator, lane: Lane, signal: Signal, frames: int) -> list[_Rider]:
    """Simulate one lane: arrivals, following at a distance, stopping at the red light."""
    edge = 900.0 / lane.scale + 9.0
    line = -signal.right if lane.heading < 0 else signal.left
    road: list[_Rider] = []
    everyone: list[_Rider] = []
    due = -WARM_UP * STEP
    for step in range(-WARM_UP, frames):
        now = step * STEP
        if now >= due and _room(road, edge):
            road.append(_arrive(rng, lane, edge))
            everyone.append(road[-1])
            due = now + float(rng.gamma(2.0, lane.pause / 2.0))
        _advance(road, signal.red(now), line - 0.8, step)
        road = [r for r in road if r.u < edge + 9.0]
    return everyone


def _room(road: list[_Rider], edge: float) -> bool:
    return not road or road[-1].u - road[-1].length / 2 > -edge + 6.5


def _arrive(rng: np.random.Generator, lane: Lane, edge: float) -> _Rider:
    names = [name for name, _ in lane.kinds]
    kind = str(rng.choice(names, p=[share for _, share in lane.kinds]))
    wish = float(rng.uniform(*PACE[kind]))
    return _Rider(kind, int(rng.integers(1 << 30)), LENGTH[kind], wish, -edge, wish)


def _advance(road: list[_Rider], red: bool, line: float, step: int) -> None:
    """Move every vehicle of a lane by one frame, leaders first."""
    ahead: _Rider | None = None
    for rider in road:
        nose = rider.u + rider.length / 2
        if not red:
            rider.holds = False
        elif not rider.holds:
            rider.holds = line - nose > rider.speed**2 / 5.0
        gap, closing = 99.0, 0.0
        if ahead is not None:
            gap, closing = ahead.u - ahead.length / 2 - nose, rider.speed - ahead.speed
        if rider.holds and line - nose < gap:
            gap, closing = line - nose, rider.speed
        force = _follow(rider.speed, rider.wish, gap, closing)
        rider.slowing = force < -0.5 or (rider.speed < 0.3 and gap < 4.0)
        rider.speed = max(0.0, rider.speed + force * STEP)
        rider.u += rider.speed * STEP
        rider.log[step] = (rider.u, rider.slowing)
        ahead = rider


def _follow(speed: float, wish: float, gap: float, closing: float) -> float:
    """Acceleration in m/s2 after the intelligent driver model (Treiber et al., 2000)."""
    wanted = 1.1 + max(0.0, speed * 0.9 + speed * closing / 4.2)
    free = 1.6 * (1.0 - (speed / wish) ** 4)
    return max(-5.0, free - 1.6 * (wanted / max(gap, 0.3)) ** 2)


def vehicle(rider: _Rider, lane: Lane, ident: int, frames: int) -> Actor:
    """Turn a simulated vehicle into a path over the frames of the clip."""
    x = np.full(frames, np.nan)
    braking = np.zeros(frames, bool)
    for step, (u, slowing) in rider.log.items():
        if step >= 0:
            x[step], braking[step] = u * lane.heading, slowing
    return Actor(
        ident,
        rider.kind,
        rider.look,
        np.full(frames, lane.heading, np.int8),
        x,
        np.full(frames, lane.scale),
        np.nan_to_num(x * lane.heading),
        braking,
        np.zeros(frames),
    )


def walk(points: list[tuple[float, float, float]], frames: int) -> tuple[Floats, Floats]:
    """Smooth path through (seconds, metres right, metres deep); NaN outside its time."""
    pad = 12
    times = np.arange(-pad, frames + pad) * STEP
    marks = np.array(points)
    kernel = np.full(2 * pad + 1, 1.0 / (2 * pad + 1))
    x, z = (
        np.convolve(np.interp(times, marks[:, 0], marks[:, i]), kernel, "valid") for i in (1, 2)
    )
    now = np.arange(frames) * STEP
    x[(now < marks[0, 0]) | (now > marks[-1, 0])] = np.nan
    return x, z


def walker(ident: int, kind: str, look: int, x: Floats, z: Floats) -> Actor:
    """A person or dog on a path given in metres right and metres deep."""
    dx, dz = np.gradient(np.nan_to_num(x)), np.gradient(z)
    pace = np.where(np.isfinite(x), np.hypot(dx, dz), 0.0)
    pace[pace > 0.5] = 0.0  # the jump where the path begins
    slope = np.abs(dz) / np.maximum(np.abs(dx) + np.abs(dz), 1e-6)
    across = np.where(pace > 1e-3, slope, 0.0)
    facing = _facing(dx)
    zeros = np.zeros(len(x), bool)
    return Actor(
        ident, kind, look, facing, x, DEPTH / z, np.cumsum(pace), zeros, across, companion=None
    )


def _facing(dx: Floats) -> NDArray[np.int8]:
    """+1 or -1 per frame; keeps the last clear direction while standing or crossing."""
    facing = np.zeros(len(dx), np.int8)
    clear = np.abs(dx) > 0.008
    last = int(np.sign(dx[np.argmax(clear)])) or 1
    for i, ok in enumerate(clear):
        last = int(np.sign(dx[i])) if ok and abs(dx[i]) < 0.5 else last
        facing[i] = last
    return facing


def stroll(rng: np.random.Generator, band: tuple[float, float], frames: int) -> list[list[Floats]]:
    """Paths of the people who walk along one pavement: a list of [x, z] pairs."""
    paths = []
    now = -40.0
    while now < frames * STEP:
        now += float(rng.gamma(2.0, 4.4 if band is NEAR_WALK else 4.0))
        scale = float(rng.uniform(*band))
        pace = float(rng.uniform(2.1, 2.6) if rng.random() < 0.15 else rng.uniform(0.85, 1.45))
        edge = (640.0 / scale + 1.5) * float(rng.choice([-1, 1]))
        points = [(now, -edge, DEPTH / scale), (now + 2 * abs(edge) / pace, edge, DEPTH / scale)]
        if points[-1][0] > 1.0:
            paths.append(list(walk(points, frames)))
    return paths


def cross(rng: np.random.Generator, signal: Signal, start: float, frames: int) -> list[Floats]:
    """The path of somebody who waits for the green man, crosses and walks on."""
    bands = [NEAR_WALK, FAR_WALK] if rng.random() < 0.5 else [FAR_WALK, NEAR_WALK]
    here, there = (DEPTH / float(rng.uniform(*band)) for band in bands)
    kerbs = [DEPTH / 69.6, DEPTH / 31.0]
    curb, landing = kerbs if here < there else kerbs[::-1]
    pace = float(rng.uniform(1.1, 1.4))
    x = float(rng.uniform(signal.left + 0.5, signal.right - 0.5))
    go = start + float(rng.uniform(1.8, 3.2))
    wait = go - float(rng.uniform(0.5, 5.0))
    side = (640.0 * here / DEPTH + 1.5) * float(rng.choice([-1, 1]))
    leave = (640.0 * there / DEPTH + 1.5) * float(rng.choice([-1, 1]))
    over = go + abs(curb - landing) / float(rng.uniform(1.6, 1.9))
    points = [
        (wait - abs(side - x) / pace - 1.0, side, here),
        (wait - 1.0, x, here),
        (wait, x, curb),
        (go, x, curb),
        (over, x, landing),
        (over + 1.0, x, there),
        (over + 1.0 + abs(leave - x) / pace, leave, there),
    ]
    return list(walk(points, frames))


def people(rng: np.random.Generator, signal: Signal, frames: int) -> list[Actor]:
    """Everybody on foot; every second one near the camera walks a dog."""
    paths = stroll(rng, FAR_WALK, frames) + stroll(rng, NEAR_WALK, frames)
    for start, _ in signal.stops:
        paths += [cross(rng, signal, start, frames) for _ in range(int(rng.integers(2, 5)))]
    crowd: list[Actor] = []
    for x, z in paths:
        if not np.isfinite(x).any():
            continue
        crowd.append(walker(0, "person", int(rng.integers(1 << 30)), x, z))
        if rng.random() < (0.5 if z[-1] < 12.0 else 0.25):
            crowd.append(_dog(rng, crowd[-1]))
    return crowd


def _dog(rng: np.random.Generator, owner: Actor) -> Actor:
    """A dog that trots a little ahead of its owner."""
    ahead = 1.0 + 0.12 * np.sin(np.arange(len(owner.x)) * 0.07 + rng.uniform(0, 6))
    turn = np.convolve(np.pad(owner.facing.astype(float), 8, "edge"), np.full(17, 1 / 17), "valid")
    z = DEPTH / owner.scale - 0.12
    dog = walker(0, "dog", int(rng.integers(1 << 30)), owner.x + ahead * turn, z)
    dog.facing = owner.facing
    dog.companion = -1
    return dog


def populate(seed: int, frames: int) -> tuple[list[Actor], Signal]:
    """Everything that moves over `frames` frames, numbered from 1, and the crossing."""
    rng = np.random.default_rng([seed, 1])
    signal = make_signal(rng, frames)
    actors = [
        vehicle(rider, lane, 0, frames)
        for lane in LANES
        for rider in drive(rng, lane, signal, frames)
    ]
    actors = [a for a in actors if np.isfinite(a.x).any()] + people(rng, signal, frames)
    for ident, actor in enumerate(actors, start=1):
        actor.id = ident
        actor.companion = ident - 1 if actor.companion is not None else None
    return actors, signal
