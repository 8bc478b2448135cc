"""No more is asked of a model than sinks take, no later than they want it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamkit import InferencePipeline
from streamkit.freshness.demand import Lately, Taker, held
from streamkit.predictions import Result
from streamkit.stages import open_stage
from tests.fakes import Camera, until

MODEL = Path(__file__).resolve().parents[2] / "samples" / "models" / "street" / "1"


def idle(pace: float = 0.1) -> Taker:
    return Taker(float("-inf"), pace, 0)


def test_a_sink_that_waits_is_not_kept_waiting() -> None:
    assert held(10.0, 0.1, [], [idle()]) == 0.0
    assert held(10.0, 0.1, [], []) == 0.0


@pytest.mark.parametrize(
    ("free", "pace", "waiting", "under_way", "wanted"),
    [
        (10.1, 0.1, 0, [], 0.04),  # ready in 0.06, when the sink is free in 0.1
        (10.05, 0.1, 0, [], 0.0),  # it will wait for us
        (10.1, 0.1, 1, [], 0.14),  # one is before us
        (10.1, 0.1, 0, [9.97], 0.14),  # one is before us, still at the model
        (10.0, 0.1, 0, [9.99], 0.09),  # the sink waits for that one, which is ready at 10.05
        (10.0, 0.02, 0, [9.97], 0.0),  # the sink is the faster one
    ],
)
def test_a_frame_goes_in_time_for_when_the_sink_is_free(
    free: float, pace: float, waiting: int, under_way: list[float], wanted: float
) -> None:
    assert held(10.0, 0.06, under_way, [Taker(free, pace, waiting)]) == pytest.approx(wanted)


def test_the_first_sink_that_wants_it_decides() -> None:
    slow = Taker(11.0, 1.0, 1)
    assert held(10.0, 0.1, [], [slow, idle()]) == 0.0
    assert held(10.0, 0.1, [], [slow, Taker(10.3, 0.3, 0)]) == pytest.approx(0.2)


def test_the_latest_durations_count() -> None:
    lately = Lately()
    assert (lately.least, lately.most) == (0.0, 0.0)
    for seconds in (9.0, *[2.0] * 7, 1.0):
        lately.add(seconds)
    assert (lately.least, lately.most) == (1.0, 2.0)


def watched(seconds: float, *more: Any, **options: Any) -> tuple[float, list[float]]:
    """Runs of the model for each result that a slow sink takes, and the ages it finds."""
    ages: list[float] = []

    def slow(result: Result) -> None:
        ages.append(result.frame.age)
        time.sleep(0.2)

    camera = Camera(60.0)
    with InferencePipeline.init(camera, MODEL, sinks=[Slow(slow), *more], **options) as pipeline:
        until(lambda: len(ages) > 2)
        before, taken = pipeline.stats()["model"]["frames"], len(ages)
        time.sleep(seconds)
        runs = pipeline.stats()["model"]["frames"] - before
        taken = len(ages) - taken
    account = pipeline.stats()["streams"][0]
    gone = account["delivered"] + sum(account["dropped"].values())
    assert account["captured"] == gone + account["in_flight"]
    return runs / taken, ages[3:]


class Slow:
    def __init__(self, write: Callable[[Result], None]) -> None:
        self.write = write

    def close(self) -> None:
        pass


def test_what_a_slow_sink_does_not_take_is_not_asked_of_the_model() -> None:
    runs, ages = watched(4.0)
    assert runs < 1.5
    assert np.median(ages) < 0.2  # not from before the sink began with the one before


def test_a_sink_that_takes_everything_gets_everything() -> None:
    runs, _ = watched(2.0, Slow(lambda _: None))
    assert runs > 3


def test_a_stage_that_remembers_sees_everything() -> None:
    runs, _ = watched(2.0, stages=[lambda: open_stage("track", {})])
    assert runs > 3
