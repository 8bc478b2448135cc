"""What is seen in the pictures of a live stream, and what is not mistaken for trouble."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from streamkit.errors import StreamErrorCode
from streamkit.frame import Plane
from streamkit.streams.health import Health

HEIGHT, WIDTH = 270, 480
RANDOM = np.random.default_rng(7)
NOISE = [RANDOM.normal(0, 1, (HEIGHT, WIDTH)) for _ in range(5)]


def shapes() -> npt.NDArray[np.float64]:
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    found = np.sin(across / 37.0) + np.cos(down / 23.0) + ((across // 16 + down // 12) % 2) - 0.5
    return np.asarray(found / found.std())


SHAPES = shapes()


def scene(spread: float = 45.0, mean: float = 110.0, noise: float = 1.5) -> Plane:
    """Something like a yard: shapes at many sizes, with or without a sensor's noise."""
    grain = np.roll(NOISE[RANDOM.integers(5)], int(RANDOM.integers(WIDTH)), 1)
    return np.clip(mean + spread * SHAPES + noise * grain, 0, 255).astype(np.uint8)


def watch(
    health: Health,
    picture: Callable[[int], Plane],
    seconds: float,
    *,
    begin: float,
    fps: float = 12.5,
) -> float:
    """Show ``picture(number)`` for so long, as the reader does; the end."""
    count = int(seconds * fps)
    for number in range(count):
        now = begin + number / fps
        health.clean()
        if health.due(now):
            health.look(picture(number), now)
    return begin + count / fps


def test_a_picture_that_never_changes_is_frozen_after_the_time_given_and_not_before() -> None:
    health, still = Health(10.0), scene()
    now = watch(health, lambda _: still, 9.5, begin=100.0)
    assert not health.frozen
    now = watch(health, lambda _: still, 1.5, begin=now)
    assert health.frozen
    assert health.frozen_since == 100.0
    assert health.troubles(now) == {StreamErrorCode.FROZEN}


def test_a_still_scene_with_the_noise_of_a_sensor_is_not_frozen() -> None:
    health = Health(2.0)
    now = watch(health, lambda _: scene(noise=0.6), 6.0, begin=0.0)
    assert health.troubles(now) == frozenset()


def test_something_small_that_moves_between_the_samples_keeps_it_alive() -> None:
    """A noise-free scene in which a square of 12 x 12 pixels wanders."""
    still = np.kron(scene(noise=0.0), np.ones((4, 4), np.uint8))

    def wandering(number: int) -> Plane:
        picture = still.copy()
        left = 40 + number * 7 % 1500
        picture[500:512, left : left + 12] = 255
        return picture

    health = Health(10.0)
    watch(health, wandering, 40.0, begin=0.0, fps=5.0)
    assert not health.frozen


def test_the_first_other_picture_ends_it_at_once() -> None:
    health, still = Health(1.0), scene()
    now = watch(health, lambda _: still, 2.0, begin=0.0)
    assert health.frozen
    assert health.due(now)
    health.look(scene(), now)
    assert not health.frozen


def test_a_few_pictures_far_apart_are_not_enough_to_call_it_frozen() -> None:
    health, still = Health(10.0), scene()
    watch(health, lambda _: still, 40.0, begin=0.0, fps=0.1)
    assert not health.frozen


def test_what_was_frozen_before_a_reconnection_still_is_until_it_moves() -> None:
    health, still = Health(1.0), scene()
    now = watch(health, lambda _: still, 1.5, begin=0.0)
    assert health.to_be_cured(now, None) is None
    now = watch(health, lambda _: still, 1.0, begin=now)
    assert health.to_be_cured(now, None) is StreamErrorCode.FROZEN
    health.reconnected()
    assert health.to_be_cured(now + 5, None) is None, "no picture came yet"
    now = watch(health, lambda _: still, 0.5, begin=now + 5)
    assert health.frozen
    assert health.to_be_cured(now, None) is None
    now = watch(health, lambda _: still, 0.6, begin=now)
    assert health.to_be_cured(now, None) is StreamErrorCode.FROZEN


def test_a_loss_begins_the_count_of_equal_pictures_anew() -> None:
    health, still = Health(10.0), scene()
    now = watch(health, lambda _: still, 8.0, begin=0.0)
    health.reconnected()
    watch(health, lambda _: still, 8.0, begin=now + 20)
    assert not health.frozen


def test_it_may_be_turned_off() -> None:
    health, still = Health(None, view=False), scene()
    now = watch(health, lambda _: still, 60.0, begin=0.0)
    assert health.troubles(now) == frozenset()
    assert not health.due(now + 100)


def test_pictures_of_one_buffer_that_is_written_again_and_again_are_not_frozen() -> None:
    health, buffer = Health(1.0), scene()

    def again(_number: int) -> Plane:
        buffer[:] = scene()
        return buffer

    watch(health, again, 3.0, begin=0.0)
    assert not health.frozen


@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_black_is_told_after_three_seconds_and_dusk_is_not_black(noise: float) -> None:
    health = Health(None)
    now = watch(health, lambda _: scene(), 10.0, begin=0.0)
    dusk = watch(health, lambda _: scene(spread=7.0, mean=30.0), 10.0, begin=now)
    assert StreamErrorCode.BLACK not in health.troubles(dusk)
    now = watch(health, lambda _: scene(0.0, 16.0, noise), 2.0, begin=dusk)
    assert StreamErrorCode.BLACK not in health.troubles(now)
    now = watch(health, lambda _: scene(0.0, 16.0, noise), 3.0, begin=now)
    assert StreamErrorCode.BLACK in health.troubles(now)
    now = watch(health, lambda _: scene(), 5.0, begin=now)
    assert health.troubles(now) == frozenset()


def test_a_hand_over_the_lens_is_covered_and_an_even_wall_from_the_start_is_not() -> None:
    health = Health(None)
    now = watch(health, lambda _: scene(), 10.0, begin=0.0)
    now = watch(health, lambda _: scene(spread=5.0, mean=70.0), 5.0, begin=now)
    assert health.troubles(now) == {StreamErrorCode.COVERED}
    now = watch(health, lambda _: scene(), 5.0, begin=now)
    assert health.troubles(now) == frozenset()
    wall = Health(None)
    now = watch(wall, lambda _: scene(spread=3.0, mean=180.0), 30.0, begin=0.0)
    assert wall.troubles(now) == frozenset()


def test_a_change_of_light_is_not_covered() -> None:
    health = Health(None)
    now = watch(health, lambda _: scene(), 10.0, begin=0.0)
    now = watch(health, lambda _: scene(spread=22.0, mean=60.0), 20.0, begin=now)
    assert health.troubles(now) == frozenset()


def test_covered_stays_covered_however_long() -> None:
    health = Health(None)
    now = watch(health, lambda _: scene(), 10.0, begin=0.0)
    for _ in range(3):
        now = watch(health, lambda _: scene(spread=5.0, mean=70.0), 60.0, begin=now, fps=2.0)
        assert health.troubles(now) == {StreamErrorCode.COVERED}


def test_damage_is_told_for_as_long_as_it_lasts_and_cured_when_nothing_else_comes() -> None:
    health = Health(None)
    health.clean()
    health.damaged(1.0)
    assert health.troubles(1.5) == {StreamErrorCode.CORRUPT}
    assert health.to_be_cured(9.0, 10.0) is None
    assert health.to_be_cured(11.0, 10.0) is StreamErrorCode.CORRUPT
    assert health.to_be_cured(11.0, None) is None
    health.reconnected()
    assert health.troubles(11.1) == frozenset()
    assert health.to_be_cured(99.0, 10.0) is None, "nothing has come yet"


def test_another_size_is_another_picture() -> None:
    health, still = Health(2.0), scene()
    now = watch(health, lambda _: still, 3.0, begin=0.0)
    assert health.frozen
    health.look(still[:200, :300], now)
    assert not health.frozen


@pytest.mark.parametrize("shape", [(1, 1), (1, 640), (480, 1), (2, 3), (7, 5)])
def test_pictures_of_any_shape_can_be_looked_at(shape: tuple[int, int]) -> None:
    health = Health(1.0)
    now = watch(health, lambda n: np.full(shape, n % 250, np.uint8), 4.0, begin=0.0)
    assert StreamErrorCode.FROZEN not in health.troubles(now)


def test_a_look_costs_little_whatever_the_size() -> None:
    """A liveness bound; measured 0.13 ms for 1920 x 1080 on one slow core, four times a second."""
    health = Health(10.0)
    big = RANDOM.integers(0, 255, (2160, 3840), np.uint8)
    health.look(big, 0.0)
    began = time.perf_counter()
    for number in range(20):
        health.look(big, number * 0.25)
    assert (time.perf_counter() - began) / 20 < 0.02


def test_one_damaged_picture_after_a_long_pause_is_nothing_to_be_cured() -> None:
    health = Health()
    health.clean()
    health.damaged(30.0)
    assert health.to_be_cured(30.0, 10.0) is None
    health.damaged(39.9)
    assert health.to_be_cured(39.9, 10.0) is None
    health.damaged(40.0)
    assert health.to_be_cured(40.0, 10.0) is StreamErrorCode.CORRUPT


def test_who_connects_between_two_key_frames_sees_no_damage_yet() -> None:
    health = Health()
    health.damaged(0.0)
    health.damaged(2.0)
    assert not health.troubles(2.0)
    health.clean()
    assert not health.troubles(2.1)
    health.damaged(2.2)
    assert health.troubles(2.2) == {StreamErrorCode.CORRUPT}


def test_a_connection_that_never_gives_a_whole_picture_is_damaged() -> None:
    health = Health()
    for tenth in range(31):
        health.damaged(tenth / 10)
    assert health.troubles(3.0) == {StreamErrorCode.CORRUPT}
    health.clean()
    assert not health.troubles(3.1)
