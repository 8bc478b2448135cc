"""Tracks: one number per object, in real time, for each stream alone."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import supervision
import trackers

from streamkit.errors import ConfigError
from streamkit.freshness.carry import Carrier
from streamkit.policy import CARRIED
from streamkit.predictions import Detections, Result
from streamkit.stages.algorithms import Algorithm
from streamkit.stages.track import Track
from tests.sinks.making import classification
from tests.stages.making import crowd, frame, objects

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
LIBRARY: dict[str, Any] = {
    "bytetrack": lambda: trackers.ByteTrackTracker(frame_rate=25),
    "sort": lambda: trackers.SORTTracker(frame_rate=25),
    "ocsort": lambda: trackers.OCSORTTracker(frame_rate=25),
    "botsort": lambda: trackers.BoTSORTTracker(frame_rate=25, enable_cmc=False),
}


def one(at: float, x: float, label: int = 0, **more: Any) -> Result:
    return Result(frame(at, **more), objects((0, label, x, 300), tracked=False))


def tracks(result: Result) -> list[int]:
    return result.prediction.tracker_id.tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_at_the_nominal_rate_tracks_are_the_librarys_own(algorithm: Algorithm) -> None:
    ours, theirs = Track(algorithm=algorithm, rate=25, untracked=True), LIBRARY[algorithm]()
    for number, (_, found) in enumerate(crowd(5, 60)):
        expected = theirs.update(
            supervision.Detections(found.xyxy.astype(float), confidence=found.confidence,
                                   data={"place": np.arange(len(found))})
        )  # fmt: skip
        after = ours(Result(frame(number / 25), found))
        ids = np.full(len(found), -1)
        ids[expected.data["place"] if len(expected) else []] = expected.tracker_id
        assert tracks(after) == np.where(ids < 0, -1, ids + 1).tolist()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("step", [1, 2, 3, 6])
def test_a_walker_keeps_one_number_at_any_rate(algorithm: Algorithm, step: int) -> None:
    track = Track(algorithm=algorithm)
    found = [tracks(track(one(i / 30, 60 + i * 1.5))) for i in range(0, 180, step)]

    assert set(itertools.chain(*found)) == {1}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_dropped_frames_are_longer_steps(algorithm: Algorithm) -> None:
    track = Track(algorithm=algorithm)
    kept = np.random.default_rng(3).random(180) < 0.5
    kept[:4] = True
    found = [tracks(track(one(i / 30, 60 + i * 3))) for i in np.flatnonzero(kept).tolist()]

    assert set(itertools.chain(*found)) == {1}


def test_a_track_ends_after_seconds_not_frames() -> None:
    for rate in (30, 5):
        track = Track(lost_after=2.0)
        for i in range(rate):
            track(one(i / rate, 100))
        for i in range(rate, 2 * rate + rate // 2):  # away for 1.5 s
            track(Result(frame(i / rate), objects(tracked=False)))
        assert tracks(track(one(2.5, 100))) == [1]
        for i in range(round(2.6 * rate), 5 * rate):  # and for more than 2 s
            track(Result(frame(i / rate), objects(tracked=False)))
        later = [tracks(track(one(5 + i / rate, 100))) for i in range(rate)]
        assert set(itertools.chain(*later)) == {2}


def test_numbers_are_never_used_twice_and_a_gap_ends_tracks() -> None:
    track = Track(lost_after=60, end_on_gap=5, events=True)
    before = [track(one(i / 10, 100)) for i in range(10)]
    after = [track(one(8 + i / 10, 100)) for i in range(10)]

    assert tracks(before[-1]) == [1]
    assert tracks(after[-1]) == [2]
    kinds = [(e.kind, e.tracker_id) for r in before + after for e in r.events]
    assert kinds == [("track.start", 1), ("track.end", 1), ("track.start", 2)]


def test_a_track_has_the_class_most_of_its_detections_had() -> None:
    labels = [2, 2, 1, 2, 1, 2, 2]
    locked, free = Track(), Track(lock_class=False)
    for i, label in enumerate(labels):
        a, b = locked(one(i / 30, 100, label)), free(one(i / 30, 100, label))
        if len(a.prediction):
            assert a.prediction.labels == ["car"]
            assert b.prediction.class_id.tolist() == [label]


def test_classes_that_must_not_mix_have_tracks_of_their_own() -> None:
    track = Track(mix_classes=False)
    for i in range(5):
        found = objects((0, 0, 100, 300), (0, 2, 102, 300), tracked=False)[
            slice(None, None, 1 if i % 2 else -1)
        ]
        after = track(Result(frame(i / 30), found)).prediction
    assert sorted(zip(after.labels, after.tracker_id.tolist(), strict=True))[0][0] == "car"
    assert len(set(after.tracker_id.tolist())) == 2


def test_boxes_are_steadied_by_time() -> None:
    rng = np.random.default_rng(1)
    raw, smooth = Track(), Track(smooth=0.3)
    spread = []
    for i in range(60):
        seen = one(i / 30, 200 + float(rng.normal(0, 3)))
        spread.append([t(seen).prediction.xyxy[:, 0] for t in (raw, smooth)])
    a, b = (
        np.array([row for row in spread[10:] if all(len(c) for c in row)])
        .reshape(-1, 2)
        .std(axis=0)
    )
    assert b < a / 2


def test_carried_objects_keep_track_class_and_number() -> None:
    carrier, track = Carrier(), Track()
    for i in range(30):
        found = objects(
            (0, 2 if i < 20 else 1, 600 + i, 300), (0, 0, 100 + 5 * i, 300), tracked=False
        )
        asked = Result(frame(i / 10), found if i % 3 == 0 else CARRIED)
        after = track(carrier(asked))
        if i > 6:
            assert after.inferred is (i % 3 == 0)
            named = dict(
                zip(after.prediction.tracker_id.tolist(), after.prediction.labels, strict=True)
            )
            assert named[2] == "person"
            assert named.get(1, "car") == "car"


def test_nothing_is_asked_of_what_has_no_boxes() -> None:
    track, unknown = Track(), Result(frame(0), classification())
    assert track(unknown) is unknown
    carried = Result(frame(0), None, inferred=False)
    assert track(carried) is carried


def test_frames_without_objects_have_no_tracks_but_are_tracked() -> None:
    after = Track()(Result(frame(0), Detections.empty(("person",), (640, 480))))
    assert after.prediction.tracker_id.tolist() == []


def test_a_clock_that_is_set_back_or_leaps_ends_nothing() -> None:
    track, found = Track(), []
    for i in range(60):
        leap = 0 if i < 20 else -100 if i < 40 else 3600
        live: dict[str, Any] = {"captured_at": i / 30, "comes_from_video_file": False}
        found.append(tracks(track(one(i / 30 + leap, 100 + i, **live))))
    assert set(itertools.chain(*found)) == {1}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"algorithm": "ocsort", "activate": 0.5}, "activate is not of ocsort"),
        ({"algorithm": "sort", "high": 0.5}, "high not of sort"),
        ({"camera_moves": True}, "only botsort"),
        ({"lost_after": -1}, "lost_after"),
        ({"confirm": 0}, "at least 1"),
        ({"activate": 1.5}, "from 0 to 1"),
    ],
)
def test_wrong_options_say_what_to_change(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Track(**options)


def test_the_camera_may_move() -> None:
    track = Track(algorithm="botsort", camera_moves=True)
    after = [track(one(i / 30, 100 + i)) for i in range(5)]
    assert tracks(after[-1]) == [1]


def test_what_came_in_is_not_changed() -> None:
    found = objects((0, 0, 100, 300), tracked=False)
    before = replace(found, xyxy=found.xyxy.copy())
    Track(smooth=1.0)(Result(frame(0), found))
    assert found.tracker_id is None
    np.testing.assert_array_equal(found.xyxy, before.xyxy)


def test_a_track_stage_that_takes_anothers_place_uses_none_of_its_numbers() -> None:
    old, new = Track(), Track(lost_after=3)
    for i in range(10):
        last = old(one(i / 30, 100))
    new.succeed(old)
    after = [tracks(new(one(i / 30, 100))) for i in range(10, 20)][-1]
    assert (tracks(last), after) == ([1], [2])


def test_who_has_no_track_yet_is_told_as_left_out() -> None:
    track = Track(confirm=3, rate=25)
    first = track(one(0.0, 100))
    assert len(first.prediction) == 0
    assert [len(each) for each in first.left_out] == [1]
    for i in range(1, 6):
        later = track(one(i / 25, 100))
    assert (len(later.prediction), later.left_out) == (1, ())
