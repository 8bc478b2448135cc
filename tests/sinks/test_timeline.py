"""A recording's own time: true while clocks are, moving forward when they are not."""

from __future__ import annotations

from datetime import timedelta

from streamkit.sinks.timeline import Timeline
from tests.sinks.making import START


def positions(seconds: list[float], fps: float = 25.0) -> list[float]:
    timeline = Timeline(fps)
    return [timeline.place(0, START + timedelta(seconds=at)) / 1e6 for at in seconds]


def test_it_starts_at_zero_and_keeps_every_gap() -> None:
    assert positions([0.0, 0.033, 0.1, 600.0, 600.000001]) == [0, 0.033, 0.1, 600.0, 600.000001]


def test_a_clock_that_stands_still_moves_on_at_the_given_rate() -> None:
    assert positions([0.0, 0.0, 0.0, 0.5], fps=10) == [0, 0.1, 0.2, 0.7]


def test_a_clock_that_runs_back_is_believed_again_from_there() -> None:
    assert positions([0.0, 10.0, 3.0, 3.5], fps=10) == [0, 10.0, 10.1, 10.6]


def test_a_clock_that_is_set_forward_by_years_leaves_no_hole() -> None:
    years = 50 * 365 * 86400.0
    assert positions([0.0, 1.0, years, years + 1], fps=10) == [0, 1.0, 1.1, 2.1]


def test_sources_with_the_same_clock_share_one_time() -> None:
    timeline = Timeline(25)

    assert timeline.place("a", START) == 0
    assert timeline.place("b", START + timedelta(seconds=-0.1)) == -100_000
    assert timeline.place("b", START + timedelta(seconds=0.1)) == 100_000
    assert timeline.newest == 100_000


def test_a_source_from_another_time_starts_now() -> None:
    timeline = Timeline(25)
    timeline.place("camera", START)
    timeline.place("camera", START + timedelta(seconds=2))

    last_week = START - timedelta(days=7)
    assert timeline.place("recording", last_week) == 2_000_000
    assert timeline.place("recording", last_week + timedelta(seconds=1)) == 3_000_000
    assert timeline.place("camera", START + timedelta(seconds=3)) == 3_000_000
