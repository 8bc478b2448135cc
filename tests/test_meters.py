"""Counters add up, quantiles are close, rates are rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkit.clock import Backoff, Pacer, Thinner
from streamkit.events import DropCause
from streamkit.meters import Histogram, Rate, Tally

values = st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=200)


@given(values, st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_quantiles_are_within_a_bucket_of_the_truth(numbers: list[float], q: float) -> None:
    histogram = Histogram()
    for number in numbers:
        histogram.add(number)
    truth = float(np.quantile(numbers, q, method="inverted_cdf"))
    assert histogram.quantile(q) == pytest.approx(truth, rel=0.026)
    assert histogram.maximum == max(numbers)
    assert histogram.mean == pytest.approx(sum(numbers) / len(numbers))


def test_an_empty_histogram_answers_zero() -> None:
    assert Histogram().quantile(0.99) == 0.0
    assert Histogram().mean == 0.0


def test_a_rate_is_intervals_over_time() -> None:
    rate = Rate()
    assert rate.tick(0.0) == 0.0
    assert [rate.tick(n / 25) for n in range(1, 50)][-1] == pytest.approx(25.0)


def test_a_tally_says_what_is_still_open() -> None:
    tally = Tally()
    assert [tally.capture() for _ in range(5)] == [1, 2, 3, 4, 5]
    tally.drop(DropCause.NEWER)
    tally.deliver(0.1)
    assert tally.account()["in_flight"] == 3
    assert tally.dropped == {DropCause.NEWER: 1}


@pytest.mark.parametrize(
    ("source", "wanted", "delivered"),
    [(30, 25, 25), (30, 20, 20), (30, 15, 15), (30, 29, 29), (60, 50, 50), (25, 15, 15),
     (30, 30, 30), (29.97, 30, 29.97), (15, 30, 15), (30, 0.5, 0.5)],
)  # fmt: skip
def test_a_stream_is_thinned_to_exactly_the_rate_asked_for(
    source: float, wanted: float, delivered: float
) -> None:
    thinner = Thinner(wanted)
    passed = sum(thinner.passes(n / source) for n in range(round(source * 60)))
    assert passed / 60 == pytest.approx(delivered, rel=0.01)


def test_thinning_is_the_same_every_time() -> None:
    def passed() -> list[int]:
        thinner = Thinner(25)
        return [n for n in range(300) if thinner.passes(n / 30)]

    assert passed() == passed()


def test_jitter_of_less_than_an_interval_costs_no_frame() -> None:
    jitter = np.random.default_rng(1).uniform(-0.4, 0.4, 3000) / 25
    thinner = Thinner(25)
    passed = sum(thinner.passes(n / 25 + float(jitter[n])) for n in range(3000))
    assert passed >= 2995


def test_waits_between_attempts_double_up_to_a_cap_and_start_again() -> None:
    backoff = Backoff(1.0, 8.0)
    waits = [backoff.next() for _ in range(6)]
    for wait, nominal in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
        assert 0.5 * nominal <= wait <= nominal
    backoff.reset()
    assert backoff.next() <= 1.0
    assert 4.0 <= backoff.most() <= 8.0


def test_a_pacer_never_loses_a_turn() -> None:
    import threading

    stopped = threading.Event()
    stopped.set()
    pacer = Pacer(0.001)
    for _ in range(10):
        pacer.wait(stopped)


def test_a_histogram_counts_what_lies_below_a_bound() -> None:
    ages = Histogram()
    for value in (0.01, 0.04, 0.2, 0.2, 3.0):
        ages.add(value)
    assert ages.below((0.025, 0.1, 1.0, 10.0)) == [1, 2, 4, 5]
