"""Filters, the language of expressions, limits and windows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.errors import ConfigError
from streamkit.events import Event
from streamkit.predictions import Result
from streamkit.stages.expression import compiled
from streamkit.stages.filter import Filter
from streamkit.stages.limit import Limit
from streamkit.stages.window import Window
from tests.sinks.making import classification
from tests.stages.making import START, frame, objects, seen

ROWS = [(1, 0, 100, 100), (2, 1, 300, 300), (3, 2, 600, 470)]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("confidence > 0.5", [1, 2, 3]),
        ('label == "car" or x < 200', [1, 3]),
        ('label in ["car", "bicycle"] and not bottom > 400', [2]),
        ("100 < x <= 300", [2]),
        ("tracker_id != 2", [1, 3]),
        ("height / width == 2", [1, 2, 3]),
        ("area * 640 * 480 > 3199 and -y < -200", [2, 3]),
        ('label not in ("car",)', [1, 2]),
        ("x / 0 > 1", [1, 2, 3]),
        ("1 > 2", []),
        ("0 < 1 < confidence + 1", [1, 2, 3]),
    ],
)
def test_an_expression_chooses_rows(text: str, kept: list[int]) -> None:
    found = objects(*ROWS)
    assert found[compiled(text)(found)].tracker_id.tolist() == kept  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("__import__('os').system('id')", "know no Call"),
        ("x.__class__", "know no Attribute"),
        ("[c for c in label]", "know no ListComp"),
        ("x[0] > 1", "know no Subscript"),
        ("lambda: 1", "know no Lambda"),
        ("speed > 1", "no column 'speed'; known: confidence, x"),
        ("label > 3", "cannot compare text with number"),
        ("x == 'car'", "cannot compare number with text"),
        ("x in [1, 'a']", "numbers and texts in one list"),
        ("x", "is a number, not a condition"),
        ("x ** 9 > 1", "know \\+ - \\* / only"),
        ("x and y", "is a number, not a condition"),
        ("True", "not True"),
        ("x >", "not an expression"),
        ("", "not an expression"),
        ("(" * 400 + "x" + ")" * 400, "not an expression"),
        ("x > 1 " * 300, "at most 1000"),
        ("x > 1" + "0" * 400, "too large"),
    ],
)
def test_what_is_not_in_the_language_is_refused_before_anything_runs(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        compiled(text)


@given(st.text(max_size=60))
def test_no_text_does_anything_but_choose_or_be_refused(text: str) -> None:
    try:
        flags = compiled(text)(objects(*ROWS))
    except ConfigError:
        return
    assert flags.shape == (3,)
    assert flags.dtype == np.bool_


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [1, 2, 3]),
        ({"classes": ["car", "person"]}, [1, 3]),
        ({"confidence": 0.95}, []),
        ({"smallest": 0.0105}, []),
        ({"largest": 0.0105}, [1, 2, 3]),
        ({"zone": [(0, 0), (400, 0), (400, 400), (0, 400)]}, [1, 2]),
        (
            {"zone": [(0, 0), (0.6, 0), (0.6, 1), (0, 1)], "units": "fractions", "outside": True},
            [3],
        ),
        ({"where": "x > 200", "classes": ["person", "car"]}, [3]),
    ],
)
def test_a_filter_keeps_what_fits_with_its_tracks(options: dict[str, Any], kept: list[int]) -> None:
    after = Filter(**options)(seen(0, *ROWS))
    assert after.prediction.tracker_id.tolist() == kept


def test_a_filter_needs_no_tracks_and_forgets_the_wire_form_of_before() -> None:
    before = Result(frame(0), objects(*ROWS, tracked=False))
    assert len(before.wire["predictions"]) == 3
    assert len(Filter(where="x > 200")(before).wire["predictions"]) == 2
    assert Filter()(before) is before


def told(at: float, kind: str = "zone.loiter", key: str = "door", track: int = 1) -> Result:
    result = seen(at)
    result.events = (Event(kind, 0, key, result.frame.timestamp, 1, track, {"class": "car"}),)
    return result


def test_a_cool_down_is_of_each_key_in_the_frames_own_time() -> None:
    limit = Limit(cooldown=10)
    let = [len(limit(told(at)).events) for at in (0, 1, 9.9, 10, 11, 30)]
    assert let == [1, 0, 0, 1, 0, 1]
    assert len(limit(told(30.5, key="gate")).events) == 1
    by_track = Limit(cooldown=10, per="track", kinds=["zone.loiter"])
    assert [len(by_track(told(1, track=t)).events) for t in (1, 2, 1)] == [1, 1, 0]
    assert len(by_track(told(2, kind="line.in")).events) == 1
    assert by_track(told(3)).measures["limit"]["held"] == 2


def test_a_rate_lets_so_many_per_period() -> None:
    limit = Limit(most=3, period=60, per="stream")
    let = [len(limit(told(at, key=str(at))).events) for at in (0, 1, 2, 3, 59, 60, 61, 61.5)]
    assert let == [1, 1, 1, 0, 0, 1, 1, 0]


def test_a_limit_remembers_a_bounded_number_of_keys() -> None:
    limit = Limit(cooldown=1e9, per="track")
    for track in range(12_000):
        limit(told(track / 100, track=track))
    assert len(limit._past) == 10_000


def test_minutes_are_the_clocks_and_averages_are_of_time() -> None:
    window = Window(of="objects", seconds=60)
    results = [window(seen(at, *ROWS[: 3 if at < 15 else 1])) for at in np.arange(0, 100, 0.5)]
    event, _ = [event for result in results for event in result.events]
    assert event.at - START == timedelta(seconds=30)  # the first frame of the next minute
    assert event.data["begin"] == "2026-03-29T00:59:00Z"
    assert event.data["avg"] == pytest.approx(2, abs=0.05)
    assert (event.data["max"], event.data["min"], event.data["frames"]) == (3, 1, 60)


def test_windows_sum_up_measures_and_count_events() -> None:
    measured, counted = (
        Window(of="zone.classes.car"),
        Window(of="events:zone.loiter", name="loiters"),
    )
    for at in range(40):
        result = told(at)
        result.measures = {"zone": {"classes": {"car": 2} if at else {}}}
        last = counted(measured(result))
    assert last.measures["window"]["max"] == 2
    assert last.measures["loiters"]["count"] == 10


def test_a_window_of_nothing_passes_on() -> None:
    unknown = Result(frame(0), classification())
    assert Window(of="zone.count")(unknown) is unknown
    broken = seen(0)
    broken.measures = {"zone": {"kind": "zone"}}
    with pytest.raises(ConfigError, match="not a number"):
        Window(of="zone.kind")(broken)


@pytest.mark.parametrize(
    "options", [{}, {"cooldown": -1}, {"most": 0}, {"cooldown": 1, "period": 0}]
)
def test_a_limit_that_limits_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Limit(**options)
