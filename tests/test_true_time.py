"""Capture times against the moment that a camera burns into its own pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.chaos.burned import read
from streamkit.frame import Clock, VideoFrame
from streamkit.sources import open_source
from streamkit.sources.base import Capture
from streamkit.sources.decoding import DecodedPicture
from tests.cameras import Camera, clock_camera
from tests.fakes import Collector

pytestmark = pytest.mark.rtsp
FPS = 25


@dataclass
class Told:
    """Pictures whose true moment could be read off them."""

    clocks: list[Clock] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    """Said less true, seconds."""
    stated: list[float] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)

    def add(self, luma: Any, said: Capture | VideoFrame) -> None:
        if (burned := read(luma)) is not None:
            self.clocks.append(said.clock)
            self.errors.append(said.timestamp.timestamp() - burned[1] / 1e6)
            self.stated.append(-1.0 if said.uncertainty is None else said.uncertainty)
            self.moments.append(said.timestamp)

    def check(self) -> None:
        """Times go forward, and none is further off than it says."""
        assert all(before < after for before, after in pairwise(self.moments))
        worst = max(abs(e) - s for e, s in zip(self.errors, self.stated, strict=True))
        assert worst <= 0, f"{worst * 1000:.1f} ms more than stated"

    def of(self, clock: Clock) -> Any:
        """The errors by this clock, as they are."""
        return np.array([e for e, c in zip(self.errors, self.clocks, strict=True) if c is clock])


def watch(camera: Camera, enough: Callable[[Told], bool], **options: Any) -> Told:
    """Pictures of ``camera`` until there are ``enough``."""
    told, until = Told(), time.monotonic() + 40
    with closing(open_source(camera.url, **options).read()) as captures:
        for capture in captures:
            assert isinstance(capture.picture, DecodedPicture)
            told.add(capture.picture.luma, capture)
            if enough(told):
                return told
            assert time.monotonic() < until, f"only {len(told.errors)} pictures"
    raise AssertionError("the camera ended")


@pytest.mark.parametrize(
    ("transport", "camera"),
    [
        ("tcp", {}),
        ("udp", {}),
        ("udp", {"bframes": 2}),
        ("tcp", {"codec": "h265"}),
        ("tcp", {"codec": "mjpeg"}),
    ],
)
def test_with_sender_reports_times_are_right_within_one_interval(
    transport: str, camera: dict[str, Any]
) -> None:
    with clock_camera(fps=FPS, **camera) as cam:
        told = watch(cam, lambda told: len(told.of(Clock.RTCP)) >= 100, transport=transport)
    told.check()  # the camera is a program, too, and stands still at times: not all of them
    assert np.quantile(abs(told.of(Clock.RTCP)), 0.75) < 1 / FPS
    assert told.clocks[-1] is Clock.RTCP
    assert told.clocks == sorted(told.clocks, key=[Clock.ARRIVAL, Clock.PTS, Clock.RTCP].index)


def test_without_reports_times_are_as_late_as_the_way_is_long_and_say_so() -> None:
    with clock_camera(fps=FPS) as cam:
        told = watch(cam, lambda told: len(told.of(Clock.PTS)) >= 120, clock="pts")
        late = watch(cam, lambda told: len(told.errors) >= 75, clock="arrival")
    told.check()
    late.check()
    assert abs(np.median(told.of(Clock.PTS)[60:])) < 2 / FPS
    assert set(late.clocks) == {Clock.ARRIVAL}


def test_frames_of_a_pipeline_carry_the_moment_of_their_capture() -> None:
    sink, told = Collector(), Told()

    def look(frames: list[VideoFrame]) -> list[None]:
        for frame in frames:
            told.add(frame.luma, frame)
        return [None] * len(frames)

    with (
        clock_camera(fps=FPS) as cam,
        InferencePipeline.init_with_custom_logic(cam.url, on_video_frame=look, sinks=[sink]),
    ):
        sink.await_results(FPS * 6, timeout=40)
    told.check()
    assert told.clocks[-1] is Clock.RTCP
    assert np.quantile(abs(told.of(Clock.RTCP)), 0.75) < 1 / FPS


def test_timestamps_that_jump_and_begin_again_are_covered() -> None:
    faults = iter([("jump", {"by": 3600.0}), ("reset", {}), ("jump", {"by": -100.0})])

    with clock_camera(fps=FPS) as cam:

        def enough(told: Told) -> bool:
            number = len(told.errors)
            if number % 75 == 0 and number < 300:
                name, options = next(faults, ("", {}))
                if name:
                    cam.fault(name, **options)
            return number >= 325

        told = watch(cam, enough)
    told.check()
    assert abs(np.median(told.errors[-25:])) < 2 / FPS


@pytest.mark.parametrize("by", [-86_400.0, 5.0])
def test_a_camera_whose_clock_is_wrong_is_timed_by_its_arrivals(by: float) -> None:
    with clock_camera(fps=FPS) as cam:
        cam.fault("clock_skew", by=by)
        source: Any = open_source(cam.url)
        told = Told()
        with closing(source.read()) as captures:
            for capture in captures:
                assert isinstance(capture.picture, DecodedPicture)
                told.add(capture.picture.luma, capture)
                if source.clock_skew is not None and len(told.errors) > 120:
                    break
    told.check()
    assert Clock.RTCP not in told.clocks
    assert source.clock_skew == pytest.approx(by, abs=1.0)
