"""Counting on the sample street is exactly right, with every frame and with half of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache
from typing import Any

import av
import numpy as np
import pytest

from streamkit.frame import Clock, VideoFrame
from streamkit.models import get_model
from streamkit.predictions import Detections, Result
from streamkit.stages.line import Line
from streamkit.stages.track import Track
from tests.stages.making import PIXELS, SAMPLES, START, street

FRAMES, RATE, SIZE = 600, 25, (1280, 720)
HALVES: dict[str, list[int]] = {
    "all": list(range(FRAMES)),
    "every second": list(range(0, FRAMES, 2)),
    "the others": list(range(1, FRAMES, 2)),
}
CHANCE = sorted(np.random.default_rng(5).choice(FRAMES, FRAMES // 2, replace=False).tolist())
Found = Callable[[int], Detections]
Ends = tuple[tuple[float, float], tuple[float, float]]


def counted(found: Found, kept: Iterable[int], lines: list[Ends], **how: Any) -> list[Any]:
    """Per line the crossings by class, as the scene tells them: (rightward, leftward)."""
    track = Track(lost_after=2.0, activate=0.4, high=0.4, rate=RATE, **how)
    stages = [Line(start=start, end=end) for start, end in lines]
    for number in kept:
        taken = START + timedelta(seconds=number / RATE)
        frame = VideoFrame(PIXELS, number + 1, taken, clock=Clock.PTS, comes_from_video_file=True)
        tracked = track(Result(frame, found(number)))
        last = [stage(Result(frame, tracked.prediction)).measures["line"] for stage in stages]
    return [
        {label: (count["out"], count["in"]) for label, count in measure["classes"].items()}
        for measure in last
    ]


@cache
def sample() -> Any:
    """The scene of the sample clip."""
    return street().Scene(street().CLIP_SEED)


def true(lines: list[Ends]) -> list[Any]:
    counts = [street().crossings(sample(), line) for line in lines]
    return [
        {label: (c.rightward, c.leftward) for label, c in count.items() if c.rightward + c.leftward}
        for count in counts
    ]


@cache
def exact_boxes() -> list[Detections]:
    return [_boxes(sample().boxes(number)) for number in range(FRAMES)]


def _boxes(truth: list[Any]) -> Detections:
    names = street().CLASSES
    return Detections(
        np.array([one.xyxy for one in truth], np.float32).reshape(-1, 4),
        np.full(len(truth), 0.9, np.float32),
        np.array([names.index(one.name) for one in truth], np.int64),
        names,
        SIZE,
    )


@cache
def detected() -> list[Detections]:
    """What the sample detector finds in the sample clip."""
    model = get_model(SAMPLES / "models" / "street" / "1")
    with model, av.open(str(SAMPLES / "street.mp4")) as clip:
        return [
            model.infer(np.asarray(frame.to_ndarray(format="bgr24"), np.uint8), confidence=0.3)[0]  # type: ignore[misc]
            for frame in clip.decode(video=0)
        ]


def test_boxes_without_pictures_are_those_of_the_frames() -> None:
    scene = street().Scene(3, frames=50)
    _, truth = scene.frame(40)
    quick = {one.object_id: one for one in scene.boxes(40)}
    assert set(quick) == {one.object_id for one in truth}
    for one in truth:
        assert quick[one.object_id].name == one.name
        assert quick[one.object_id].xyxy == pytest.approx(one.xyxy)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kept", HALVES)
def test_true_boxes_are_counted_exactly_across_the_whole_street(kept: str) -> None:
    lines: list[Ends] = [((640, 0), (640, 720)), ((640, 400), (640, 720))]
    assert counted(exact_boxes().__getitem__, HALVES[kept], lines) == true(lines)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_the_detector_finds_is_counted_exactly_on_the_near_side() -> None:
    """Lines over the near lane, the cycle lane and the pavement: nobody there is hidden for long.
    A car that a bus hides all along the far lanes is counted by nobody."""
    lines: list[Ends] = [((x, 555), (x, 720)) for x in (220, 520, 1000)]
    expected = true(lines)
    assert sum(a + b for line in expected for a, b in line.values()) > 35
    for kept in (*HALVES.values(), CHANCE):
        assert counted(detected().__getitem__, kept, lines) == expected
