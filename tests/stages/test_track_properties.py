"""What tracks promise for any stream: classes by majority, steady boxes, gaps, numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamkit.predictions import Detections, Result
from streamkit.stages.track import Track
from tests.stages.making import NAMES, crowd, frame, objects

STEPS = st.lists(st.sampled_from([0.02, 1 / 30, 0.04, 0.1, 0.2, 0.4]), min_size=3, max_size=40)
"""Seconds from frame to frame: a camera that stutters."""


def still(at: float, label: int = 0, x: float = 300) -> Result:
    """Somebody who does not move."""
    return Result(frame(at), objects((0, label, x, 300), tracked=False))


def boxes(result: Result) -> Detections:
    assert isinstance(result.prediction, Detections)
    return result.prediction


@settings(max_examples=40, deadline=None)
@given(labels=st.lists(st.sampled_from([0, 1, 2]), min_size=2, max_size=40))
def test_a_track_has_the_class_that_most_of_its_detections_had_so_far(labels: list[int]) -> None:
    track, votes = Track(confirm=1, untracked=True), Counter[int]()
    for number, label in enumerate(labels):
        after = boxes(track(still(number / 30, label)))
        if after.tracker_id is None or after.tracker_id[0] < 0:
            continue  # nobody is told yet, so nobody votes
        votes[label] += 1
        most = max(votes.values())
        first = next(one for one, count in votes.items() if count == most)
        assert after.labels == [NAMES[first]]


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, constant=st.sampled_from([0.05, 0.5, 5.0]))
def test_steadying_depends_on_time_alone_not_on_the_number_of_frames(
    steps: list[float], constant: float
) -> None:
    """A jump is forgotten by the same share after the same time, in however many frames."""
    track, at = Track(smooth=constant, lost_after=60), 0.0
    for number in range(4):
        at = number / 30
        before = track(still(at))
    for step in steps:
        at += step
        after = track(still(at, x=304))
    moved = float(boxes(after).xyxy[0, 0] - boxes(before).xyxy[0, 0])
    assert moved == pytest.approx(4 * (1 - np.exp(-sum(steps) / constant)), abs=0.02)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 99))
def test_steadied_boxes_stay_among_those_that_were_found(steps: list[float], seed: int) -> None:
    rng, track, at, found = np.random.default_rng(seed), Track(smooth=0.3), 0.0, []
    for step in steps:
        at += step
        x = 300 + float(rng.uniform(-5, 5))
        after = boxes(track(still(at, x=x)))
        found.append(x - 20)
        if len(after):
            assert min(found) - 1e-3 <= after.xyxy[0, 0] <= max(found) + 1e-3


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, gap=st.sampled_from([0.05, 0.15, 0.3]))
def test_no_track_lives_through_a_gap_and_every_one_through_what_is_none(
    steps: list[float], gap: float
) -> None:
    track, at, life = Track(end_on_gap=gap, lost_after=60), 0.0, 0
    lives: dict[int, int] = {}
    for step in [1 / 30, 1 / 30, *steps]:
        life += step > gap
        at += step
        after = boxes(track(still(at)))
        for number in [] if after.tracker_id is None else after.tracker_id.tolist():
            assert lives.setdefault(number, life) == life
    assert len(lives) == len(set(lives.values())), "one number for each life"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), lost=st.sampled_from([0.0, 0.2, 1.0]))
def test_numbers_rise_and_every_end_had_a_start(seed: int, lost: float) -> None:
    track, alive, highest = Track(lost_after=lost, events=True, rate=10), set[int](), 0
    for at, found in crowd(seed):
        after = track(Result(frame(at), found))
        for event in after.events:
            assert event.tracker_id is not None
            if event.kind == "track.start":
                assert event.tracker_id > highest
                highest = event.tracker_id
                alive.add(highest)
            else:
                alive.remove(event.tracker_id)
        told = boxes(after).tracker_id
        assert set([] if told is None else told.tolist()) <= alive
