"""The machine's clock may be set at any moment: nothing waits longer, overtakes, or expires."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from streamkit.errors import DeliveryFailedError
from streamkit.outbox.store import State, Store
from streamkit.outbox.timeline import Timeline
from tests.fakes import until
from tests.outbox.making import Recorder, Settable, joined, options, several

YEAR = 365 * 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box.sqlite"


@pytest.mark.parametrize("leap", [-YEAR, -60.0, 60.0, 56 * YEAR])
def test_setting_the_clock_reorders_delays_and_expires_nothing(path: Path, leap: float) -> None:
    there, clock = Recorder(), Settable()
    there.always = lambda _: DeliveryFailedError("HTTP 500")
    with joined(path, there, clock=clock.clock, keep_for=3600.0) as seat:
        seat.put(several(3))
        there.await_tries(2)
        clock.offset = leap
        seat.put(several(3, first=3))
        tries = len(there.tried)
        there.await_tries(tries + 3, timeout=5)
        assert seat.stats()["dead"] == 0
        assert 0 <= seat.stats()["oldest_age"] < 60
        there.always = lambda _: None
        there.await_sent(6)
    assert there.ids() == [each.id for each in several(6)]


def test_a_machine_that_starts_in_1970_and_learns_the_year_later(path: Path) -> None:
    """Boxes without a clock of their own do so at every start."""
    clock, down = Settable(), Recorder()
    down.always = lambda _: DeliveryFailedError("no network")
    for boot in range(3):
        clock.offset = -56 * YEAR
        with joined(path, down, clock=clock.clock, keep_for=86_400.0) as seat:
            seat.put(several(2, first=2 * boot))
            tries = len(down.tried)
            down.await_tries(tries + 2)
            clock.offset = 0.0
            until(lambda: seat.stats()["retried"] > 0)
            assert seat.stats()["dead"] == 0
    there = Recorder()
    with joined(path, there, clock=clock.clock, keep_for=86_400.0):
        there.await_sent(6)
    assert there.ids() == [each.id for each in several(6)]


def test_time_goes_on_while_nothing_runs(path: Path) -> None:
    clock = Settable()
    with closing(Store(path, timeline=Timeline(clock.clock))) as store:
        store.put("there", several(1), options(path))
        begun = store.timeline.now()
    clock.offset += 86_400.0
    with closing(Store(path, timeline=Timeline(clock.clock))) as store:
        assert store.timeline.now() - begun == pytest.approx(86_400.0, abs=60)
        store.finish(store.next("there", 1), "there", State.SENT)
        late = store.rows("SELECT done FROM message")[0][0]
    clock.offset -= 2 * 86_400.0
    with closing(Store(path, timeline=Timeline(clock.clock))) as store:
        assert store.timeline.now() >= late
