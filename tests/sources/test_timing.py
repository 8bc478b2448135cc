"""Capture times against simulated cameras whose every shutter instant is known."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from streamkit.errors import ConfigError
from streamkit.frame import Clock
from streamkit.sources.timing import CaptureClock, Stamp

BEGUN = 1_800_000_000.0


@dataclass
class Clocks:
    """The two clocks of a machine, moved by hand."""

    now: float = 5000.0
    ahead: float = BEGUN

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.ahead


@dataclass
class Camera:
    """A camera and the way from it, in numbers. Times in seconds."""

    seed: int
    fps: float = 25.0
    delay: float = 0.1
    """The least from shutter to here."""
    jitter: float = 0.0
    """Mean of what each picture takes longer, exponentially distributed."""
    drift: float = 0.0
    """Of its crystal: pts run ``1 + drift`` as fast as time."""
    loss: float = 0.0
    backlog: float = 0.0
    """This much from before we came arrives in one go."""
    stalls: tuple[tuple[float, float], ...] = ()
    """(begin, length): nothing arrives, then all of it at once."""
    jumps: tuple[tuple[float, float], ...] = ()
    """(at, by): pts leap."""
    steps: tuple[tuple[float, float], ...] = ()
    """(at, by): our system's clock is set."""
    reports: float | None = None
    """Seconds between RTCP sender reports."""
    skew: float = 0.0
    """By how much its own clock is ahead of ours."""
    varies: bool = False
    """Intervals between half and twice the nominal one."""

    def pictures(self, seconds: float) -> Iterator[tuple[float, float, float, float | None]]:
        """(taken, arrived, pts, time as the camera says), in the order of arrival."""
        chance = random.Random(self.seed)
        origin = chance.uniform(0, 90_000)
        taken, arrived, reported = -self.backlog, 0.0, None
        while taken < seconds:
            taken += (chance.uniform(0.5, 2.0) if self.varies else 1.0) / self.fps
            late = chance.expovariate(1 / self.jitter) if self.jitter else 0.0
            arrived = max(arrived + 1e-4, self._through(taken + self.delay + late), 0.05)
            ticks = taken * (1 + self.drift)
            if self.reports and taken > 0 and (reported is None or taken > reported + self.reports):
                reported = taken
            said = None
            if reported is not None:  # as FFmpeg does: the last report and the ticks since
                said = reported + self.skew + (taken - reported) * (1 + self.drift)
            pts = origin + ticks + sum(by for at, by in self.jumps if taken >= at)
            if chance.random() >= self.loss:
                yield taken, arrived, pts, said

    def _through(self, at: float) -> float:
        """When what would come at ``at`` gets through the stalls."""
        for begin, length in self.stalls:
            if begin <= at < begin + length:
                return begin + length
        return at


@dataclass
class Watched:
    """What a clock said about a camera's pictures."""

    stamps: list[Stamp] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    """Said less true, seconds, by our system's clock at that moment."""
    taken: list[float] = field(default_factory=list)

    def uncovered(self, since: float = -1e9) -> list[tuple[float, float, float]]:
        """(taken, error, stated) of every picture whose error is greater than stated."""
        told = zip(self.taken, self.errors, self.stamps, strict=True)
        return [(t, e, s.uncertainty) for t, e, s in told if t >= since and abs(e) > s.uncertainty]

    def worst(self, since: float) -> float:
        """The greatest error of pictures taken from ``since`` on."""
        return max(abs(e) for t, e in zip(self.taken, self.errors, strict=True) if t >= since)

    def clocks(self, since: float = -1e9) -> set[Clock]:
        """The clocks of pictures taken from ``since`` on."""
        return {s.clock for t, s in zip(self.taken, self.stamps, strict=True) if t >= since}

    def goes_back(self) -> bool:
        """Does any time lie before the one before it?"""
        moments = [stamp.timestamp for stamp in self.stamps]
        return moments != sorted(set(moments))


def watch(camera: Camera, seconds: float = 60.0, choice: str = "auto", **options: bool) -> Watched:
    clocks, seen = Clocks(), Watched()
    start, clock = (
        clocks.now,
        CaptureClock("cam", choice, monotonic=clocks.monotonic, wall=clocks.wall, **options),
    )
    for taken, arrived, pts, said in camera.pictures(seconds):
        clocks.now = start + arrived
        clocks.ahead = BEGUN + sum(by for at, by in camera.steps if arrived >= at)
        sent = None if said is None else start + said + BEGUN
        clock.heard(pts, sent)
        stamp = clock.at(pts)
        seen.taken.append(taken)
        seen.stamps.append(stamp)
        seen.errors.append(stamp.timestamp.timestamp() - (start + taken + clocks.ahead))
    return seen


def any_camera(seed: int) -> Camera:
    """One of all the cameras there are."""
    chance = random.Random(seed)
    maybe = chance.random
    begin = chance.uniform(5, 40)
    return Camera(
        seed,
        fps=chance.choice([1, 5, 12.5, 15, 25, 29.97, 60]),
        delay=chance.uniform(0.01, 0.3),
        jitter=chance.choice([0.0, 0.001, 0.01, 0.05]),
        drift=chance.uniform(-100e-6, 100e-6),
        loss=chance.choice([0.0, 0.01, 0.2]),
        backlog=chance.choice([0.0, 0.0, 0.5, 2.0, 4.0]),
        stalls=((begin, chance.uniform(0.2, 8.0)),) if maybe() < 0.4 else (),
        jumps=((chance.uniform(5, 50), chance.choice([-95443.7, -500, -3, 3, 1e4, 47721.8])),)
        if maybe() < 0.3
        else (),
        varies=maybe() < 0.3,
    )


@pytest.mark.parametrize("block", range(10))
def test_the_stated_uncertainty_covers_every_picture_of_every_camera_timed_by_pts(
    block: int,
) -> None:
    for seed in range(block * 30, block * 30 + 30):
        camera = any_camera(seed)
        seen = watch(camera)
        assert not seen.uncovered(), camera
        assert not seen.goes_back(), camera
        assert seen.clocks() == {Clock.PTS}, camera


@pytest.mark.parametrize("block", range(4))
def test_with_sender_reports_the_cameras_own_clock_is_exact(block: int) -> None:
    for seed in range(1000 + block * 40, 1040 + block * 40):
        camera = any_camera(seed)
        camera.reports, camera.jumps = 5.0, ()
        seen = watch(camera, 40.0)
        assert not seen.uncovered(), camera
        assert not seen.goes_back(), camera
        quiet = not camera.stalls and not camera.backlog
        if quiet:
            assert seen.clocks(since=20.0) == {Clock.RTCP}, camera
            assert seen.worst(since=20.0) < 0.004, camera


def test_a_camera_whose_clock_is_set_wrong_is_timed_by_its_arrivals_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for skew in (-1_700_000_000.0, -5 * 3600.0, -3.0, 0.6, 7200.0):
        caplog.clear()
        seen = watch(Camera(1, reports=5.0, skew=skew, jitter=0.01))
        assert not seen.uncovered()
        assert not seen.goes_back()
        assert seen.clocks() == {Clock.PTS}
        assert seen.worst(since=1.0) < 0.2
        told = [record.getMessage() for record in caplog.records]
        assert len([text for text in told if "its clock is" in text]) == 1, told
        assert ("behind" if skew < 0 else "ahead of") in told[0]


def test_a_camera_whose_clock_is_late_by_less_than_pictures_take_is_believed_and_covered() -> None:
    seen = watch(Camera(1, reports=5.0, skew=-1.5, jitter=0.01))
    assert not seen.uncovered()
    assert not seen.goes_back()
    assert seen.clocks(since=6.0) == {Clock.RTCP}


def test_timestamps_that_run_slower_or_faster_than_time_are_found_out() -> None:
    for drift in (-0.5, -0.1, 0.2, 1.0):
        camera = Camera(3, drift=drift, jitter=0.005)
        seen = watch(camera, 180.0)
        assert not seen.uncovered(), drift
        assert not seen.goes_back(), drift
    seen = watch(Camera(3, drift=-0.5), 120.0)
    assert seen.clocks(since=60.0) == {Clock.ARRIVAL}
    assert seen.worst(since=60.0) < 0.2


def test_a_step_of_the_system_clock_is_adopted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for by in (-3600.0, -2.0, 2.0, 86400.0):
        for reports in (None, 5.0):
            caplog.clear()
            camera = Camera(1, steps=((20.0, by),), reports=reports, jitter=0.01)
            seen = watch(camera, 50.0)
            assert not seen.uncovered(), by
            if not (reports and by == 2.0):  # the camera may be right: believed, and 2 s stated
                assert seen.worst(since=45.0) < 0.2
            assert seen.goes_back() == (by < -5), "a step that is too far to be crept after"
            told = [record.getMessage() for record in caplog.records]
            assert len([text for text in told if "system's clock was set" in text]) == 1


def test_a_camera_that_is_set_by_ntp_while_we_look_is_followed() -> None:
    clocks = Clocks()
    clock = CaptureClock("cam", monotonic=clocks.monotonic, wall=clocks.wall)
    moments = []
    for number in range(1500):
        clocks.now += 0.04
        report = number // 125
        skew = 0.0 if number < 700 else -1.0  # set back by a second; the next report says so
        said = clocks.wall() - 0.1 + (skew if report * 125 >= 700 else 0.0)
        clock.heard(number * 0.04, said)
        stamp = clock.at(number * 0.04)
        moments.append(stamp.timestamp)
        assert abs(stamp.timestamp.timestamp() - (clocks.wall() - 0.1)) <= stamp.uncertainty
    assert moments == sorted(set(moments))


def test_pictures_are_matched_by_pts_whatever_the_decoder_holds_back() -> None:
    clocks = Clocks()
    clock = CaptureClock("cam", monotonic=clocks.monotonic, wall=clocks.wall)
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11]
    shown: list[float] = []
    for number in order * 20:
        index = len(shown)
        clocks.now += 0.04
        base = (index // 13) * 13
        clock.heard((base + number) * 0.04, None)
        shown.append(clock.at(max(0, index - 3) * 0.04).timestamp.timestamp())
    steps = [b - a for a, b in pairwise(shown[60:])]
    assert steps == pytest.approx([0.04] * len(steps), abs=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_pictures_without_times_are_covered_too(seed: int) -> None:
    camera = any_camera(seed)
    camera.varies, camera.backlog = False, 0.0
    seen = watch(camera, choice="arrival")
    assert seen.clocks() == {Clock.ARRIVAL}
    assert not seen.uncovered(), camera
    assert not seen.goes_back()
    counted = watch(camera, counted=True)
    assert counted.clocks() == {Clock.ARRIVAL}


def test_a_webcams_timestamps_are_the_kernels_own_where_they_can_be() -> None:
    for offset, expected in ((0.03, 0.001), (1e6, 0.1)):
        clocks = Clocks()
        clock = CaptureClock("cam", kernel=True, monotonic=clocks.monotonic, wall=clocks.wall)
        chance = random.Random(1)
        for number in range(100):
            taken = 5000.0 + number / 30
            clocks.now = max(clocks.now, taken + 0.03 + chance.uniform(0, 0.01))
            pts = taken if offset < 1 else taken - 4000.0
            clock.heard(pts)
            stamp = clock.at(pts)
        error = stamp.timestamp.timestamp() - (taken + BEGUN)
        assert abs(error) < expected
        assert stamp.clock is Clock.PTS
        assert abs(error) < stamp.uncertainty


def test_a_new_connection_goes_on_after_the_last_one() -> None:
    clocks = Clocks()
    clock = CaptureClock("cam", monotonic=clocks.monotonic, wall=clocks.wall)
    moments = []
    for connection in range(5):
        clock.begin()
        for number in range(50):
            clocks.now += 0.04
            clock.heard(connection * 777.0 + number * 0.04)
            moments.append(clock.at(connection * 777.0 + number * 0.04).timestamp)
    assert moments == sorted(set(moments))


def test_pictures_without_pts_lie_between_those_with() -> None:
    clocks = Clocks()
    clock = CaptureClock("cam", monotonic=clocks.monotonic, wall=clocks.wall)
    moments = []
    for number in range(50):
        clocks.now += 0.04
        pts = None if number % 7 == 0 else number * 0.04
        clock.heard(pts)
        moments.append(clock.at(pts).timestamp)
    assert moments == sorted(set(moments))
    assert all(moment.tzinfo is UTC for moment in moments)
    assert moments[0] > datetime(2026, 1, 1, tzinfo=UTC)


def test_a_clock_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="auto, rtcp, pts, arrival"):
        CaptureClock("cam", "sundial")


def test_the_skew_of_a_camera_is_known(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    clocks = Clocks()
    clock = CaptureClock("cam", monotonic=clocks.monotonic, wall=clocks.wall)
    assert clock.skew is None
    for number in range(100):
        clocks.now += 0.04
        clock.heard(number * 0.04, clocks.wall() + 60.0)
    assert clock.skew == pytest.approx(60.0, abs=0.01)


def test_a_stall_in_which_pts_leap_is_covered_at_a_picture_a_second() -> None:
    for by in (3.0, -3.0, 10_000.0):
        for at in (9.2, 11.0, 14.0):
            camera = Camera(1, fps=1, stalls=((9.5, 7.0),), jumps=((at, by),), jitter=0.01)
            assert not watch(camera).uncovered(), (by, at)
            camera.reports = 5.0
            assert not watch(camera).uncovered(), (by, at)


def test_a_wrong_clock_is_followed_where_that_is_asked_for_and_the_difference_stated() -> None:
    seen = watch(Camera(1, reports=5.0, skew=-7200.0, jitter=0.01), choice="rtcp")
    assert seen.clocks(since=1.0) == {Clock.RTCP}
    assert not seen.uncovered()
    assert min(stamp.uncertainty for stamp in seen.stamps[50:]) > 7199
