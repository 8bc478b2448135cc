"""Who is who through crossings, hiding places and absences: at any rate, with drops and bursts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from streamkit.predictions import Detections, Result
from streamkit.stages.algorithms import Algorithm
from streamkit.stages.track import Track
from tests.stages.making import frame, objects

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
RATE, SECONDS = 30, 6
Scene = Callable[[float], dict[str, tuple[float, float]]]
"""Who can be seen where at a time: x and y of the foot; boxes are 40 x 80."""


def crossing(at: float) -> dict[str, tuple[float, float]]:
    """Two people pass each other; the one behind is not found while the other hides him."""
    near, far = (60 + 90 * at, 330.0), (580 - 90 * at, 310.0)
    both = {"near": near, "far": far}
    return {"near": near} if abs(near[0] - far[0]) < 20 else both


def hidden(at: float) -> dict[str, tuple[float, float]]:
    """Somebody walks behind a column, somebody else stands there."""
    x = 60 + 80 * at
    standing = {"stands": (420.0, 330.0)}
    return standing if 270 < x < 330 else {"walks": (x, 300.0), **standing}


def queue(at: float) -> dict[str, tuple[float, float]]:
    """Five walk in a row, one and a half widths apart."""
    return {f"{n}": (60 * n + 50 * at, 300.0) for n in range(5)}


def turning(at: float) -> dict[str, tuple[float, float]]:
    """Two meet, stand for a moment and go back where they came from."""
    way = 60 * min(at, 2.6) - 60 * max(0.0, at - 3.4)
    return {"left": (70 + way, 300.0), "right": (570 - way, 300.0)}


SCENES: tuple[Scene, ...] = (crossing, hidden, queue, turning)
ALL = range(RATE * SECONDS)


def by_chance(seed: int) -> list[int]:
    """About half of the frames, which ones by chance."""
    return np.flatnonzero(np.random.default_rng(seed).random(len(ALL)) < 0.5).tolist()


def in_bursts(seed: int) -> list[int]:
    """A third of a second is lost now and then."""
    rng, kept, at = np.random.default_rng(seed), np.ones(len(ALL), bool), 12
    while at < len(ALL):
        kept[at : at + 10] = False
        at += 10 + int(rng.integers(6, 40))
    return np.flatnonzero(kept).tolist()


def swaps(scene: Scene, kept: Iterable[int], track: Track) -> int:
    """How often somebody was given another number than before."""
    numbers: dict[str, list[int]] = {}
    for at in kept:
        there = scene(at / RATE)
        found = objects(*[(0, 0, x, y) for x, y in there.values()], tracked=False)
        after = track(Result(frame(at / RATE), found)).prediction
        for name, place in there.items():
            numbers.setdefault(name, []).extend(_number(after, *place))
    return sum(one != other for each in numbers.values() for one, other in pairwise(each))


def _number(tracked: Detections, x: float, y: float) -> list[int]:
    assert tracked.tracker_id is not None
    here = np.abs(tracked.xyxy[:, [0, 3]] + (20, 0) - (x, y)).max(axis=1) < 1e-3
    numbers: list[int] = tracked.tracker_id[here].tolist()
    return numbers


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_everybody_keeps_one_number_at_any_rate(scene: Scene, algorithm: Algorithm) -> None:
    for step in (1, 2, 3, 6):
        assert swaps(scene, ALL[::step], Track(algorithm=algorithm)) == 0, step


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_frames_dropped_by_chance_are_no_worse(scene: Scene, algorithm: Algorithm) -> None:
    for seed in range(2):
        for kept in (by_chance(seed), in_bursts(seed)):
            assert swaps(scene, kept, Track(algorithm=algorithm)) == 0, (seed, len(kept))


def test_who_comes_back_in_time_is_the_same_and_later_somebody_new() -> None:
    for step in (1, 2, 6):
        for away, same in ((0.8, True), (1.6, False)):
            track, told = Track(), []
            for at in ALL[::step]:
                there = not 2 <= at / RATE < 2 + away
                found = objects(*[(0, 0, 300, 300)] * there, tracked=False)
                after = track(Result(frame(at / RATE), found)).prediction.tracker_id
                told += after.tolist()
            assert (len(set(told)) == 1) is same, (step, away)
