"""The motion gate: noise and light are no motion, things that move are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from streamkit.errors import ConfigError
from streamkit.events import DropCause
from streamkit.frame import Image, Plane, VideoFrame
from streamkit.freshness.gate import GateOptions, MotionGate

RNG = np.random.default_rng(7)
SCENE = np.kron(RNG.integers(20, 200, (36, 64)), np.ones((20, 20))).astype(np.float32)

NOISE = [RNG.normal(0, 1, SCENE.shape).astype(np.float32) for _ in range(5)]


class Seen:
    """A decoded picture with luma only, and what its decoder says of motion."""

    width, height = 1280, 720

    def __init__(self, luma: Plane, motion: float | None = None) -> None:
        self._luma, self.motion = luma, motion
        self.looked = 0

    @property
    def luma(self) -> Plane:
        self.looked += 1
        return self._luma

    def bgr(self) -> Image:
        raise AssertionError("the gate converts no colours")


def frame(scene: np.ndarray, at: float, noise: float = 3.0) -> VideoFrame:
    rows, columns = scene.shape
    spread = NOISE[int(at * 1000) % len(NOISE)][:rows, :columns] * noise
    noisy = np.clip(scene + spread, 0, 255).astype(np.uint8)
    return VideoFrame(Seen(noisy), 1, datetime.now(UTC), captured_at=at)


def times(start: float, count: int, fps: float = 25.0) -> Iterator[float]:
    return (start + number / fps for number in range(count))


def with_somebody(x: int = 500) -> np.ndarray:
    scene = SCENE.copy()
    scene[300:390, x : x + 40] = 250
    return scene


@pytest.mark.parametrize("noise", [0.0, 3.0, 10.0])
def test_noise_is_no_motion(noise: float) -> None:
    gate = MotionGate(GateOptions(heartbeat=100))
    passed = [gate(frame(SCENE, at, noise)) is None for at in times(0, 30)]
    assert passed == [True] + [False] * 29


@pytest.mark.parametrize("light", [lambda s: s + 40, lambda s: s * 0.5 + 10, lambda s: s * 1.2])
def test_another_light_is_no_motion(light) -> None:  # type: ignore[no-untyped-def]
    gate = MotionGate(GateOptions(heartbeat=100))
    assert gate(frame(SCENE, 0.0)) is None
    assert gate(frame(SCENE, 0.1)) is DropCause.STILL
    changed = np.clip(light(SCENE), 0, 255)
    assert [gate(frame(changed, at)) for at in times(0.2, 5)] == [DropCause.STILL] * 5


def test_who_comes_opens_it_at_once_and_it_stays_open_for_a_while() -> None:
    gate = MotionGate(GateOptions(heartbeat=100, hold=1.0, memory=1000))
    for at in times(0, 5):
        gate(frame(SCENE, at))
    assert gate(frame(with_somebody(), 1.0)) is None
    assert gate(frame(SCENE, 1.9)) is None
    assert gate(frame(SCENE, 2.1)) is DropCause.STILL


def test_what_came_and_stays_belongs_to_the_scene_in_the_end() -> None:
    gate = MotionGate(GateOptions(heartbeat=1000, hold=0.0, memory=2.0))
    gate(frame(SCENE, 0.0))
    assert gate(frame(with_somebody(), 0.1)) is None
    causes = [gate(frame(with_somebody(), at)) for at in times(0.2, 60, fps=5)]
    assert causes[0] is None
    assert causes[-1] is DropCause.STILL


def test_a_still_picture_is_shown_now_and_then() -> None:
    gate = MotionGate(GateOptions(heartbeat=2.0))
    passed = [at for at in times(0, 60, fps=10) if gate(frame(SCENE, at)) is None]
    assert passed == pytest.approx([0.0, 2.0, 4.0], abs=0.11)


def test_another_size_is_a_new_scene_and_a_clock_set_back_does_no_harm() -> None:
    gate = MotionGate(GateOptions(heartbeat=5.0))
    gate(frame(SCENE, 100.0))
    assert gate(frame(SCENE[:360], 100.1)) is DropCause.STILL
    assert gate(frame(SCENE[:360], 50.0)) is None
    assert gate(frame(SCENE[:3, :3], 50.1)) is DropCause.STILL


def test_a_decoder_that_knows_is_asked_instead() -> None:
    gate = MotionGate(GateOptions(heartbeat=100, hold=0.0))
    still, moving = (Seen(np.zeros((720, 1280), np.uint8), motion) for motion in (0.0, 0.1))
    gate(frame(SCENE, 0.0))
    answers = [
        gate(VideoFrame(picture, 1, datetime.now(UTC), captured_at=1.0))
        for picture in (still, moving)
    ]
    assert answers == [DropCause.STILL, None]
    assert still.looked == moving.looked == 0


def test_wrong_options_are_named() -> None:
    assert GateOptions.of(False) is None
    assert GateOptions.of({"threshold": 20}) == GateOptions(threshold=20)
    for wrong in ({"heartbeat": 0}, {"area": 2}, {"hold": -1}, {"sensitivity": 3}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            GateOptions.of(wrong)
