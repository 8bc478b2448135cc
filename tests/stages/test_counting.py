"""Counting on the sample street is exactly right, with every frame and with half of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import pytest

from streamkit.frame import Clock, VideoFrame
from streamkit.pipeline import InferencePipeline
from streamkit.predictions import Detections, Result
from streamkit.stages.base import Stage
from streamkit.stages.line import Line
from streamkit.stages.places import inside
from streamkit.stages.track import Track
from streamkit.stages.zone import Zone
from tests.stages.making import PIXELS, SAMPLES, START, street

FRAMES, RATE, SIZE = 600, 25, (1280, 720)
HALVES: dict[str, list[int]] = {
    "all": list(range(FRAMES)),
    "every second": list(range(0, FRAMES, 2)),
    "the others": list(range(1, FRAMES, 2)),
}
NEAR = (440, 520, 560, 600, 720, 800, 1000, 1040)
"""Lines on which nobody stands about and no dog keeps close to its owner's feet."""
SURE: dict[str, Any] = {"activate": 0.4, "high": 0.4}
"""What the sample detector is sure of; with what it is less sure of, tracks only go on."""
Found = Callable[[int], Detections]
Ends = tuple[tuple[float, float], tuple[float, float]]


def counted(found: Found, kept: Iterable[int], lines: list[Ends], **how: Any) -> list[Any]:
    """Per line the crossings by class, as the scene tells them: (rightward, leftward)."""
    track = Track(**SURE, **how)
    stages = [Line(start=start, end=end) for start, end in lines]
    for number in kept:
        taken = START + timedelta(seconds=number / RATE)
        frame = VideoFrame(PIXELS, number + 1, taken, clock=Clock.PTS, comes_from_video_file=True)
        tracked = track(Result(frame, found(number)))
        last = [stage(Result(frame, tracked.prediction)).measures["line"] for stage in stages]
    return [_told(measure) for measure in last]


def _told(measure: Any) -> dict[str, tuple[int, int]]:
    return {label: (count["out"], count["in"]) for label, count in measure["classes"].items()}


def by_chance(seed: int) -> list[int]:
    """Half of the frames."""
    half = np.random.default_rng(seed).choice(FRAMES, FRAMES // 2, replace=False)
    return sorted(half.tolist())


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


def in_a_pipeline(*stages: Stage) -> tuple[list[Detections], Result]:
    """What the sample detector finds in the sample clip, asked for what it is not sure of too; and
    the last result behind ``stages``."""
    found: list[Detections] = []
    last: deque[Result] = deque(maxlen=1)

    def note(result: Result) -> Result:
        assert isinstance(result.prediction, Detections)
        found.append(result.prediction)
        return result

    pipeline = InferencePipeline.init(
        str(SAMPLES / "street.mp4"),
        str(SAMPLES / "models" / "street" / "1"),
        confidence=0.15,
        stages=[lambda: note, *((lambda one=one: one) for one in stages)],
        on_result=last.append,
    )
    pipeline.start()
    pipeline.join()
    return found, last[0]


def who_enters(polygon: list[tuple[float, float]], kinds: Sequence[str]) -> int:
    """How many of these ever come into the polygon, by their paths."""
    entered = 0
    for actor in sample().actors:
        path = sample().anchor(actor)
        seen = np.nan_to_num(path, nan=-1e6)
        within = inside(seen, np.array(polygon)) & (abs(seen[:, 0] - SIZE[0] / 2) < SIZE[0] / 2)
        entered += int(np.diff(within.astype(int), prepend=0).clip(0).sum()) * (actor.kind in kinds)
    return entered


def test_boxes_without_pictures_are_those_of_the_frames() -> None:
    scene = street().Scene(3, frames=50)
    _, truth = scene.frame(40)
    quick = {one.object_id: one for one in scene.boxes(40)}
    assert set(quick) == {one.object_id for one in truth}
    for one in truth:
        assert quick[one.object_id].name == one.name
        assert quick[one.object_id].xyxy == pytest.approx(one.xyxy)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kept", HALVES)
def test_true_boxes_are_counted_exactly_across_the_whole_street(kept: str) -> None:
    lines: list[Ends] = [((640, 0), (640, 720)), ((640, 400), (640, 720))]
    assert counted(exact_boxes().__getitem__, HALVES[kept], lines) == true(lines)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_what_the_detector_finds_is_counted_exactly_on_the_near_side() -> None:
    """Over the near lane, the cycle lane and the pavement: nobody there is hidden for long. A car
    that a bus hides all along the far lanes is counted by nobody, and on the far pavement people
    are 20 pixels tall to the model."""
    lines: list[Ends] = [((x, 555), (x, 720)) for x in NEAR]
    pavement: list[tuple[float, float]] = [(480, 640), (800, 640), (800, 720), (480, 720)]
    lanes: list[tuple[float, float]] = [(400, 550), (900, 550), (900, 630), (400, 630)]
    vehicles = ("car", "bus", "truck")
    found, last = in_a_pipeline(
        Track(**SURE),
        Line(start=lines[3][0], end=lines[3][1]),
        Zone(polygon=pavement, classes=["person"], name="pavement"),
        Zone(polygon=lanes, classes=vehicles, name="lanes"),
    )
    assert last.measures["pavement"]["entered"] == who_enters(pavement, ["person"]) == 6
    assert last.measures["lanes"]["entered"] == who_enters(lanes, vehicles) == 6
    assert _told(last.measures["line"]) == true(lines)[3]

    expected = true(lines)
    assert sum(a + b for line in expected for a, b in line.values()) > 100
    for kept in (*HALVES.values(), *map(by_chance, (0, 1, 2))):
        assert counted(found.__getitem__, kept, lines) == expected
