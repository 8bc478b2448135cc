"""Which frame goes next, and with whom: out of many lanes, the scheduler forms batches, fairly.

A lane is one stream's way to one consumer (a model shared by many streams, or a sink). Whether
frames wait or are dropped is the lane's policy; which lanes are served, and how many frames go
together, is the scheduler's. A consumer's worker takes a batch of tickets and completes each; the
lane hands results on in frame order. Lanes whose stream is slow to use its results lose their
permission to be served, so no worker ever waits for anybody.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeAlias

from streamkit.errors import ClosedError
from streamkit.freshness.demand import Takers
from streamkit.lane import Lane, Ticket
from streamkit.policy import (
    CARRIED,
    FINITE,
    LIVE,
    Aged,
    Carried,
    Drops,
    LanePolicy,
    OnDrop,
    Overflow,
    Share,
    T,
    tell,
)

__all__ = [
    "CARRIED", "FINITE", "LIVE", "Aged", "Carried", "Lane", "LanePolicy", "OnDrop", "Overflow",
    "Scheduler", "Share", "Takers", "Ticket",
]  # fmt: skip

_PASSED_OVER: Final = 19
"""Items of a higher priority that may go before one of a lower which is ready; then it goes."""

_SHORTEST: Final = 0.001
"""Seconds that are worth waiting for."""

_Place: TypeAlias = tuple[int, float, int, int, Lane[T]]
"""The order in which lanes are served: priority, due, served longest ago, opened first."""


class Scheduler(Generic[T]):
    """Forms batches out of many lanes.

    Lanes of a higher priority go first, but at least every 20th item is of a lower one, if one is
    ready: the one that was served longest ago, so that L such lanes each get one item in 20 L.
    Among lanes of one priority items go by weight (start-time fair queueing, Goyal 1996): while
    they all have something waiting, each gets ``weight`` parts of what they get together, to
    within one item; what was not asked for is not saved up. With equal weights, the lane that was
    served longest ago goes first.

    ``max_wait`` is how long the first item of a batch may wait for company. With 0, whatever is
    there when a worker is free goes, which under load fills batches by itself. Otherwise lanes
    that never drop are waited for without limit, for they will deliver or close; live ones for
    ``max_wait`` seconds, or until one of them has no room left.
    """

    def __init__(
        self, max_batch: int = 1, max_wait: float = 0.0, *, one_per_lane: bool = False
    ) -> None:
        self.lock = threading.RLock()
        self.max_batch = max_batch
        self._max_wait = max_wait
        self._one_per_lane = one_per_lane
        self._ready = threading.Condition(self.lock)
        self._lanes: list[Lane[T]] = []
        self._turn = 0
        self._opened = 0
        self._clock: dict[int, float] = {}
        """By priority, when the turn that was served last was due."""
        self._passed_over = 0
        self._closed = False

    def open(
        self,
        policy: LanePolicy,
        *,
        on_drop: OnDrop[T],
        on_take: Callable[[T], None] | None = None,
        window: int | None = None,
        options: Any = None,
        share: Share[T] | None = None,
    ) -> Lane[T]:
        """A new lane. With a ``window`` it hands results back, that many ahead of its stream.

        ``on_drop(item, cause)`` and ``on_take(item)`` are called without any lock held.
        """
        hooks: dict[str, Any] = {"on_drop": on_drop, "on_take": on_take, "share": share or Share()}
        with self.lock:
            if self._closed:
                raise ClosedError("scheduler closed")
            lane = Lane(self, policy, window=window, options=options, **hooks)
            self._opened += 1
            lane.served, lane.number = self._turn, self._opened
            self.admit(lane)
            self._lanes.append(lane)
            return lane

    @property
    def waiting(self) -> int:
        """How many items of all lanes wait for their turn."""
        with self.lock:
            return sum(lane.waiting for lane in self._lanes)

    def close(self, *, discard: bool = False) -> None:
        """No more lanes; workers end when the open ones are drained, or at once on ``discard``."""
        with self.lock:
            self._closed = True
            lanes = list(self._lanes) if discard else []
            self.changed()
        for lane in lanes:
            lane.close(discard=True)

    def __iter__(self) -> Iterator[list[Ticket[T]]]:
        """Batches, until the scheduler is closed and drained. Any number of threads may iterate."""
        while True:
            try:
                yield self.take()
            except ClosedError:
                return

    def take(self, until: float | None = None) -> list[Ticket[T]]:
        """Wait for the next batch; it is empty only where nothing came ``until`` then (monotonic
        seconds). ``ClosedError`` once closed and drained."""
        while True:
            drops: Drops[T] = []
            with self._ready:
                ready = self._await_batch(until)
                batch = self._collect(ready, drops)
            tell(drops)
            for ticket in batch:
                if ticket.lane.on_take is not None:
                    ticket.lane.on_take(ticket.item)
            if batch or not ready:
                return batch

    def _await_batch(self, until: float | None) -> list[Lane[T]]:
        """The lanes a batch may be taken from, as soon as it may go; none where it is too late."""
        while True:
            ready = [lane for lane in self._lanes if lane.servable]
            if not ready and self._closed and not self._lanes:
                raise ClosedError("scheduler closed")
            patience = self._patience(ready) if ready else self._held()
            if patience <= 0:
                return ready
            if until is not None:
                patience = min(patience, until - time.monotonic())
                if patience <= 0:
                    return []
            self._ready.wait(None if patience == math.inf else patience)

    def _patience(self, ready: list[Lane[T]]) -> float:
        """Seconds a batch of these lanes may still wait for company; <= 0: it goes now."""
        if self._max_wait <= 0:
            return 0.0
        expected = [lane for lane in self._lanes if lane.expected]
        if not expected:
            return 0.0
        found = len(ready) if self._one_per_lane else sum(lane.servable for lane in ready)
        live = [lane for lane in ready if lane.live]
        if found >= self.max_batch or any(lane.full for lane in live):
            return 0.0
        if not live and not all(lane.live for lane in expected):
            return math.inf
        return min(lane.waiting_since for lane in live or ready) + self._max_wait - time.monotonic()

    def _held(self) -> float:
        """Seconds until a lane may be served that has something waiting; nothing else is ready."""
        times = [held for lane in self._lanes if (held := lane.held) > 0]
        return max(_SHORTEST, min(times)) if times else math.inf

    def _collect(self, ready: list[Lane[T]], drops: Drops[T]) -> list[Ticket[T]]:
        batch: list[Ticket[T]] = []
        queue = [self._place(lane) for lane in ready]
        heapq.heapify(queue)
        while queue and len(batch) < self.max_batch:
            lane = self._first(queue)
            if ticket := lane.take(drops):
                batch.append(ticket)
                self._count(lane)
            if not self._one_per_lane and lane.servable:
                heapq.heappush(queue, self._place(lane))
        return batch

    def _place(self, lane: Lane[T]) -> _Place[T]:
        """Where a lane stands that has something waiting: who had nothing for a while has not been
        saving up turns."""
        lane.due = max(lane.due, self._clock[lane.priority])
        return -lane.priority, lane.due, lane.served, lane.number, lane

    def _count(self, lane: Lane[T]) -> None:
        self._turn += 1
        lane.served = self._turn
        self._clock[lane.priority] = lane.due
        lane.due += lane.turn_length

    def _first(self, queue: list[_Place[T]]) -> Lane[T]:
        """Take the lane out of ``queue`` (a heap) whose turn it is."""
        if len(self._clock) > 1:
            top = queue[0][0]
            lower = [place for place in queue if place[0] != top]
            if lower and self._passed_over >= _PASSED_OVER:
                self._passed_over = 0
                longest_ago = min(lower, key=lambda place: place[2:4])
                queue.remove(longest_ago)
                heapq.heapify(queue)
                return longest_ago[4]
            self._passed_over = self._passed_over + 1 if lower else 0
        return heapq.heappop(queue)[4]

    # -- the lanes' side; the lock is held ---------------------------------------------------

    def admit(self, lane: Lane[T]) -> None:
        """This lane has a priority, or another one than before: it starts level with its peers."""
        lane.due = self._clock.setdefault(lane.priority, 0.0)

    def changed(self) -> None:
        """Something may have become servable, or has ended."""
        self._ready.notify_all()

    def forget(self, lane: Lane[T]) -> None:
        """This lane has ended."""
        if lane in self._lanes:
            self._lanes.remove(lane)
