"""A line counts who crosses it, once each way, whatever the rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import supervision

from streamkit.errors import ConfigError, TrackingRequiredError
from streamkit.predictions import Result
from streamkit.stages.line import Line
from tests.stages.making import frame, objects, seen, walk

DOWN: dict[str, Any] = {"start": (320, 100), "end": (320, 400)}
"""From top to bottom: its left-hand side is the right of the picture."""


def counts(results: list[Result]) -> tuple[int, int]:
    measure = results[-1].measures["line"]
    return measure["in"], measure["out"]


def test_each_way_counts_by_class_and_is_told_with_its_frame() -> None:
    line = Line(**DOWN)
    results = walk(line, [(x, 300) for x in range(200, 460, 20)])
    assert counts(results) == (1, 0)
    assert results[-1].measures["line"]["classes"] == {"person": {"in": 1, "out": 0}}
    (event,) = [event for result in results for event in result.events]
    assert (event.kind, event.key, event.tracker_id, event.stream) == ("line.in", "line", 7, 0)
    assert event.data == {"class": "person"}
    assert results[event.frame_id - 1].frame.timestamp == event.at
    back = walk(line, [(x, 300) for x in range(440, 180, -20)], first=20)
    assert counts(back) == (1, 1)


def test_in_and_out_are_those_of_supervision() -> None:
    bottom = [supervision.Position.BOTTOM_CENTER]
    ends = supervision.Point(320, 100), supervision.Point(320, 400)
    theirs = supervision.LineZone(*ends, triggering_anchors=bottom)
    results = walk(Line(**DOWN), [(x, 300) for x in range(200, 460, 20)])
    for result in results:
        theirs.trigger(result.prediction.to_supervision())
    assert counts(results) == (theirs.in_count, theirs.out_count)


def supervisions(results: list[Result], start: tuple[int, int], end: tuple[int, int]) -> int:
    """How many crossings its own line counts."""
    ends = supervision.Point(*start), supervision.Point(*end)
    bottom = [supervision.Position.BOTTOM_CENTER]
    line = supervision.LineZone(*ends, triggering_anchors=bottom)
    for result in results:
        line.trigger(result.prediction.to_supervision())
    return int(line.in_count + line.out_count)


def test_a_step_from_far_to_far_is_a_crossing() -> None:
    """supervision's line does not see who is not beside the segment."""
    results = walk(Line(start=(300, 200), end=(340, 200)), [(200, 100), (440, 300), (200, 100)])
    assert counts(results) == (1, 1)
    assert supervisions(results, (300, 200), (340, 200)) == 0


def test_who_passes_beside_the_ends_does_not_count() -> None:
    assert counts(walk(Line(**DOWN), [(200, 450), (400, 450), (400, 60), (200, 60)])) == (0, 0)


def test_the_path_round_an_end_and_back_is_not_a_crossing() -> None:
    path = [(200, 300), (200, 450), (450, 450), (450, 300)]
    assert counts(walk(Line(**DOWN), path)) == (0, 0)
    assert counts(walk(Line(**DOWN), [*path, (200, 300)])) == (0, 1)


def test_who_stops_on_the_line_and_trembles_counts_once_or_not_at_all() -> None:
    rng = np.random.default_rng(2)
    trembling = [(320 + float(rng.normal(0, 1.2)), 300.0) for _ in range(300)]
    through = walk(Line(**DOWN), [(250, 300), *trembling, (390, 300)])
    back = walk(Line(**DOWN), [(250, 300), *trembling, (250, 300)])
    assert counts(through) == (1, 0)
    assert supervisions(through, (320, 100), (320, 400)) > 10
    assert counts(back) == (0, 0)


def test_who_stands_exactly_on_the_line_has_not_crossed_yet() -> None:
    line = Line(**DOWN, margin=0)
    assert counts(walk(line, [(300, 300), (320, 300), (320, 300)])) == (0, 0)
    assert counts(walk(line, [(321, 300)], first=4)) == (1, 0)


def test_every_return_counts() -> None:
    path = [(x, 300) for x in (250, 390) * 5]
    assert counts(walk(Line(**DOWN), path)) == (5, 4)


def test_who_was_away_while_crossing_counts_when_back_unless_forgotten() -> None:
    for away, expected in ((30.0, 1), (90.0, 0)):
        line = Line(**DOWN, keep=60)
        line(seen(0, (7, 0, 250, 300)))
        line(seen(away - 1, (9, 0, 50, 300)))
        line(seen(away, (9, 0, 50, 300)))
        after = line(seen(away + 0.1, (7, 0, 390, 300)))
        assert after.measures["line"]["in"] == expected


def test_only_the_classes_asked_for_count() -> None:
    line = Line(**DOWN, classes=["car"])
    line(seen(0, (1, 0, 250, 300), (2, 2, 250, 300)))
    after = line(seen(1, (1, 0, 390, 300), (2, 2, 390, 300)))
    assert after.measures["line"]["classes"] == {"car": {"in": 1, "out": 0}}


def test_carried_frames_only_repeat_the_counts() -> None:
    line = Line(**DOWN)
    line(seen(0, (7, 0, 250, 300)))
    carried = seen(0.1, (7, 0, 390, 300))
    carried.inferred = False
    assert line(carried).measures["line"]["in"] == 0
    assert not carried.events


def test_fractions_follow_the_size_of_the_picture() -> None:
    line = Line(start=(0.5, 0.2), end=(0.5, 0.9), units="fractions")
    line(seen(0, (7, 0, 250, 300)))
    half = Result(frame(1), objects((7, 0, 195, 150), size=(320, 240)))
    assert line(half).measures["line"]["in"] == 1
    assert half.measures["line"]["points"] == [[160, 48], [160, 216]]


def test_two_lines_of_one_name_are_told_apart() -> None:
    result = seen(0, (7, 0, 250, 300))
    for line in (Line(**DOWN), Line(start=(0, 0), end=(9, 9))):
        line(result)
    assert list(result.measures) == ["line", "line-2"]


def test_objects_nobody_tracked_are_an_error_even_where_there_are_none() -> None:
    for rows in ([(0, 0, 250, 300)], []):
        with pytest.raises(TrackingRequiredError, match="put a 'track' stage before it") as caught:
            Line(**DOWN)(Result(frame(0), objects(*rows, tracked=False)))
        assert caught.value.code == "TRACKING_REQUIRED"


def test_a_line_needs_two_ends_and_finite_numbers() -> None:
    wrong: dict[str, Any]
    for wrong in ({"start": (1, 1), "end": (1, 1)}, {"start": (0, 0), "end": (float("nan"), 1)}):
        with pytest.raises(ConfigError):
            Line(**wrong)
    with pytest.raises(ConfigError, match="0 to 1"):
        Line(start=(0, 0), end=(100, 100), units="fractions")
    with pytest.raises(ConfigError, match="knows no class bus"):
        Line(**DOWN, classes=["bus"])(seen(0))
