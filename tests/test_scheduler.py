"""Lanes keep or drop, batches are fair, results come back in order, and nothing is miscounted."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamkit.errors import ClosedError
from streamkit.events import DropCause
from streamkit.scheduler import (
    CARRIED,
    FINITE,
    LIVE,
    Lane,
    LanePolicy,
    Overflow,
    Scheduler,
    Share,
    Ticket,
)


@dataclass(frozen=True)
class Item:
    number: int
    born: float = field(default_factory=time.monotonic, compare=False)

    @property
    def age(self) -> float:
        return time.monotonic() - self.born


class Drops:
    def __init__(self) -> None:
        self.items: list[tuple[int, DropCause]] = []

    def __call__(self, item: Item, cause: DropCause) -> None:
        self.items.append((item.number, cause))


def lane_of(
    scheduler: Scheduler[Item], policy: LanePolicy, window: int | None = 3
) -> tuple[Lane[Item], Drops]:
    drops = Drops()
    return scheduler.open(policy, on_drop=drops, window=window), drops


def numbers(batch: list[Ticket[Item]]) -> list[int]:
    return [ticket.item.number for ticket in batch]


def test_a_live_lane_keeps_the_newest_and_counts_the_rest() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lane, drops = lane_of(scheduler, LIVE)
    for number in range(5):
        lane.put(Item(number))
    assert numbers(scheduler.take()) == [4]
    assert drops.items == [(n, DropCause.NEWER) for n in range(4)]


def test_a_lane_may_keep_the_oldest_instead() -> None:
    scheduler: Scheduler[Item] = Scheduler(max_batch=2)
    policy = LanePolicy(2, Overflow.LATEST, cause=DropCause.LATEST)
    lane, drops = lane_of(scheduler, policy)
    for number in range(4):
        lane.put(Item(number))
    assert numbers(scheduler.take()) == [0, 1]
    assert drops.items == [(2, DropCause.LATEST), (3, DropCause.LATEST)]


def test_an_eager_lane_serves_the_newest_of_what_waits() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lane, drops = lane_of(scheduler, LanePolicy(8, eager=True, cause=DropCause.OLDEST))
    for number in range(4):
        lane.put(Item(number))
    assert numbers(scheduler.take()) == [3]
    assert [n for n, _ in drops.items] == [0, 1, 2]


def test_an_item_over_its_age_budget_is_dropped_when_its_turn_comes() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lane, drops = lane_of(scheduler, LanePolicy(4, max_age=10.0))
    lane.put(Item(1, born=time.monotonic() - 11))
    lane.put(Item(2))
    assert numbers(scheduler.take()) == [2]
    assert drops.items == [(1, DropCause.STALE)]


def test_a_finite_lane_makes_its_reader_wait_and_loses_nothing() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lane, drops = lane_of(scheduler, FINITE)

    def read() -> None:
        for number in range(50):
            lane.put(Item(number))
        lane.close()

    reader = threading.Thread(target=read)
    reader.start()
    worker = threading.Thread(target=complete_all, args=(scheduler,))
    worker.start()
    seen = []
    for item, value in lane:
        seen.append((item.number, value))
        lane.release()
    scheduler.close()
    reader.join()
    worker.join()
    assert seen == [(n, n * 10) for n in range(50)]
    assert drops.items == []


def complete_all(scheduler: Scheduler[Item]) -> None:
    for batch in scheduler:
        for ticket in batch:
            ticket.complete(ticket.item.number * 10)


def test_results_come_back_in_order_whoever_finishes_first() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lane, _ = lane_of(scheduler, LanePolicy(3, Overflow.WAIT))
    for number in range(3):
        lane.put(Item(number))
    tickets = [scheduler.take()[0] for _ in range(3)]
    for ticket in reversed(tickets):
        ticket.complete(ticket.item.number)
    lane.close()
    assert [value for _, value in lane] == [0, 1, 2]


def test_the_lane_served_longest_ago_goes_first() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lanes = [lane_of(scheduler, FINITE, window=None)[0] for _ in range(3)]
    for lane, start in zip(lanes, (0, 10, 20), strict=True):
        lane.put(Item(start))
        lane.put(Item(start + 1))
    order = [numbers(scheduler.take())[0] for _ in range(6)]
    assert order == [0, 10, 20, 1, 11, 21]


def test_a_batch_takes_from_every_lane_before_it_takes_two_of_one() -> None:
    scheduler: Scheduler[Item] = Scheduler(max_batch=4)
    first, _ = lane_of(scheduler, LanePolicy(4, Overflow.WAIT), window=4)
    second, _ = lane_of(scheduler, LIVE)
    for number in range(4):
        first.put(Item(number))
    second.put(Item(100))
    assert numbers(scheduler.take()) == [0, 100, 1, 2]


def test_a_stream_that_does_not_use_its_results_is_not_served() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    slow, _ = lane_of(scheduler, LIVE, window=2)
    other, _ = lane_of(scheduler, LIVE, window=2)
    for number in range(2):
        slow.put(Item(number))
        scheduler.take()[0].complete()
    slow.put(Item(2))
    other.put(Item(9))
    assert numbers(scheduler.take()) == [9]
    next(iter(slow))
    slow.release()
    assert numbers(scheduler.take()) == [2]


def test_a_round_waits_for_every_lane_that_never_drops() -> None:
    scheduler: Scheduler[Item] = Scheduler(2, 0.01, one_per_lane=True)
    first, _ = lane_of(scheduler, FINITE, window=None)
    second, _ = lane_of(scheduler, FINITE, window=None)
    first.put(Item(1))
    late = threading.Timer(0.1, second.put, [Item(2)])
    late.start()
    assert numbers(scheduler.take()) == [1, 2]
    late.join()


def test_a_round_does_not_wait_for_a_lane_that_is_closed_or_rests() -> None:
    scheduler: Scheduler[Item] = Scheduler(3, 60.0, one_per_lane=True)
    first, _ = lane_of(scheduler, FINITE, window=None)
    second, _ = lane_of(scheduler, FINITE, window=None)
    third, _ = lane_of(scheduler, LIVE, window=None)
    second.close()
    third.rest(True)
    first.put(Item(1))
    assert numbers(scheduler.take()) == [1]


def test_a_live_round_goes_when_a_lane_has_no_room_left() -> None:
    scheduler: Scheduler[Item] = Scheduler(2, 60.0, one_per_lane=True)
    fast, drops = lane_of(scheduler, LanePolicy(2), window=None)
    lane_of(scheduler, LanePolicy(2), window=None)
    fast.put(Item(1))
    fast.put(Item(2))
    assert numbers(scheduler.take()) == [1]
    assert drops.items == []


def test_a_live_round_waits_no_longer_than_it_was_told() -> None:
    scheduler: Scheduler[Item] = Scheduler(2, 0.05, one_per_lane=True)
    fast, _ = lane_of(scheduler, LanePolicy(2), window=None)
    lane_of(scheduler, LanePolicy(2), window=None)
    fast.put(Item(1))
    assert numbers(scheduler.take()) == [1]


def test_a_failed_item_ends_its_lane_only() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    bad, drops = lane_of(scheduler, FINITE)
    good, _ = lane_of(scheduler, FINITE)
    bad.put(Item(1))
    bad.put(Item(2))
    scheduler.take()[0].fail(ValueError("boom"))
    with pytest.raises(ValueError, match="boom"):
        list(bad)
    assert drops.items == [(2, DropCause.FAILED), (1, DropCause.FAILED)]
    good.put(Item(3))
    assert numbers(scheduler.take()) == [3]
    with pytest.raises(ClosedError):
        bad.put(Item(4))


def test_closing_with_an_error_delivers_what_is_there_first() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lane, _ = lane_of(scheduler, FINITE)
    lane.put(Item(1))
    lane.close(ValueError("truncated"))
    scheduler.take()[0].complete("one")
    results = iter(lane)
    assert next(results) == (Item(1), "one")
    with pytest.raises(ValueError, match="truncated"):
        next(results)


def test_discarding_drops_results_too_whatever_the_lane_was_closed_with_before() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lane, drops = lane_of(scheduler, FINITE)
    lane.put(Item(1))
    scheduler.take()[0].complete("one")
    lane.close(ValueError("truncated"))
    lane.close(discard=True)
    assert drops.items == [(1, DropCause.STOPPED)]
    with pytest.raises(ValueError, match="truncated"):
        list(lane)


def test_closing_wakes_a_reader_that_waits_and_a_worker_that_waits() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lane, _ = lane_of(scheduler, FINITE, window=1)
    outcomes: list[str] = []

    def read() -> None:
        try:
            for number in range(99):
                lane.put(Item(number))
        except ClosedError:
            outcomes.append("reader woke")

    def work() -> None:
        for _ in scheduler:
            pass
        outcomes.append("worker woke")

    threads = [threading.Thread(target=read), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    scheduler.close(discard=True)
    for thread in threads:
        thread.join(5)
    assert sorted(outcomes) == ["reader woke", "worker woke"]


@given(
    puts=st.lists(st.integers(0, 2), max_size=60),
    overflow=st.sampled_from([Overflow.OLDEST, Overflow.LATEST]),
    capacity=st.integers(1, 3),
    eager=st.booleans(),
    stop_early=st.booleans(),
)
def test_every_item_is_delivered_or_dropped_exactly_once(
    puts: list[int], overflow: Overflow, capacity: int, eager: bool, stop_early: bool
) -> None:
    """``puts``: 0 offers an item, 1 takes a batch and completes it, 2 consumes one result."""
    scheduler: Scheduler[Item] = Scheduler(max_batch=2)
    lane, drops = lane_of(scheduler, LanePolicy(capacity, overflow, eager), window=4)
    results, offered = iter(lane), 0
    delivered: list[int] = []
    ready = 0
    for action in puts:
        if action == 0:
            lane.put(Item(offered))
            offered += 1
        elif action == 1:
            ready += complete_a_batch(scheduler, lane)
        elif ready:
            delivered.append(next(results)[0].number)
            lane.release()
            ready -= 1
    lane.close(discard=stop_early)
    complete_a_batch(scheduler, lane)
    for item, _ in results:
        delivered.append(item.number)
        lane.release()
        complete_a_batch(scheduler, lane)
    accounted = Counter(delivered) + Counter(number for number, _ in drops.items)
    assert accounted == Counter(range(offered))
    assert delivered == sorted(delivered)


def complete_a_batch(scheduler: Scheduler[Item], lane: Lane[Item]) -> int:
    """Take what may be taken, the later first to be done; how many."""
    tickets = scheduler.take() if lane.servable else []
    for ticket in reversed(tickets):
        ticket.complete()
    return len(tickets)


# -- priority, weight, and items no worker sees -----------------------------------------------


def served(scheduler: Scheduler[Item], lanes: list[Lane[Item]], turns: int) -> Counter[int]:
    """How often each lane is served by a saturated worker: every lane always has something."""
    counts: Counter[int] = Counter()
    for _ in range(turns):
        for lane in lanes:
            for _ in range(scheduler.max_batch):
                lane.put(Item(lane.number))
        for ticket in scheduler.take():
            counts[ticket.item.number] += 1
            ticket.complete()
    return counts


def lanes_with(scheduler: Scheduler[Item], *shares: Share[Item]) -> list[Lane[Item]]:
    policy = LanePolicy(capacity=scheduler.max_batch)
    return [scheduler.open(policy, on_drop=Drops(), share=share) for share in shares]


@pytest.mark.parametrize("max_batch", [1, 3])
def test_lanes_that_all_want_more_are_served_by_weight(max_batch: int) -> None:
    scheduler: Scheduler[Item] = Scheduler(max_batch)
    lanes = lanes_with(scheduler, *(Share(weight=w) for w in (1, 1, 2, 4, 0.5, 0.5)))
    counts = served(scheduler, lanes, 1800)
    for lane, weight in zip(lanes, (1, 1, 2, 4, 0.5, 0.5), strict=True):
        share = counts[lane.number] / counts.total()
        assert share == pytest.approx(weight / 9, rel=0.02)


def test_lanes_without_options_share_evenly() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    counts = served(scheduler, lanes_with(scheduler, *[Share()] * 7), 700)
    assert set(counts.values()) == {100}


def test_a_higher_priority_goes_first_but_nobody_starves() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lanes = lanes_with(scheduler, Share(priority=1), Share(), Share(priority=-5))
    counts = served(scheduler, lanes, 2000)
    assert [counts[lane.number] for lane in lanes] == [1900, 50, 50]


def test_who_was_away_has_saved_up_nothing() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    first, second = lanes_with(scheduler, Share(), Share())
    served(scheduler, [first], 1000)
    counts = served(scheduler, [first, second], 100)
    assert abs(counts[first.number] - counts[second.number]) <= 1


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=6), st.integers(1, 4), st.randoms())
@settings(max_examples=30, deadline=None)
def test_whatever_arrives_no_lane_of_equal_priority_starves(
    weights: list[float], max_batch: int, random: Random
) -> None:
    """Between two turns of a lane that waits, another gets at most its weight's worth, and one."""
    scheduler: Scheduler[Item] = Scheduler(max_batch)
    lanes = lanes_with(scheduler, *(Share(weight=w) for w in weights))
    passed: dict[int, Counter[int]] = {lane.number: Counter() for lane in lanes}
    for _ in range(150):
        for lane in lanes:
            if random.random() < 0.7:
                lane.put(Item(lane.number))
        if not any(lane.servable for lane in lanes):
            continue
        note_passing(scheduler.take(), lanes, passed)
        for lane, weight in zip(lanes, weights, strict=True):
            for other, count in passed[lane.number].items():
                assert count <= weights[other - 1] / weight + 2 + max_batch


def note_passing(
    batch: list[Ticket[Item]], lanes: list[Lane[Item]], passed: dict[int, Counter[int]]
) -> None:
    """Who went while whom else waited."""
    for ticket in batch:
        ticket.complete()
        passed[ticket.item.number].clear()
        for lane in lanes:
            passed[lane.number][ticket.item.number] += bool(lane.servable)


def test_a_weight_has_to_be_above_0() -> None:
    with pytest.raises(ValueError, match="weight"):
        Share(weight=0)


def every_third(item: Item) -> bool:
    return item.number % 3 == 0


def complete_noting(scheduler: Scheduler[Item], seen: list[int]) -> None:
    for batch in scheduler:
        for ticket in batch:
            seen.append(ticket.item.number)
            ticket.complete("seen")


def test_items_no_worker_is_to_see_are_handed_on_in_their_place() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    share: Share[Item] = Share(wanted=every_third, stretch=3)
    lane = scheduler.open(FINITE, on_drop=Drops(), window=2, share=share)
    seen: list[int] = []

    def read() -> None:
        for number in range(50):
            lane.put(Item(number))
        lane.close()

    threads = [
        threading.Thread(target=read),
        threading.Thread(target=complete_noting, args=(scheduler, seen)),
    ]
    for thread in threads:
        thread.start()
    results = []
    for item, value in lane:
        results.append((item.number, value))
        lane.release()
    scheduler.close()
    for thread in threads:
        thread.join()
    assert results == [(n, "seen" if n % 3 == 0 else CARRIED) for n in range(50)]
    assert seen == list(range(0, 50, 3))


def test_who_replaces_a_lost_item_that_was_for_a_worker_takes_its_place() -> None:
    scheduler: Scheduler[Item] = Scheduler()
    drops = Drops()
    lane = scheduler.open(LIVE, on_drop=drops, window=2, share=Share(wanted=every_third, stretch=3))
    lane.put(Item(0))
    lane.put(Item(1))
    assert drops.items == [(0, DropCause.NEWER)]
    assert numbers(scheduler.take()) == [1]


def test_a_thinned_lane_keeps_its_part_and_counts_the_rest() -> None:
    scheduler: Scheduler[Item] = Scheduler(100)
    drops = Drops()
    policy = LanePolicy(capacity=100)
    lane = scheduler.open(policy, on_drop=drops)
    lane.thin(0.25)
    for number in range(40):
        lane.put(Item(number))
    assert len(scheduler.take()) == 10
    assert Counter(cause for _, cause in drops.items) == {DropCause.RATE: 30}


@given(st.integers(1, 5), st.integers(1, 4), st.booleans(), st.randoms())
@settings(max_examples=40, deadline=None)
def test_nothing_is_lost_or_doubled_whatever_happens(
    every: int, window: int, finite: bool, random: Random
) -> None:
    scheduler: Scheduler[Item] = Scheduler(2)
    drops = Drops()
    policy = LanePolicy(1000, Overflow.WAIT) if finite else LIVE
    share: Share[Item] = Share(wanted=lambda item: item.number % every == 0, stretch=every)
    lane = scheduler.open(policy, on_drop=drops, window=window, share=share)
    got: list[int] = []
    put, under_way = 0, list[Ticket[Item]]()
    for _ in range(200):
        action = random.randrange(4)
        if action == 0:
            lane.put(Item(put))
            put += 1
        elif action == 1 and lane.servable:
            under_way += scheduler.take()
        elif action == 2 and under_way:
            under_way.pop(random.randrange(len(under_way))).complete()
        elif action == 3:
            waiting = lane._results
            assert waiting is not None
            if len(waiting):
                got.append(waiting.get()[0].number)
                lane.release()
    lane.close(discard=True)
    lost = [number for number, _ in drops.items]
    assert sorted(got + lost) == list(range(put))
    assert got == sorted(got)


@pytest.mark.parametrize("window", [None, 3])
def test_a_lane_remembers_nothing_of_what_has_gone(window: int | None) -> None:
    scheduler: Scheduler[Item] = Scheduler()
    lane, _ = lane_of(scheduler, FINITE, window)

    def turn(count: int) -> None:
        for number in range(count):
            lane.put(Item(number))
            for ticket in scheduler.take():
                ticket.complete()
            if window is not None:
                lane.get()
                lane.release()

    turn(100)
    tracemalloc.start()
    try:
        turn(3000)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 30_000, "not ten bytes for each"
