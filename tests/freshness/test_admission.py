"""Admission: what is needed, what there is, and who goes first."""

from __future__ import annotations

import pytest

from streamkit.errors import ConfigError
from streamkit.freshness.admission import (
    AdmissionOptions,
    Ledger,
    Verdict,
    capacity,
    measured,
    rate,
    streams,
)


class Lane:
    closed = False


def test_the_rate_at_the_model_is_what_is_left_of_the_source() -> None:
    assert rate(25.0) == 25.0
    assert rate(25.0, max_fps=5.0) == 5.0
    assert rate(25.0, infer_every=5) == 5.0
    assert rate(25.0, max_fps=10.0, infer_fps=2.0) == 2.0
    assert rate(4.0, max_fps=10.0) == 4.0


def test_capacity_is_the_workers_over_the_time_less_the_margin() -> None:
    assert capacity(0.05, 2) == pytest.approx(40.0)
    assert capacity(0.05, 2, margin=0.25) == pytest.approx(30.0)
    assert streams(30.0, 5.0) == 6
    assert streams(29.9, 5.0) == 5


def test_what_came_first_is_admitted_and_what_does_not_fit_is_not() -> None:
    ledger, lanes = Ledger(), [Lane() for _ in range(3)]
    for lane in lanes:
        ledger.enter(lane, 10.0)
    assert [ledger.decide(lane, 25.0).fits for lane in reversed(lanes)] == [False, True, True]


def test_who_wants_less_than_before_leaves_room_for_others() -> None:
    ledger, (first, second) = Ledger(), [Lane() for _ in range(2)]
    ledger.enter(first, 20.0)
    assert ledger.decide(first, 24.0).fits
    ledger.change(first, 5.0, 0)
    ledger.change(second, 99.0, 0)
    ledger.enter(second, 15.0)
    assert ledger.decide(second, 24.0).fits


def test_a_higher_priority_goes_first_but_turns_nobody_out() -> None:
    ledger, (low, high, higher) = Ledger(), [Lane() for _ in range(3)]
    ledger.enter(low, 10.0)
    ledger.enter(high, 10.0, priority=1)
    assert not ledger.decide(low, 15.0).fits
    assert ledger.decide(high, 15.0).fits
    ledger.enter(higher, 10.0, priority=2)
    assert not ledger.decide(higher, 15.0).fits


def test_who_has_closed_or_left_needs_nothing() -> None:
    ledger, (first, second, third) = Ledger(), [Lane() for _ in range(3)]
    for lane in (first, second, third):
        ledger.enter(lane, 10.0)
    ledger.decide(first, 10.0)
    first.closed = True
    ledger.leave(second)
    assert ledger.decide(third, 10.0) == Verdict(10.0, 0, 10.0)


def test_a_refusal_tells_the_numbers_and_what_would_fit() -> None:
    text = Verdict(25.0, 30.0, 40.0).text("gate camera")
    assert "gate camera is refused: it needs 25.0" in text
    assert "of 40.0 there are 10.0 left" in text
    assert "max_fps: 10.0" in text
    assert "the others" in Verdict(25.0, 40.0, 40.0).text("gate camera")


def test_a_model_is_measured_with_all_workers() -> None:
    calls: list[int] = []
    assert measured(lambda: calls.append(1), 2, frames=4, seconds=0.05) > 0
    assert len(calls) >= 4
    with pytest.raises(ZeroDivisionError):
        measured(lambda: 1 // 0, 2, seconds=0.05)


def test_wrong_options_are_named() -> None:
    assert AdmissionOptions.of(False) is None
    for wrong in ({"margin": 1}, {"fps": 0}, {"capacity": -1}, {"streams": 3}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            AdmissionOptions.of(wrong)
