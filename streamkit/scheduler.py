"""Which frame goes next, and with whom: lanes keep or drop, the scheduler batches.

A lane is one stream's way to one consumer (a model shared by many streams, or a sink). Whether
frames wait or are dropped is the lane's policy; which lanes are served, and how many frames go
together, is the scheduler's. A consumer's worker takes a batch of tickets and completes each; the
lane hands results on in frame order. Lanes whose stream is slow to use its results lose their
permission to be served, so no worker ever waits for anybody.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from streamkit.errors import ClosedError
from streamkit.events import DropCause
from streamkit.mailbox import Mailbox


class Aged(Protocol):
    """Something that knows how old it is."""

    @property
    def age(self) -> float:
        """Seconds since it arrived."""
        ...


T = TypeVar("T", bound=Aged)
OnDrop: TypeAlias = Callable[[T, DropCause], None]


class Overflow(StrEnum):
    """What a full lane does with one more item."""

    WAIT = "wait"
    OLDEST = "drop oldest"
    LATEST = "drop latest"


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How a lane keeps or drops. ``LIVE`` and ``FINITE`` are what streams use unless told."""

    capacity: int = 1
    overflow: Overflow = Overflow.OLDEST
    eager: bool = False
    """Serve the newest waiting item and drop the older ones."""
    max_age: float | None = None
    """Seconds; an item older than this when its turn comes is dropped."""
    cause: DropCause = DropCause.NEWER
    """What to call it when an item is lost to a full lane."""


LIVE = LanePolicy()
FINITE = LanePolicy(capacity=2, overflow=Overflow.WAIT)


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """One item on its way through a worker, who must ``complete`` or ``fail`` it."""

    lane: Lane[T]
    item: T
    done: bool = False
    value: Any = None

    def complete(self, value: Any = None) -> None:
        """Hand the result on; the lane delivers in the order in which items were taken."""
        self.lane.finish(self, value)

    def fail(self, error: BaseException) -> None:
        """The item is lost, and with it the lane: its stream meets ``error``."""
        self.lane.close(error, discard=True, keep=True, cause=DropCause.FAILED)


class Lane(Generic[T]):
    """One stream's way to one consumer. Made by ``Scheduler.open``.

    ``put`` is called by the stream's reader; iterating the lane gives ``(item, value)`` in order,
    each of which must be followed by ``release``.
    """

    def __init__(
        self,
        scheduler: Scheduler[T],
        policy: LanePolicy,
        *,
        window: int | None,
        options: Any,
        on_drop: OnDrop[T],
        on_take: Callable[[T], None] | None,
    ) -> None:
        self.options = options
        self.on_take = on_take
        self.served = 0
        self.policy = policy
        self._scheduler = scheduler
        self._window = math.inf if window is None else window
        self._on_drop = on_drop
        self._room = threading.Condition(scheduler.lock)
        self._waiting: deque[tuple[float, T]] = deque()
        self._taken: deque[Ticket[T]] = deque()
        self._results: Mailbox[tuple[T, Any]] | None = Mailbox(window) if window else None
        self._unreleased = 0
        self._closed = False
        self._error: BaseException | None = None
        self._idle = False

    # -- the stream's side -------------------------------------------------------------------

    def put(self, item: T) -> None:
        """Offer an item: waits, or something is dropped, by policy. ``ClosedError`` once closed."""
        with self._room:
            if self.policy.overflow is Overflow.WAIT:
                self._room.wait_for(lambda: self._closed or not self.full)
            if self._closed:
                raise ClosedError("lane closed")
            lost = self._make_room(item)
            if lost is not item:
                self._waiting.append((time.monotonic(), item))
                self._scheduler.changed()
        if lost is not None:
            self._on_drop(lost, self.policy.cause)

    def _make_room(self, item: T) -> T | None:
        """What is lost by adding ``item``: nothing, the oldest, or ``item`` itself."""
        if not self.full:
            return None
        if self.policy.overflow is Overflow.LATEST:
            return item
        return self._waiting.popleft()[1]

    def __iter__(self) -> Iterator[tuple[T, Any]]:
        """Results in order, until closed and drained; raises what it was closed with."""
        if self._results is None:
            raise TypeError("this lane was opened without a window: it hands nothing back")
        return iter(self._results)

    def release(self) -> None:
        """The last result has been used: one more item of this lane may be served."""
        with self._scheduler.lock:
            self._unreleased -= 1
            self._scheduler.changed()

    def follow(self, policy: LanePolicy) -> None:
        """Keep or drop by ``policy`` from now on; to be decided before the first ``put``."""
        with self._scheduler.lock:
            self.policy = policy
            self._scheduler.changed()

    def rest(self, idle: bool) -> None:
        """While ``idle``, nobody waits for this lane to fill a batch (camera away, paused)."""
        with self._scheduler.lock:
            self._idle = idle
            self._scheduler.changed()

    def close(
        self,
        error: BaseException | None = None,
        *,
        discard: bool = False,
        keep: bool = False,
        cause: DropCause = DropCause.STOPPED,
    ) -> None:
        """No more items. What waits is still served, unless ``discard``: then it is dropped, and
        so are results, unless told to ``keep`` these.

        The stream meets ``error`` after the last result.
        """
        lost: list[T] = []
        with self._room:
            self._closed = True
            self._error = self._error or error
            if discard:
                lost = self._discard(keep=keep)
            elif not self._waiting and not self._taken:
                self._end()
            self._room.notify_all()
            self._scheduler.changed()
        for item in lost:
            self._on_drop(item, cause)

    def _discard(self, *, keep: bool) -> list[T]:
        lost = [item for _, item in self._waiting] + [ticket.item for ticket in self._taken]
        self._waiting.clear()
        self._taken.clear()
        if self._results is not None:
            lost += [item for item, _ in self._results.close(self._error, discard=not keep)]
        self._scheduler.forget(self)
        return lost

    def _end(self) -> None:
        if self._results is not None:
            self._results.close(self._error)
        self._scheduler.forget(self)

    # -- the scheduler's side; its lock is held ---------------------------------------------

    @property
    def live(self) -> bool:
        """Drops rather than waits."""
        return self.policy.overflow is not Overflow.WAIT

    @property
    def full(self) -> bool:
        """No more items fit."""
        return len(self._waiting) >= self.policy.capacity

    @property
    def waiting_since(self) -> float:
        """``time.monotonic()`` when the item whose turn it is was offered."""
        return self._waiting[0][0]

    @property
    def servable(self) -> int:
        """How many items may be taken now."""
        permitted = self._window - len(self._taken) - self._unreleased
        return int(min(len(self._waiting), max(0, permitted)))

    @property
    def expected(self) -> bool:
        """Has nothing now, but may at any moment, so a batch may care to wait for it."""
        permitted = len(self._taken) + self._unreleased < self._window
        return not (self._closed or self._idle or self._waiting) and permitted

    def take(self, drops: list[tuple[OnDrop[T], T, DropCause]]) -> Ticket[T] | None:
        """The next item by policy; what is dropped on the way is added to ``drops``."""
        item = self._waiting.popleft()[1]
        while self.policy.eager and self._waiting:
            drops.append((self._on_drop, item, self.policy.cause))
            item = self._waiting.popleft()[1]
        self._room.notify()
        if self.policy.max_age is not None and item.age > self.policy.max_age:
            drops.append((self._on_drop, item, DropCause.STALE))
            if self._closed and not self._waiting and not self._taken:
                self._end()
            return None
        ticket = Ticket(self, item)
        self._taken.append(ticket)
        return ticket

    def finish(self, ticket: Ticket[T], value: Any) -> None:
        """A worker is done with ``ticket``; results go on as far as they are in order."""
        with self._scheduler.lock:
            ticket.done, ticket.value = True, value
            while self._taken and self._taken[0].done:
                first = self._taken.popleft()
                if self._results is not None:
                    self._unreleased += 1
                    self._results.put((first.item, first.value))
            if self._closed and not self._waiting and not self._taken:
                self._end()
            self._scheduler.changed()


class Scheduler(Generic[T]):
    """Forms batches out of many lanes, fairly: the lane that was served longest ago goes first.

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
        self._closed = False

    def open(
        self,
        policy: LanePolicy,
        *,
        on_drop: OnDrop[T],
        on_take: Callable[[T], None] | None = None,
        window: int | None = None,
        options: Any = None,
    ) -> Lane[T]:
        """A new lane. With a ``window`` it hands results back, that many ahead of its stream.

        ``on_drop(item, cause)`` and ``on_take(item)`` are called without any lock held.
        """
        hooks: dict[str, Any] = {"on_drop": on_drop, "on_take": on_take}
        with self.lock:
            if self._closed:
                raise ClosedError("scheduler closed")
            lane = Lane(self, policy, window=window, options=options, **hooks)
            lane.served = self._turn
            self._lanes.append(lane)
            return lane

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

    def take(self) -> list[Ticket[T]]:
        """Wait for the next batch (never empty). ``ClosedError`` once closed and drained."""
        while True:
            drops: list[tuple[OnDrop[T], T, DropCause]] = []
            with self._ready:
                self._await_batch()
                batch = self._collect(drops)
            for on_drop, item, cause in drops:
                on_drop(item, cause)
            for ticket in batch:
                if ticket.lane.on_take is not None:
                    ticket.lane.on_take(ticket.item)
            if batch:
                return batch

    def _await_batch(self) -> None:
        while True:
            ready = [lane for lane in self._lanes if lane.servable]
            if not ready and self._closed and not self._lanes:
                raise ClosedError("scheduler closed")
            patience = self._patience(ready) if ready else None
            if patience is not None and patience <= 0:
                return
            self._ready.wait(None if patience == math.inf else patience)

    def _patience(self, ready: list[Lane[T]]) -> float:
        """Seconds a batch of these lanes may still wait for company; <= 0: it goes now."""
        expected = [lane for lane in self._lanes if lane.expected]
        if self._max_wait <= 0 or not expected:
            return 0.0
        found = len(ready) if self._one_per_lane else sum(lane.servable for lane in ready)
        live = [lane for lane in ready if lane.live]
        if found >= self.max_batch or any(lane.full for lane in live):
            return 0.0
        if not live and not all(lane.live for lane in expected):
            return math.inf
        return min(lane.waiting_since for lane in live or ready) + self._max_wait - time.monotonic()

    def _collect(self, drops: list[tuple[OnDrop[T], T, DropCause]]) -> list[Ticket[T]]:
        batch: list[Ticket[T]] = []
        while len(batch) < self.max_batch:
            ready = sorted((x for x in self._lanes if x.servable), key=lambda lane: lane.served)
            for lane in ready[: self.max_batch - len(batch)]:
                self._turn += 1
                lane.served = self._turn
                if ticket := lane.take(drops):
                    batch.append(ticket)
            if self._one_per_lane or not ready:
                break
        return batch

    # -- the lanes' side; the lock is held ---------------------------------------------------

    def changed(self) -> None:
        """Something may have become servable, or has ended."""
        self._ready.notify_all()

    def forget(self, lane: Lane[T]) -> None:
        """This lane has ended."""
        if lane in self._lanes:
            self._lanes.remove(lane)
