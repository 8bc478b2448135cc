"""A zone knows who is in it, since when, who left, and who stays too long."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import ConfigError, TrackingRequiredError
from streamkit.predictions import Result
from streamkit.stages.places import inside
from streamkit.stages.zone import Zone
from tests.stages.making import frame, objects, seen

SQUARE = [(200, 200), (400, 200), (400, 400), (200, 400)]


def stay(zone: Zone, *legs: tuple[float, float, float], step: float = 0.1) -> list[Result]:
    """Legs of (until, x, y) seconds and pixels."""
    results, at = [], 0.0
    for until, x, y in legs:
        while at < until - 1e-9:
            results.append(zone(seen(at, (7, 0, x, y))))
            at += step
    return results


def kinds(results: list[Result]) -> list[tuple[str, Any]]:
    return [(event.kind, event.data.get("dwell")) for r in results for event in r.events]


@pytest.mark.parametrize("step", [0.04, 0.1, 0.5])
def test_enter_loiter_leave_with_the_time_between_at_any_rate(step: float) -> None:
    zone = Zone(polygon=SQUARE, loiter=5)
    results = stay(zone, (2, 100, 300), (12, 300, 300), (15, 100, 300), step=step)
    (enter, _), (loiter, loitered), (leave, dwelt) = kinds(results)
    assert (enter, loiter, leave) == ("zone.enter", "zone.loiter", "zone.leave")
    assert loitered == pytest.approx(5, abs=step)
    assert dwelt == pytest.approx(10, abs=2 * step)
    last = results[-1].measures["zone"]
    assert (last["count"], last["entered"], last["left"], last["inside"]) == (0, 1, 1, [])


def test_a_moment_outside_or_hidden_is_no_leaving() -> None:
    zone = Zone(polygon=SQUARE, patience=1)
    stay(zone, (3, 300, 300))
    assert not kinds([zone(seen(3 + i / 10)) for i in range(8)])
    after = zone(seen(3.85, (7, 0, 300, 300)))
    assert after.measures["zone"]["inside"] == [
        {"tracker_id": 7, "class": "person", "dwell": pytest.approx(3.85)}
    ]


def test_who_only_brushes_the_zone_has_not_entered() -> None:
    zone = Zone(polygon=SQUARE, settle=1.0)
    results = stay(zone, (1, 100, 300), (1.5, 300, 300), (5, 100, 300))
    assert not kinds(results)
    assert results[-1].measures["zone"]["entered"] == 0


def test_a_zone_counts_without_tracks_where_told_to() -> None:
    found = objects((0, 0, 300, 300), (0, 2, 250, 250), (0, 2, 10, 100), tracked=False)
    after = Zone(polygon=SQUARE, tracks=False)(Result(frame(0), found))
    assert after.measures["zone"]["count"] == 2
    assert after.measures["zone"]["classes"] == {"person": 1, "car": 1}
    with pytest.raises(TrackingRequiredError):
        Zone(polygon=SQUARE)(Result(frame(0), found))
    with pytest.raises(ConfigError, match="needs tracks"):
        Zone(polygon=SQUARE, tracks=False, loiter=3)


def test_a_zone_has_three_corners() -> None:
    with pytest.raises(ConfigError, match="at least 3"):
        Zone(polygon=[(0, 0), (1, 1)])


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=8),
       st.floats(-1, 21), st.floats(-1, 21))  # fmt: skip
def test_inside_is_what_opencv_says_off_the_edges(
    corners: list[tuple[int, int]], x: float, y: float
) -> None:
    import cv2

    polygon = np.array(corners, np.float64)
    after = np.roll(polygon, -1, axis=0) - polygon
    away = np.array([x, y]) - polygon
    near = np.abs(after[:, 0] * away[:, 1] - after[:, 1] * away[:, 0]) < 1e-2
    if near.any():
        return
    said = cv2.pointPolygonTest(polygon.astype(np.float32).reshape(-1, 1, 2), (x, y), False)
    assert bool(inside(np.array([[x, y]]), polygon)[0]) is (said > 0)


def test_a_point_outside_of_the_picture_is_not_pushed_into_a_zone_at_its_edge() -> None:
    edge = [(540, 0), (640, 0), (640, 480), (540, 480)]
    assert Zone(polygon=edge)(seen(0, (7, 0, 645, 300))).measures["zone"]["count"] == 0


@pytest.mark.parametrize(("step", "patience"), [(2.0, 1.0), (5.0, 1.0), (0.1, 0.0)])
def test_who_is_in_every_frame_has_not_left_however_far_apart_they_are(
    step: float, patience: float
) -> None:
    zone = Zone(polygon=SQUARE, patience=patience, loiter=20)
    results = stay(zone, (30, 300, 300), step=step)
    assert [kind for kind, _ in kinds(results)] == ["zone.enter", "zone.loiter"]
    assert results[-1].measures["zone"]["inside"][0]["dwell"] == pytest.approx(30, abs=step + 0.01)


def test_who_has_not_entered_does_not_loiter() -> None:
    zone = Zone(polygon=SQUARE, loiter=1, settle=5)
    assert not kinds(stay(zone, (4, 300, 300)))
    told = kinds(stay(Zone(polygon=SQUARE, loiter=1, settle=2), (4, 300, 300)))
    assert [kind for kind, _ in told] == ["zone.enter", "zone.loiter"]
