"""The degradation ladder goes down under load, up when there is room, and does not flap."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from streamkit.errors import ConfigError
from streamkit.freshness.ladder import Change, DegradeOptions, Ladder, Load, rungs

OPTIONS = DegradeOptions()
STEPS = rungs(OPTIONS, ["small/1"], scalable=True)


def simulate(
    demand: Callable[[float], float], seconds: float, ladder: Ladder
) -> list[tuple[float, Change]]:
    """A model whose workers would be busy for ``demand(now)`` of their time at full quality."""
    changes = []
    for number in range(int(seconds * 2)):
        now = number / 2
        wanted = demand(now) * ladder.rung.cost
        lost = max(0.0, 1 - 1 / wanted) if wanted else 0.0
        load = Load(min(1.0, wanted), 0.6 if wanted > 1 else 0.1, lost=lost)
        change = ladder.observe(now, load)
        if change is not None:
            changes.append((now, change))
    return changes


def test_the_rungs_are_rate_then_input_then_models() -> None:
    assert [rung.name for rung in STEPS] == [
        "full", "rate 0.5", "rate 0.25", "rate 0.25, input 0.75", "rate 0.25, input 0.5",
        "rate 0.25, model small/1",
    ]  # fmt: skip
    assert [rung.cost for rung in STEPS] == sorted((rung.cost for rung in STEPS), reverse=True)
    fixed = rungs(OPTIONS, [], scalable=False)
    assert [rung.scale for rung in fixed] == [1.0, 1.0, 1.0]


def test_nothing_happens_while_there_is_room() -> None:
    assert simulate(lambda _: 0.9, 3600, Ladder(STEPS, OPTIONS, 0.5)) == []


def test_a_short_peak_is_borne() -> None:
    ladder = Ladder(STEPS, OPTIONS, 0.5)
    assert simulate(lambda now: 3.0 if 10 < now < 11.5 else 0.5, 60, ladder) == []


def test_it_goes_down_as_far_as_it_must_and_comes_back_to_the_top() -> None:
    ladder = Ladder(STEPS, OPTIONS, 0.5)
    changes = simulate(lambda now: 3.0 if now < 100 else 0.3, 300, ladder)
    names = [change.after.name for _, change in changes]
    assert names == ["rate 0.5", "rate 0.25", "rate 0.5", "full"]
    times = [at for at, _ in changes]
    assert times[1] < 6
    assert times[2] > 100
    assert "busy" in changes[-1][1].why


@pytest.mark.parametrize("demand", [1.02, 1.3, 1.59, 2.5, 9.0])
def test_a_load_between_two_rungs_does_not_make_it_flap(demand: float) -> None:
    ladder = Ladder(STEPS, OPTIONS, 0.5)
    changes = simulate(lambda _: demand, 4 * 3600, ladder)
    doublings = math.log2(OPTIONS.up_after_longest / OPTIONS.up_after)
    assert len(changes) <= len(STEPS) + 2 * (doublings + 4 * 3600 / OPTIONS.up_after_longest)


def test_a_load_that_goes_up_and_down_costs_a_bounded_number_of_steps() -> None:
    ladder = Ladder(STEPS, OPTIONS, 0.5)
    changes = simulate(lambda now: 1.0 + 0.8 * math.sin(now / 30), 3600, ladder)
    assert 0 < len(changes) <= 4 * 3600 / (2 * math.pi * 30)


@pytest.mark.parametrize(
    ("load", "why"),
    [(Load(0.5, 0.7), "wait"), (Load(0.5, stale=0.1), "old"), (Load(1.0, lost=0.5), "newer")],
)
def test_it_says_why(load: Load, why: str) -> None:
    ladder = Ladder(STEPS, OPTIONS, 0.5)
    changes = [ladder.observe(float(now), load) for now in range(10)]
    assert why in next(change.why for change in changes if change)
    assert ladder.rung is not STEPS[0]


def test_at_the_bottom_it_stays() -> None:
    ladder = Ladder(STEPS, OPTIONS, 0.5)
    assert len(simulate(lambda _: 1000.0, 600, ladder)) == len(STEPS) - 1


def test_wrong_options_are_named() -> None:
    for wrong in ({"up_after": 0}, {"rates": [0.25, 0.5]}, {"scales": [0]}, {"size": 3}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            DegradeOptions.of(wrong)
