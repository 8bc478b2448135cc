"""What lasts is told when it begins, goes on and ends, under one id, and ends with its stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamkit.events import Event
from streamkit.predictions import Result
from streamkit.stages import Stage, open_stage
from tests.stages.making import crowd, frame, objects, seen

AREA = [[100, 100], [540, 100], [540, 460], [100, 460]]


def closing(at: float, events: Iterable[Event] = (), **more: Any) -> Result:
    """As a stream ends: its last frame once more."""
    return Result(frame(at), objects(), False, events=tuple(events), closing=True, **more)


def ends(stage: Stage, at: float, events: Iterable[Event] = ()) -> list[Event]:
    end: Callable[[Result], Result] = stage.end  # type: ignore[attr-defined]
    return list(end(closing(at, events, source="door")).events)


def told(events: Iterable[Event]) -> list[tuple[str, str]]:
    return [(event.kind, event.phase) for event in events]


def test_a_visit_is_one_happening_from_entering_to_leaving() -> None:
    zone = open_stage("zone", {"polygon": AREA, "loiter": 1.0, "patience": 0.3})
    inside = [zone(seen(i / 10, (7, 0, 300, 300), number=i + 1)) for i in range(15)]
    outside = [zone(seen(1.5 + i / 10, (7, 0, 20, 300), number=i + 20)) for i in range(6)]
    events = [event for result in inside + outside for event in result.events]
    assert told(events) == [
        ("zone.enter", "start"),
        ("zone.loiter", "update"),
        ("zone.leave", "end"),
    ]
    assert len({event.id for event in events}) == 1
    again = zone(seen(3.0, (7, 0, 300, 300), number=30)).events
    assert again[0].id > events[0].id, "another visit"


def test_who_is_inside_leaves_with_the_stream() -> None:
    zone = open_stage("zone", {"polygon": AREA, "settle": 0.25})
    start = [zone(seen(i / 10, (7, 0, 300, 300), (8, 2, 200, 300))).events for i in range(5)]
    zone(seen(0.5, (7, 0, 300, 300), (8, 2, 200, 300), (9, 2, 250, 300)))  # 9 has only just come
    left = ends(zone, 0.5)
    assert told(left) == [("zone.leave", "end")] * 2
    assert {e.id for e in left} == {e.id for events in start for e in events}
    assert {(e.tracker_id, e.data["dwell"], e.source) for e in left} == {
        (7, 0.5, "door"),
        (8, 0.5, "door"),
    }
    assert ends(zone, 0.5) == [], "once"


def test_what_stands_still_does_so_until_the_stream_ends() -> None:
    still = open_stage("still", {"after": 0.5})
    results = [still(seen(i / 10, (7, 2, 300, 300))) for i in range(8)]
    started = [event for result in results for event in result.events]
    ended = ends(still, 0.7)
    assert told(started + ended) == [("still.start", "start"), ("still.end", "end")]
    assert started[0].id == ended[0].id
    moved = open_stage("still", {"after": 0.5})
    path = [(300, 300)] * 8 + [(400, 300)] * 8
    events = [e for i, (x, y) in enumerate(path) for e in moved(seen(i / 10, (7, 2, x, y))).events]
    assert len({e.id for e in events[:2]}) == 1
    assert events[2].id != events[0].id, "it stands still at another place"


def test_tracks_end_with_the_stream_under_the_id_they_began_with() -> None:
    track = open_stage("track", {"events": True, "rate": 10})
    events: list[Event] = []
    for i in range(10):
        rows = objects((0, 2, 100 + 5 * i, 300), tracked=False)
        events += track(Result(frame(i / 10, i + 1), rows)).events
    events += ends(track, 0.9)
    assert told(events) == [("track.start", "start"), ("track.end", "end")]
    assert events[0].id == events[1].id
    assert events[1].data == {"class": "car", "seconds": pytest.approx(0.8, abs=0.11)}
    silent = open_stage("track", {"rate": 10})
    silent(Result(frame(0), objects((0, 2, 100, 300), tracked=False)))
    assert ends(silent, 0.0) == []


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), frames=st.integers(1, 60))
def test_whatever_begins_ends_once_and_nothing_ends_that_did_not_begin(
    seed: int, frames: int
) -> None:
    stages = [
        open_stage("track", {"events": True, "rate": 10, "lost_after": 0.4}),
        open_stage("zone", {"polygon": AREA, "patience": 0.2, "loiter": 0.5}),
        open_stage("still", {"after": 0.3, "radius": 1.0, "patience": 0.2}),
    ]
    events: list[Event] = []
    for i, (at, found) in enumerate(crowd(seed, frames)):
        result = Result(frame(at, i + 1), found)
        for stage in stages:
            result = stage(result)
        events += result.events
    last = closing(at)
    for stage in stages:
        last = stage.end(last)  # type: ignore[attr-defined]
    events += last.events
    phases = Counter((event.id, event.phase) for event in events)
    assert set(phases.values()) <= {1}
    starts = [event.id for event in events if event.phase == "start"]
    assert sorted(starts) == sorted(event.id for event in events if event.phase == "end")
    order = {event.id: i for i, event in reversed(list(enumerate(events)))}
    assert all(events[i].phase == "start" for i in order.values()), "nothing before its start"


def test_the_last_window_is_told_as_a_part() -> None:
    window = open_stage("window", {"seconds": 1})
    for i in range(4):
        window(seen(0.5 + i / 10, (7, 2, 100, 100)))
    (event,) = ends(window, 0.8)
    assert event.kind == "window"
    assert event.data["partial"] is True
    assert event.data["frames"] == 4
    assert ends(window, 0.8) == []


def test_a_heat_map_of_a_short_stream_is_written(tmp_path: Path) -> None:
    heat = open_stage("heat", {"path": tmp_path / "{source}.png"})
    heat(seen(0, (7, 2, 100, 300)))
    assert not list(tmp_path.iterdir())
    ends(heat, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["0.png"]


# -- limits --------------------------------------------------------------------------------------


def visit(at: float, phase: Any, happening: str, kind: str) -> Result:
    event = Event(kind, 0, "door", frame(at).timestamp, 1, 7, id=happening, phase=phase)
    return Result(frame(at), objects(), events=(event,))


def test_a_limit_lets_end_what_it_let_begin_and_nothing_else() -> None:
    limit = open_stage("limit", {"cooldown": 10, "per": "stream"})
    story = [
        (0.0, "start", "a", "zone.enter", True),
        (1.0, "start", "b", "zone.enter", False),
        (1.5, "update", "b", "zone.loiter", False),
        (2.0, "end", "b", "zone.leave", False),
        (3.0, "end", "a", "zone.leave", True),
        (12.0, "start", "c", "zone.enter", True),
    ]
    for at, phase, happening, kind, passes in story:
        assert bool(limit(visit(at, phase, happening, kind)).events) is passes, (at, phase)
    leaving = visit(12.5, "end", "c", "zone.leave").events
    unheard = visit(12.5, "end", "b", "zone.leave").events
    assert ends(limit, 12.5, (*leaving, *unheard)) == list(leaving)


def test_kinds_that_a_limit_is_not_told_of_always_pass() -> None:
    limit = open_stage("limit", {"cooldown": 10, "kinds": ["zone.leave"]})
    assert limit(visit(0, "start", "a", "zone.enter")).events
    assert limit(visit(1, "end", "a", "zone.leave")).events
    assert limit(visit(2, "start", "b", "zone.enter")).events
    assert not limit(visit(3, "end", "b", "zone.leave")).events


def test_a_limit_does_not_remember_for_ever_what_never_ends() -> None:
    limit = open_stage("limit", {"most": 5, "period": 1})
    for number in range(10_200):
        limit(visit(number, "start", str(number), "zone.enter"))
    assert len(limit._begun) == 10_000  # type: ignore[attr-defined]


def test_the_step_of_a_visit_is_the_frame_that_shows_it() -> None:
    zone = open_stage("zone", {"polygon": AREA})
    event = zone(seen(0.5, (7, 0, 300, 300), number=42)).events[0]
    assert event.frame_id == 42
    assert np.isclose((event.at - frame(0).timestamp).total_seconds(), 0.5)


def test_an_end_follows_its_start_also_where_a_limit_is_only_told_of_starts() -> None:
    limit = open_stage("limit", {"cooldown": 10, "kinds": ["zone.enter"]})
    assert limit(visit(0, "start", "a", "zone.enter")).events
    assert not limit(visit(1, "start", "b", "zone.enter")).events
    assert not limit(visit(2, "end", "b", "zone.leave")).events
    assert limit(visit(3, "end", "a", "zone.leave")).events


def test_a_window_counts_the_events_that_the_stream_ends_with() -> None:
    window = open_stage("window", {"of": "events:zone.leave", "seconds": 60})
    window(seen(0.5, (7, 2, 100, 100)))
    leaving = visit(0.6, "end", "a", "zone.leave").events
    *_, told = ends(window, 0.6, leaving)
    assert told.data["count"] == 1
